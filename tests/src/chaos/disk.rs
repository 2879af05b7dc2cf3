//! A disk that can freeze.
//!
//! Invariant: it is a file, mounted in a directory of its own and unmounted by its drop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// An ext4 file system in a file.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    _directory: TempDir,
}

/// A disk that writes nothing until this is dropped.
#[derive(Debug)]
pub(super) struct Frozen<'a>(&'a Path);

impl Disk {
    /// Sixteen megabytes.
    pub(super) fn make() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        let image = directory.path().join("image");
        fs::File::create(&image)?.set_len(16 << 20)?;
        run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        let path = directory.path().join("mounted");
        fs::create_dir(&path)?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&path))?;
        Ok(Self { path, _directory: directory })
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &Path {
        &self.path
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

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: what a process that is just ending holds of it goes with that process.
        drop(Command::new("umount").arg("--lazy").arg(&self.path).status());
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(())
}
