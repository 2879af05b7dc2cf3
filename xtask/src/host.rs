//! Building and running the programs of this machine: the daemon and the lab.
//!
//! Invariant: they are built after the BPF object, which the daemon embeds.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::paths;
use crate::process;
use crate::step::Report;
use crate::{bpf, setup};

/// How the host's programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Fast to build.
    Debug,
    /// Fast to run.
    Release,
}

impl Profile {
    /// Where cargo puts programs of this profile.
    pub(crate) fn directory(self) -> PathBuf {
        paths::target_dir().join(match self {
            Self::Debug => "debug",
            Self::Release => "release",
        })
    }
}

/// Build everything, setting up what the BPF programs need on the way.
pub(crate) fn build_all(profile: Profile) -> Result<()> {
    let tools = setup::bpf_tools(Report::OnlyChanges)?;
    bpf::build(&tools)?;
    let mut command = process::host_cargo();
    command.arg("build");
    if profile == Profile::Release {
        command.arg("--release");
    }
    process::run(command.args(PACKAGES)).context("the daemon and the lab do not build")
}

/// Build everything in release and become one of the lab's programs.
pub(crate) fn build_and_become(program: &str, args: &[OsString]) -> Result<()> {
    build_all(Profile::Release)?;
    let path = Profile::Release.directory().join(program);
    ensure!(
        process::is_executable(&path),
        "there is no {}: the package shedder-tests should have a program `{program}`",
        paths::relative(&path).display()
    );
    process::become_program(Command::new(path).args(args))
}

/// The daemon and the lab, as cargo is told of them.
pub(crate) const PACKAGES: [&str; 4] = ["--package", "shedder-user", "--package", "shedder-tests"];
