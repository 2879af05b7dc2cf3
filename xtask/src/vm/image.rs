//! What is in a guest: its first program, the programs under test, and what those call.
//!
//! Invariant: all of it is read from this machine when the image is made; a guest shares nothing
//! with it and leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::archive::Archive;
use super::kernel::Kernel;
use super::programs::Programs;
use super::qemu::Qemu;
use crate::paths;
use crate::process;

/// Write the image for one kernel; where it is.
pub(super) fn build(
    kernel: &Kernel,
    programs: &Programs,
    qemu: &Qemu,
    arguments: &[String],
    directory: &Path,
) -> Result<PathBuf> {
    let mut archive = Archive::default();
    archive.add_file("/init", include_bytes!("init.sh"));
    archive.add_copy("/bin/busybox", &qemu.busybox)?;
    archive.add_file("/arguments", format!("{}\n", arguments.join("\n")).as_bytes());
    archive.add_file("/paths", shell_paths(programs).as_bytes());
    for (path, content) in SETTINGS {
        archive.add_file(path, content.as_bytes());
    }
    // Where the tests are run, and where they expect to be.
    archive.add_directory(&text(&paths::root().join("tests")));

    let mut copies = vec![programs.tests.clone(), programs.daemon.clone()];
    copies.extend(programs.others.iter().cloned());
    for tool in TOOLS {
        let found = process::find(tool);
        copies.push(found.with_context(|| format!("the kernel tests call {tool}; install it"))?);
    }
    for program in &copies {
        archive.add_copy(&text(program), program)?;
    }
    for library in libraries(&copies)? {
        archive.add_copy(&text(&library), &library)?;
    }
    add_modules(&mut archive, kernel)?;

    let path = directory.join(format!("{}.cpio", kernel.release));
    fs::write(&path, archive.finish())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Every library that any of these programs loads.
fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for program in programs {
        let loaded = process::capture(Command::new("ldd").arg(program))?;
        found.extend(paths_in(&loaded).map(PathBuf::from));
    }
    Ok(found)
}

fn paths_in(loaded: &str) -> impl Iterator<Item = &str> {
    loaded.split_whitespace().filter(|word| word.starts_with('/'))
}

/// What the kernel loads by itself when a test makes interfaces, rules or sockets.
fn add_modules(archive: &mut Archive, kernel: &Kernel) -> Result<()> {
    let home = Path::new("/lib/modules").join(&kernel.release);
    let mut pending: Vec<PathBuf> = MODULES.map(PathBuf::from).into();
    while let Some(path) = pending.pop() {
        let source = kernel.modules.join(&path);
        if source.is_dir() {
            let entries = fs::read_dir(&source).context("cannot read a directory of modules")?;
            for entry in entries {
                pending.push(path.join(entry.context("cannot read a directory")?.file_name()));
            }
        } else if source.exists() {
            archive.add_copy(&text(&home.join(&path)), &source)?;
        }
    }
    Ok(())
}

fn shell_paths(programs: &Programs) -> String {
    let Programs { tests, daemon, .. } = programs;
    let directory = paths::root().join("tests");
    format!(
        "tests='{}'\ndaemon='{}'\ndirectory='{}'\n",
        tests.display(),
        daemon.display(),
        directory.display()
    )
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What the kernel tests call, besides what busybox has.
const TOOLS: [&str; 5] = ["bash", "ip", "nft", "ss", "unshare"];

/// Below `lib/modules/RELEASE`.
const MODULES: [&str; 9] = [
    "modules.dep",
    "modules.alias",
    "modules.symbols",
    "kernel/arch",
    "kernel/crypto",
    "kernel/lib",
    "kernel/net",
    "kernel/drivers/net/dummy.ko",
    "kernel/drivers/net/veth.ko",
];

const SETTINGS: [(&str, &str); 2] = [
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_read_from_what_ldd_says() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f00)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f01)\n";
        let found: Vec<&str> = paths_in(said).collect();
        assert_eq!(found, ["/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
