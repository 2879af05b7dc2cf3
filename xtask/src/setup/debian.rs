//! Installing with apt: only as root, never removing anything, and never asking.
//!
//! Invariant: a failed install leaves an error that names the command to run by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::step;

/// Fail unless packages can be installed here.
pub(super) fn require_apt() -> Result<()> {
    ensure!(process::find("apt-get").is_some(), "not installed (no Debian)");
    ensure!(process::is_root(), "needs root");
    Ok(())
}

/// Install packages; refresh the lists only when they turn out to be stale.
pub(super) fn install(packages: &[&str], progress: &str) -> Result<()> {
    require_apt()?;
    step::announce(progress);
    if process::run(&mut install_command(packages)).is_ok() {
        return Ok(());
    }
    update()?;
    process::run(&mut install_command(packages))
        .with_context(|| format!("see what `apt-get install {}` says", packages.join(" ")))
}

/// Unpack one package below a directory, installing nothing.
pub(crate) fn unpack(package: &str, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let file = download(package, directory)?;
    process::run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(directory))?;
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// Download one package into a directory without installing it; the file.
fn download(package: &str, directory: &Path) -> Result<PathBuf> {
    ensure!(process::find("apt-get").is_some(), "not installed (no Debian)");
    // What an interrupted download left would be taken for it.
    for old in packages_in(directory) {
        fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    let mut command = apt_get();
    // As root apt would warn that its own user may not write here.
    command.args(["download", "-qq", "-o", "APT::Sandbox::User=root", package]);
    command.current_dir(directory);
    if process::run(&mut command).is_err() {
        update()?;
        process::run(&mut command)
            .with_context(|| format!("see what `apt-get download {package}` says"))?;
    }
    let mut found = packages_in(directory);
    found.pop().with_context(|| format!("`apt-get download {package}` brought nothing"))
}

/// Unpack a package, and what it depends on and this machine lacks, as a directory of its own, installing
/// nothing.
pub(super) fn unpack_with_missing(package: &str, directory: &Path) -> Result<()> {
    // Whole or not at all: what an interrupted run left is of no use.
    let beginning = directory.with_extension("new");
    if beginning.exists() {
        fs::remove_dir_all(&beginning)
            .with_context(|| format!("cannot remove {}", beginning.display()))?;
    }
    let archives = beginning.join("archives");
    for file in download_with_missing(package, &archives)? {
        let mut command = Command::new("dpkg-deb");
        process::run(command.arg("--extract").args([&file, &beginning]))?;
    }
    fs::remove_dir_all(&archives)
        .with_context(|| format!("cannot remove {}", archives.display()))?;
    fs::rename(&beginning, directory)
        .with_context(|| format!("cannot make {}", directory.display()))
}

/// Download a package and what it depends on and this machine lacks, without installing any; the files.
fn download_with_missing(package: &str, directory: &Path) -> Result<Vec<PathBuf>> {
    ensure!(process::find("apt-get").is_some(), "not installed (no Debian)");
    fs::create_dir_all(directory.join("partial"))
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let mut command = apt_get();
    // Nothing of the system is touched, so there is nothing to lock.
    command.args(["install", "--download-only", "-y", "-qq", "--no-install-recommends"]);
    command.args(["-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=root", "-o"]);
    command.arg(format!("Dir::Cache::archives={}", directory.display())).arg(package);
    if process::run(&mut command).is_err() {
        update()?;
        process::run(&mut command).with_context(|| {
            format!("see what `apt-get install --download-only {package}` says")
        })?;
    }
    let found = packages_in(directory);
    ensure!(!found.is_empty(), "`apt-get install --download-only {package}` brought nothing");
    Ok(found)
}

/// Refresh the lists of packages.
pub(crate) fn update() -> Result<()> {
    step::announce("refreshing the lists of packages");
    process::run(apt_get().args(["update", "-qq"]))
}

/// The version that would be installed, according to the lists here.
pub(crate) fn candidate(package: &str) -> Option<String> {
    let policy =
        process::capture(Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C"))
            .ok()?;
    parse_candidate(&policy)
}

fn install_command(packages: &[&str]) -> Command {
    let mut command = apt_get();
    command.args(["install", "-y", "-qq", "--no-install-recommends", "--no-remove"]);
    command.args(["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"]).args(packages);
    command
}

fn packages_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Errors are on standard error; the rest is a line for every package and file.
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    command
}

fn parse_candidate(policy: &str) -> Option<String> {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (candidate != "(none)").then(|| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_the_policy() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n";
        assert_eq!(parse_candidate(policy).as_deref(), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(parse_candidate("x:\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
    }
}
