//! File systems of a scenario: a disk that can freeze, and a place for pins.
//!
//! Invariant: each is mounted below a directory of its own and unmounted by its drop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// An ext4 file system in a file.
#[derive(Debug)]
pub(super) struct Disk {
    mount: Mount,
}

/// A disk that writes nothing until this is dropped.
#[derive(Debug)]
pub(super) struct Frozen<'a>(&'a Path);

/// A file system for pins.
#[derive(Debug)]
pub(super) struct BpfFs {
    mount: Mount,
}

#[derive(Debug)]
struct Mount {
    path: PathBuf,
    _directory: TempDir,
}

impl Disk {
    /// Sixteen megabytes.
    pub(super) fn make() -> Result<Self> {
        let directory = own_directory()?;
        let image = directory.path().join("image");
        fs::File::create(&image)?.set_len(16 << 20)?;
        run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        let image = image.display().to_string();
        Ok(Self { mount: Mount::make(directory, &["-o", "loop", &image])? })
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &Path {
        &self.mount.path
    }

    /// From now on whoever writes to it waits.
    pub(super) fn freeze(&self) -> Result<Frozen<'_>> {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.path()))?;
        Ok(Frozen(self.path()))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        drop(Command::new("fsfreeze").arg("--unfreeze").arg(self.0).status());
    }
}

impl BpfFs {
    /// An empty one.
    pub(super) fn mount() -> Result<Self> {
        Ok(Self { mount: Mount::make(own_directory()?, &["-t", "bpf", "bpf"])? })
    }

    /// For a daemon's pins.
    pub(super) fn directory(&self) -> PathBuf {
        self.mount.path.join("shedder")
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.directory()));
    }
}

impl Mount {
    fn make(directory: TempDir, what: &[&str]) -> Result<Self> {
        let path = directory.path().join("mounted");
        fs::create_dir(&path)?;
        run(Command::new("mount").args(what).arg(&path))?;
        Ok(Self { path, _directory: directory })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: what a process that is just ending holds of it goes with that process.
        drop(Command::new("umount").arg("--lazy").arg(&self.path).status());
    }
}

fn own_directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("shedder-lab-").tempdir()?)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(())
}
