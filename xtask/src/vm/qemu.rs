//! qemu, and the one program a guest starts with.
//!
//! Invariant: an installed qemu is used; otherwise Debian's is unpacked, not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::setup::debian;
use crate::step;

/// What emulates a machine.
#[derive(Debug)]
pub(super) struct Qemu {
    program: PathBuf,
    /// Where it was unpacked; nothing for an installed one.
    unpacked: Option<PathBuf>,
    /// A static busybox.
    pub(super) busybox: PathBuf,
}

impl Qemu {
    /// A command that finds its libraries and firmware.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.unpacked {
            let libraries = LIBRARIES.map(|place| root.join(place).display().to_string());
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
            for place in FIRMWARE {
                command.arg("-L").arg(root.join(place));
            }
        }
        command
    }
}

/// Find both programs, or unpack them below `directory`.
pub(super) fn ensure(directory: &Path) -> Result<Qemu> {
    let busybox = directory.join("busybox/bin/busybox");
    if !process::is_executable(&busybox) {
        debian::unpack("busybox-static", &directory.join("busybox"))?;
    }
    if let Some(program) = process::find(PROGRAM) {
        return Ok(Qemu { program, unpacked: None, busybox });
    }
    let root = directory.join("qemu");
    let program = root.join("usr/bin").join(PROGRAM);
    if !process::is_executable(&program) {
        unpack(&root).with_context(|| {
            format!(
                "the program {PROGRAM} is missing, and Debian's cannot be unpacked\n\
                 put it on the PATH and run this again"
            )
        })?;
    }
    ensure!(process::is_executable(&program), "there is no {}", program.display());
    Ok(Qemu { program, unpacked: Some(root), busybox })
}

/// Unpacks the package and what it needs that is not installed.
fn unpack(root: &Path) -> Result<()> {
    step::announce("unpacking Debian's qemu: about 20 megabytes");
    let plan = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "--simulate", "--no-install-recommends", PACKAGE]);
        process::capture(command.env("LC_ALL", "C"))
    };
    let plan = plan().or_else(|_| debian::update().and_then(|()| plan()))?;
    for package in packages_to_install(&plan) {
        // Last comes the package itself: its program says that all is there.
        debian::unpack(package, root)?;
    }
    Ok(())
}

/// The packages that `apt-get --simulate` would install, in that order.
fn packages_to_install(plan: &str) -> impl Iterator<Item = &str> {
    plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
}

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_what_is_not_there() {
        let plan = "The following NEW packages will be installed:\n  libfdt1 qemu-system-x86\n\
                    Remv qemu-utils [1:10.0.2]\nInst libfdt1 (1.6.1 Debian:12 [amd64])\n\
                    Inst qemu-system-x86 (1:7.2 Debian:12 [amd64])\nConf libfdt1 (1.6.1)\n";
        let packages: Vec<&str> = packages_to_install(plan).collect();
        assert_eq!(packages, ["libfdt1", "qemu-system-x86"]);
    }
}
