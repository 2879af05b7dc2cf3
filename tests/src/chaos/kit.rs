//! What all scenarios of a run share: the programs of callers, and a place for what they write.
//!
//! Invariant: a program is looked for, or compiled, when it is first needed, and what is missing is named
//! with what to do.

use std::cell::OnceCell;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::client::Tool;

/// Made once for a run.
#[derive(Debug)]
pub(super) struct Kit {
    directory: TempDir,
    /// Where the compiled client for a JVM is, once it is.
    classes: OnceCell<PathBuf>,
}

impl Kit {
    /// Writes the sources of the callers down.
    pub(super) fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        for (name, source) in SOURCES {
            fs::write(directory.path().join(name), source)?;
        }
        Ok(Self { directory, classes: OnceCell::new() })
    }

    /// The command of a caller, without its arguments.
    pub(super) fn client(&self, tool: Tool) -> Result<Command> {
        let source = |name| self.directory.path().join(name);
        let (name, source) = match tool {
            Tool::Python => ("python3", source("client.py")),
            Tool::Node => ("node", source("client.mjs")),
            Tool::Curl => {
                tool_on_path("curl")?;
                ("sh", source("curl.sh"))
            }
            Tool::Java => return self.java(),
        };
        let mut command = Command::new(tool_on_path(name)?);
        command.arg(source);
        Ok(command)
    }

    fn java(&self) -> Result<Command> {
        let classes = if let Some(classes) = self.classes.get() {
            classes
        } else {
            let made = self.compile()?;
            self.classes.get_or_init(|| made)
        };
        let mut command = Command::new(tool_on_path("java")?);
        command.args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(classes).arg("Client");
        Ok(command)
    }

    fn compile(&self) -> Result<PathBuf> {
        let classes = self.directory.path().join("classes");
        let source = self.directory.path().join("Client.java");
        let mut javac = Command::new(tool_on_path("javac")?);
        let status = javac.arg("-d").arg(&classes).arg(source).status()?;
        ensure!(status.success(), "the client for a JVM does not compile");
        Ok(classes)
    }
}

/// A program for callers; the chore installs it.
fn tool_on_path(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|directory| directory.join(name));
    found
        .into_iter()
        .find(|file| Path::is_file(file))
        .with_context(|| format!("there is no {name}: run `cargo xtask chaos`, which installs it"))
}

const SOURCES: [(&str, &str); 4] = [
    ("client.py", include_str!("clients/client.py")),
    ("client.mjs", include_str!("clients/client.mjs")),
    ("Client.java", include_str!("clients/Client.java")),
    ("curl.sh", include_str!("clients/curl.sh")),
];
