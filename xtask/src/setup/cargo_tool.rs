//! Tools that cargo builds: for chores that few need, and that say so when they take their time.
//!
//! Invariant: a tool is built once, below the target directory; nothing is installed for the user.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::paths;
use crate::process;
use crate::step::{self, Change, Done, Report};

/// A program from crates.io, by its exact version.
#[derive(Debug)]
pub(crate) struct CargoTool {
    /// Of the package and of its program.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Features it can do without are off.
    pub(crate) arguments: &'static [&'static str],
}

impl CargoTool {
    /// Find it on the `PATH`, or build it.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        Report::OnlyChanges.step(self.name, || self.find_or_build())
    }

    fn find_or_build(&self) -> Result<Done<PathBuf>> {
        let Self { name, version, arguments } = self;
        let directory = paths::target_dir().join("tools").join(name);
        let built = directory.join("bin").join(name);
        let done = |program: PathBuf, change| {
            let detail = program.display().to_string();
            Done { value: program, change, detail }
        };
        let there = Some(&built).filter(|path| process::is_executable(path)).cloned();
        if let Some(program) = process::find(name).or(there) {
            return Ok(done(program, Change::None));
        }
        step::announce(&format!(
            "building {name}, once: some minutes; a `{name}` on the PATH is used instead"
        ));
        let mut command = process::host_cargo();
        command.args(["install", name, "--version", version, "--locked"]).args(*arguments);
        command.arg("--root").arg(&directory);
        // The environment of the workspace's own build is not meant for it.
        process::run(command.env_remove("CARGO_TARGET_DIR").current_dir("/"))?;
        ensure!(process::is_executable(&built), "cargo install brought no {}", built.display());
        Ok(done(built, Change::Installed))
    }
}
