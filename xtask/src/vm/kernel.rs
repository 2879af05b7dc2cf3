//! Debian's kernels: which there are, and where they are unpacked.
//!
//! Invariant: what is unpacked once is used from then on, so a run needs no network; remove the
//! directory for a newer one. apt checks what it downloads by the signed lists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::process;
use crate::setup::debian;
use crate::step;

/// A series of kernels that Debian keeps for years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Series {
    /// Debian 12's.
    #[value(name = "6.1")]
    Linux6_1,
    /// Debian 13's, and Debian 12's newer one.
    #[value(name = "6.12")]
    Linux6_12,
}

impl Series {
    /// All of them, the oldest first.
    pub(super) const ALL: [Self; 2] = [Self::Linux6_1, Self::Linux6_12];

    fn number(self) -> &'static str {
        match self {
            Self::Linux6_1 => "6.1",
            Self::Linux6_12 => "6.12",
        }
    }
}

/// A kernel on disk.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Its series: `6.12`.
    pub(super) number: &'static str,
    /// What `uname -r` says in the guest.
    pub(super) release: String,
    /// What the boot loader loads.
    pub(super) program: PathBuf,
    /// `lib/modules/RELEASE`, with `modules.dep` in it.
    pub(super) modules: PathBuf,
}

/// Find a kernel of this series in `directory`, or unpack the newest there is.
pub(super) fn ensure(series: Series, directory: &Path, busybox: &Path) -> Result<Kernel> {
    let number = series.number();
    let directory = directory.join(format!("linux-{number}"));
    if let Some(kernel) = find(number, &directory)? {
        return Ok(kernel);
    }
    step::announce(&format!("unpacking Debian's Linux {number}: about 30 megabytes"));
    unpack_newest(number, &directory)?;
    prepare_modules(&directory, busybox)?;
    let kernel = find(number, &directory)?;
    kernel.with_context(|| format!("the package brought no kernel to {}", directory.display()))
}

/// The kernel there, if it was unpacked to the end.
fn find(number: &'static str, directory: &Path) -> Result<Option<Kernel>> {
    Ok(release_in(directory)?.and_then(|release| {
        let kernel = Kernel {
            number,
            program: directory.join(format!("boot/vmlinuz-{release}")),
            modules: directory.join("lib/modules").join(&release),
            release,
        };
        kernel.modules.join("modules.dep").exists().then_some(kernel)
    }))
}

fn release_in(directory: &Path) -> Result<Option<String>> {
    let Ok(entries) = fs::read_dir(directory.join("boot")) else {
        return Ok(None);
    };
    for entry in entries {
        let name = entry.context("cannot read a directory")?.file_name();
        let name = name.to_string_lossy();
        if let Some(release) = name.strip_prefix("vmlinuz-") {
            return Ok(Some(release.to_owned()));
        }
    }
    Ok(None)
}

fn unpack_newest(number: &str, directory: &Path) -> Result<()> {
    let package = newest(number)?.or_else(|| {
        debian::update().ok()?;
        newest(number).ok()?
    });
    let package = package.with_context(|| {
        format!(
            "apt knows no package linux-image-{number}…-cloud-amd64\n\
             6.1 is in Debian 12 (bookworm), 6.12 in Debian 13 (trixie) and in the security \
             updates of Debian 12: add that suite to apt's sources and run this again"
        )
    })?;
    debian::unpack(&package, directory)
}

/// Does what installing the package would have done: what depends on what. A guest gets modules
/// as they are, because its busybox need not know how they were compressed.
fn prepare_modules(directory: &Path, busybox: &Path) -> Result<()> {
    let release = release_in(directory)?.context("the package brought no kernel")?;
    let modules = directory.join("lib/modules").join(&release);
    let compressed = process::capture(
        Command::new("find").arg(&modules).args(["-name", "*.ko.xz", "-type", "f"]),
    )?;
    for portion in compressed.lines().collect::<Vec<_>>().chunks(500) {
        process::capture(Command::new(busybox).args(["unxz", "-f"]).args(portion))?;
    }
    process::capture(Command::new(busybox).arg("depmod").arg("-b").arg(directory).arg(&release))?;
    Ok(())
}

/// The newest kernel of a series for virtual machines: the same source with fewer drivers.
fn newest(number: &str) -> Result<Option<String>> {
    let prefix = format!("linux-image-{number}.");
    let names = process::capture(Command::new("apt-cache").args(["pkgnames", &prefix]))?;
    let mut names: Vec<&str> =
        names.lines().filter(|name| name.ends_with("-cloud-amd64")).collect();
    names.sort_by_key(|name| numbers_in(name));
    // Some are only named by other packages.
    let there_is = |name: &&&str| debian::candidate(name).is_some();
    Ok(names.iter().rev().find(there_is).map(|name| (*name).to_owned()))
}

/// The numbers in a name, by which versions compare.
fn numbers_in(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        let older = numbers_in("linux-image-6.12.99+deb12-cloud-amd64");
        assert!(older < numbers_in("linux-image-6.12.117+deb12-cloud-amd64"));
    }
}
