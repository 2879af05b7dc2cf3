//! A real browser without a window, told what to do over a pipe by the `DevTools` protocol.
//!
//! Invariant: it reaches nothing but this machine, has a profile of its own, and has ended when its value
//! is dropped.

use std::collections::VecDeque;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser with one page open.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    /// What it told by itself, oldest first.
    told: VecDeque<Value>,
    /// Goes with its profile.
    _directory: TempDir,
}

/// How the page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// What the system prefers.
    pub dark: bool,
}

impl Browser {
    /// Opens a page.
    pub fn open(url: &str, look: Look) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        let mut process =
            command(&find()?, directory.path()).spawn().context("the browser starts")?;
        let commands = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().expect("it is piped");
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            commands,
            messages,
            session: None,
            sent: 0,
            told: VecDeque::new(),
            _directory: directory,
        };
        browser.attach(look)?;
        browser.tell("Page.navigate", &json!({"url": url}))?;
        Ok(browser)
    }

    fn attach(&mut self, look: Look) -> Result<()> {
        let target = self.tell("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.tell("Target.attachToTarget", &attached)?;
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.tell(&format!("{domain}.enable"), &json!({}))?;
        }
        self.look(look)
    }

    /// Changes how the page is looked at.
    pub fn look(&mut self, Look { width, height, dark }: Look) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.tell("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.tell("Runtime.evaluate", &asked)?;
        ensure!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression is true in the page.
    pub fn wait_for(&mut self, condition: &str) -> Result<()> {
        let script = format!(
            "new Promise((done) => {{ const end = Date.now() + {}; (function look() {{ \
             let is = false; try {{ is = Boolean({condition}); }} catch {{}} \
             if (is || Date.now() > end) done(is); else setTimeout(look, 20); }})(); }})",
            PATIENCE.as_millis() / 2
        );
        if self.evaluate(&script)? == Value::Bool(true) {
            return Ok(());
        }
        let text = self.evaluate("document.body.innerText")?;
        bail!(
            "waited in vain for {condition}; told: {:?}; the page says: {text}",
            self.complaints()
        );
    }

    /// Presses and releases a key.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let text = if key.chars().count() == 1 { key } else { "" };
        // What the browser itself heeds, such as Escape in a dialogue, it knows by number.
        let code = match key {
            "Escape" => 27,
            "Enter" => 13,
            _ => 0,
        };
        let down =
            json!({"type": "keyDown", "key": key, "text": text, "windowsVirtualKeyCode": code});
        self.tell("Input.dispatchKeyEvent", &down)?;
        self.tell("Input.dispatchKeyEvent", &json!({"type": "keyUp", "key": key})).map(drop)
    }

    /// A picture of what is to be seen, as PNG.
    pub fn screenshot(&mut self, file: &Path) -> Result<()> {
        let picture = self.tell("Page.captureScreenshot", &json!({"format": "png"}))?;
        let mut decoder = Command::new("base64")
            .arg("--decode")
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(file)?)
            .spawn()?;
        let text = picture["data"].as_str().context("no picture")?;
        decoder.stdin.take().expect("it is piped").write_all(text.as_bytes())?;
        ensure!(decoder.wait()?.success(), "no picture in what came");
        Ok(())
    }

    /// Errors on the console, exceptions, and what the content policy stopped.
    pub fn complaints(&mut self) -> Vec<String> {
        self.drain();
        let is_complaint = |message: &&Value| match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => message["params"]["type"] == "error",
            Some("Log.entryAdded") => message["params"]["entry"]["level"] == "error",
            _ => false,
        };
        self.told.iter().filter(is_complaint).map(|message| message["params"].to_string()).collect()
    }

    /// The addresses of all that the page asked for.
    pub fn requests(&mut self) -> Vec<String> {
        self.drain();
        let asked = self.told.iter().filter(|it| it["method"] == "Network.requestWillBeSent");
        let url =
            |it: &Value| it["params"]["request"]["url"].as_str().unwrap_or_default().to_owned();
        asked.map(url).collect()
    }

    fn drain(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.told.push_back(message);
        }
    }

    /// Tells it to do something; what it answers.
    fn tell(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.commands.write_all(&bytes).context("the browser is gone")?;
        loop {
            let mut message = self
                .messages
                .recv_timeout(PATIENCE)
                .map_err(|error| anyhow!("the browser does not answer {method}: {error}"))?;
            if message["id"] == self.sent {
                ensure!(message.get("error").is_none(), "{method}: {message}");
                return Ok(message["result"].take());
            }
            self.told.push_back(message);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The pipe is descriptors 3 and 4, which a shell gives it without a line of unsafe code.
fn command(program: &Path, profile: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"]);
    command.arg(program).args(FLAGS).arg(format!("--user-data-dir={}", profile.display()));
    // Unpacked by itself, it finds what it loads beside it.
    if let Some(root) = program.ancestors().nth(4).filter(|root| root.ends_with("chromium")) {
        let beside = std::fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
        let libraries = beside.flat_map(|it| [it.path(), it.path().join("pulseaudio")]);
        let path = env::join_paths(libraries).unwrap_or_default();
        command.env("LD_LIBRARY_PATH", path);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Where `cargo xtask setup` puts it, or on `PATH`.
fn find() -> Result<PathBuf> {
    let executable = env::current_exe()?;
    let unpacked = executable.ancestors().map(|directory| directory.join(UNPACKED));
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = env::split_paths(&path).collect();
    let installed =
        PROGRAMS.iter().flat_map(|program| directories.iter().map(move |it| it.join(program)));
    unpacked
        .chain(installed)
        .find(|file| file.is_file())
        .context("there is no Chromium: run `cargo xtask setup`")
}

const UNPACKED: &str = "tools/chromium/usr/lib/chromium/chromium-headless-shell";
const PROGRAMS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];
/// Root has no sandbox, and nothing it loads comes from elsewhere: no name is ever looked up.
const FLAGS: [&str; 9] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];
const PATIENCE: Duration = Duration::from_mins(1);
