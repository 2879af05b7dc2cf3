//! The programs a guest runs: the daemon, the lab and the kernel tests, built for a slow machine.
//!
//! Invariant: in the guest each has the path it has here, because tests know the others by it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::host;
use crate::paths;
use crate::process;
use crate::step::{self, Report};
use crate::{bpf, setup};

/// What was built.
#[derive(Debug)]
pub(super) struct Programs {
    /// The kernel tests.
    pub(super) tests: PathBuf,
    /// The daemon, which is also the command line.
    pub(super) daemon: PathBuf,
    /// What the tests start.
    pub(super) others: Vec<PathBuf>,
}

/// Build them all.
pub(super) fn build() -> Result<Programs> {
    let tools = setup::bpf_tools(Report::OnlyChanges)?;
    bpf::build(&tools)?;
    let mut command = process::host_cargo();
    command.args(["build", "--profile", PROFILE]).args(host::PACKAGES);
    process::run(&mut command).context("the daemon and the lab do not build")?;

    let mut command = process::host_cargo();
    command.args(["test", "--profile", PROFILE, "--package", "shedder-tests", "--test", "kernel"]);
    command.args(["--no-run", "--message-format=json"]);
    step::announce("building the kernel tests");
    let messages = process::capture(&mut command).context("the kernel tests do not build")?;
    let tests = messages.lines().rev().find_map(executable_in);
    let tests = tests.context("cargo built no kernel tests")?.into();

    let directory = paths::target_dir().join(PROFILE);
    let others = OTHERS.map(|name| directory.join(name)).into();
    Ok(Programs { tests, daemon: directory.join("shedder"), others })
}

/// The path of the kernel tests, if this message of cargo's tells it.
fn executable_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    path.rsplit('/').next()?.starts_with("kernel-").then_some(path)
}

/// The profile of Cargo.toml for this, which is also the directory below `target`.
const PROFILE: &str = "guest";
const OTHERS: [&str; 3] = ["lab-caller", "lab-server", "budget"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_are_told_from_the_other_programs() {
        let message = |path: &str| format!(r#"{{"fresh":true,"executable":"{path}"}}"#);
        let tests = message("/target/guest/deps/kernel-841f");
        assert_eq!(executable_in(&tests), Some("/target/guest/deps/kernel-841f"));
        assert_eq!(executable_in(&message("/target/guest/budget")), None);
        assert_eq!(executable_in(r#"{"executable":null}"#), None);
    }
}
