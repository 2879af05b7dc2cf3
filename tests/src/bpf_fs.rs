//! A bpf file system of one's own, for pins that are nobody else's.
//!
//! Invariant: nothing is pinned in the node's own, and what is pinned here goes with the value.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A mounted bpf file system; its drop removes the pins in its directory `shedder`.
#[derive(Debug)]
pub struct BpfFs(PathBuf);

impl BpfFs {
    /// Mounts one at `bpf` in this directory.
    pub fn mount(directory: &Path) -> Result<Self> {
        let path = directory.join("bpf");
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let status = Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&path).status()?;
        ensure!(status.success(), "a bpf file system cannot be mounted: run as root");
        Ok(Self(path))
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory for a daemon's pins, which is the daemon's to make.
    pub fn pins(&self) -> PathBuf {
        self.0.join(PINS)
    }

    /// Everything that is pinned there, maps first.
    pub fn pinned(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for version in fs::read_dir(self.pins())? {
            for file in fs::read_dir(version?.path())? {
                files.push(file?.path());
            }
        }
        files.sort_by_key(|path| (!is_map(path), path.clone()));
        Ok(files)
    }

    /// The links that are pinned there.
    pub fn links(&self) -> Result<Vec<PathBuf>> {
        Ok(self.pinned()?.into_iter().filter(|path| !is_map(path)).collect())
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.pins()));
        // Lazily: what a process that is just ending holds of it goes with that process.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

fn is_map(path: &Path) -> bool {
    path.to_string_lossy().contains("/map-")
}

const PINS: &str = "shedder";
