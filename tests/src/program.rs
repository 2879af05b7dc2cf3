//! The programs of the lab: where they are, what they need of the machine, and how they end.
//!
//! Invariant: looking changes nothing, and an end is told once, in one line.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::cgroup;
use crate::interrupt;

/// A program of the workspace, beside the running executable or, for a test, one level up.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let executable = env::current_exe().context("cannot find the current executable")?;
    let directories = executable.ancestors().skip(1).take(2);
    directories.map(|directory| directory.join(name)).find(|path| path.is_file()).with_context(
        || format!("there is no {name} beside {}; run `cargo xtask build`", executable.display()),
    )
}

/// A tool on `PATH`, or in this directory among those that `cargo xtask setup` unpacks.
pub(crate) fn find_tool(name: &str, directory: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let executable = env::current_exe().context("cannot find the current executable")?;
    let unpacked = executable.ancestors().map(|above| above.join("tools").join(directory));
    let mut directories = env::split_paths(&path).chain(unpacked);
    directories
        .find_map(|directory| Some(directory.join(name)).filter(|file| file.is_file()))
        .with_context(|| format!("there is no {name}: run `cargo xtask setup`"))
}

/// Where the libraries of these packages of Debian are, if `cargo xtask setup` unpacked them: a value for
/// `LD_LIBRARY_PATH`.
pub(crate) fn libraries(packages: &[&str]) -> Result<OsString> {
    let executable = env::current_exe().context("cannot find the current executable")?;
    let tools = executable.ancestors().map(|above| above.join("tools"));
    let places =
        tools.flat_map(|tools| packages.iter().map(move |it| tools.join(it).join("usr/lib")));
    let inside = places.filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let libraries = inside.map(|entry| entry.path());
    let of_machine = |path: &PathBuf| path.to_string_lossy().ends_with("-linux-gnu");
    Ok(env::join_paths(libraries.filter(of_machine))?)
}

/// A copy of this program in this directory, for a user who may not look where it was built.
///
/// Another process writes it: a descriptor of ours, open for writing, would be inherited by
/// whatever else is being started at that moment, and the copy could not be run (ETXTBSY) until
/// that has called exec.
pub fn copy_into(program: &Path, directory: &Path) -> Result<PathBuf> {
    let name = program.file_name().context("a program has a name")?;
    let copy = directory.join(name);
    let status = Command::new("cp").arg("--").arg(program).arg(&copy).status()?;
    ensure!(status.success(), "cannot copy {} to {}", program.display(), copy.display());
    Ok(copy)
}

/// Fails with what the machine lacks and what to do about it.
pub(crate) fn check_needs() -> Result<()> {
    ensure!(
        is_root()?,
        "only root may make cgroups and load BPF programs\n      \
         run it as root, for example: sudo {}",
        env::args().next().unwrap_or_default()
    );
    cgroup::mount_point().map(drop)
}

/// The exit status of a program: 1 for a failure, which is explained on standard error, and 128 and
/// the signal's number when a signal ended it.
pub(crate) fn exit_code(name: &str, result: Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if let Some(signal) = interrupt::behind_failure() {
        return ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX));
    }
    // There is nobody left to tell when standard error is closed.
    drop(writeln!(stderr(), "{name}: {error:#}"));
    ExitCode::FAILURE
}

/// By the effective user of this process.
fn is_root() -> Result<bool> {
    let status = fs::read_to_string("/proc/self/status").context("/proc is not mounted")?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    Ok(users.split_whitespace().nth(1) == Some("0"))
}
