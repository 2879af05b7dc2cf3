//! A real `shedder run`, and the command line that talks to it.
//!
//! Invariant: every daemon has its own directory, socket and pins, and is ended and cleaned up
//! after when its value is dropped.
#![expect(unsafe_code, reason = "signals")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use shedder_user::api::model::{Breaker, Status};
use tempfile::TempDir;

use crate::clock::now;

mod events;

pub use events::Events;

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    directory: Arc<TempDir>,
}

impl Daemon {
    /// Starts a daemon with this policy file and waits until it guards.
    pub fn start(policy: &str) -> Result<Self> {
        Self::start_with(policy, &[])
    }

    /// As [`Daemon::start`], with further arguments.
    pub fn start_with(policy: &str, arguments: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        fs::write(directory.path().join("shedder.toml"), policy)?;
        Self::start_in(Arc::new(directory), arguments)
    }

    /// As [`Daemon::start_with`], for programs that people run: where it fails they are told where to look.
    pub(crate) fn start_or_advise(policy: &str, arguments: &[&str]) -> Result<Self> {
        Self::start_with(policy, arguments)
            .context("shedder does not start here; `shedder doctor` tells what this node lacks")
    }

    /// Starts a daemon that cannot see the kernel's types.
    pub fn start_without_types(policy: &str) -> Result<Self> {
        // In a mount namespace of its own.
        let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
        Self::start_through(
            &["unshare", "--mount", "sh", "-c", hide, "sh"],
            policy,
            &["--without-btf"],
        )
    }

    /// As [`Daemon::start_with`], by a command that becomes the program its last arguments name.
    pub fn start_through(through: &[&str], policy: &str, arguments: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        fs::write(directory.path().join("shedder.toml"), policy)?;
        let (command, rest) = through.split_first().context("a command has a name")?;
        let mut command = Command::new(command);
        command.args(rest).arg(program()?);
        Self::launch(command, Arc::new(directory), arguments)
    }

    /// Starts another daemon with the file and the socket of an earlier one.
    pub fn start_at(earlier: &Self, arguments: &[&str]) -> Result<Self> {
        Self::start_in(Arc::clone(&earlier.directory), arguments)
    }

    fn start_in(directory: Arc<TempDir>, arguments: &[&str]) -> Result<Self> {
        Self::launch(Command::new(program()?), directory, arguments)
    }

    fn launch(mut command: Command, directory: Arc<TempDir>, arguments: &[&str]) -> Result<Self> {
        let file = directory.path().join("shedder.toml");
        command.args(["run", "--config"]).arg(&file);
        // Never the node's own, but where the policy says, if it does.
        if !fs::read_to_string(&file)?.contains("state_dir") {
            command.arg("--state-dir").arg(directory.path().join("state"));
        }
        let process = command
            .arg("--socket")
            .arg(directory.path().join("shedder.sock"))
            .args(arguments)
            .stderr(fs::File::create(directory.path().join("log"))?)
            .stdin(Stdio::null())
            .spawn()
            .context("the daemon starts")?;
        let mut daemon = Self { process, directory };
        daemon.wait_until_it_answers()?;
        Ok(daemon)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("the daemon ended with {status}: {}", self.log());
            }
            // Connecting is the event there is to wait for; there is no earlier one.
            if std::os::unix::net::UnixStream::connect(self.socket()).is_ok() {
                return Ok(());
            }
            if now() > deadline {
                bail!("the daemon does not answer: {}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("shedder.sock")
    }

    /// Its policy file.
    pub fn policy_file(&self) -> PathBuf {
        self.directory.path().join("shedder.toml")
    }

    /// Where it keeps its journal, unless its policy says otherwise.
    pub fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Runs a client command and returns what it printed.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        Ok(command(arguments, &self.socket())?.output()?)
    }

    /// Runs a client command that must succeed; its standard output.
    pub fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?;
        if !output.status.success() {
            bail!("shedder {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `shedder status --json`.
    pub fn status(&self) -> Result<Status> {
        Ok(serde_json::from_str(&self.succeed(&["status", "--json"])?)?)
    }

    /// The one breaker of an endpoint.
    pub fn breaker(&self, endpoint: SocketAddr) -> Result<Breaker> {
        let endpoint = endpoint.to_string();
        let mut breakers = self.status()?.breakers;
        breakers.retain(|breaker| breaker.endpoint == endpoint);
        match <[Breaker; 1]>::try_from(breakers) {
            Ok([breaker]) => Ok(breaker),
            Err(breakers) => bail!("{} breakers for {endpoint}", breakers.len()),
        }
    }

    /// Where it serves metrics and health.
    pub fn pages(&self) -> Result<SocketAddr> {
        Ok(self.status()?.node.listen.context("it serves no pages")?.parse()?)
    }

    /// `shedder events --follow --json`.
    pub fn events(&self) -> Result<Events> {
        Events::follow(command(&["events", "--follow", "--json"], &self.socket())?)
    }

    /// Sends a signal, such as `SIGTERM`.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).expect("a process number");
        // SAFETY: a signal to a process this value started and has not reaped.
        unsafe {
            libc::kill(pid, signal);
        }
    }

    /// Stops it (`SIGSTOP`) and waits until it has stopped; `SIGCONT` lets it go on.
    pub fn pause(&self) -> Result<()> {
        self.signal(libc::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.pid());
        let deadline = now() + PATIENCE;
        // The state follows the name, which is in parentheses.
        while !fs::read_to_string(&stat)?.contains(") T ") {
            if now() > deadline {
                bail!("the daemon does not stop");
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if now() > deadline {
                bail!("the daemon does not end: {}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal(libc::SIGTERM);
            if self.wait().is_err() {
                self.signal(libc::SIGKILL);
                drop(self.process.wait());
            }
        }
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failing test shows what the daemon said")]
            {
                eprintln!("--- the daemon's log\n{}---", self.log());
            }
        }
    }
}

/// A client command for the daemon at `socket`.
pub fn command(arguments: &[&str], socket: &Path) -> Result<Command> {
    let mut command = Command::new(program()?);
    command.args(arguments).arg("--socket").arg(socket).stdin(Stdio::null());
    Ok(command)
}

/// The `shedder` binary beside the running one.
pub fn program() -> Result<PathBuf> {
    crate::program::find("shedder")
}

/// The value of `brakes` for a node on which breakers open and refuse again and again on purpose: nothing
/// keeps them from it.
pub(crate) const NO_BRAKES: &str = "{ trips_per_minute = 1000000, refusals_per_second = 100000000, caller_refused = 1.0, suspect = 1.0 }";

/// Long enough for anything that is going to happen at all, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
