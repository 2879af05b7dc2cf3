//! Keeping programs attached beyond the life of this process.
//!
//! The directory is ours alone: bpffs is world-writable at its root, and whoever can open a pin can
//! detach it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use rustix::fs::{FlockOperation, flock};

use super::hook::Hook;

/// A directory in bpffs for the links of this daemon.
#[derive(Debug)]
pub struct Pins {
    directory: PathBuf,
    /// Locked for as long as the daemon lives, so that no other takes its links for leftovers.
    _lock: File,
}

/// Why links cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Not bpffs.
    #[error("{0} is not in a bpf file system; mount one with: mount -t bpf bpf /sys/fs/bpf")]
    NotBpffs(PathBuf),
    /// Somebody else could change it.
    #[error("{0} is not a directory of root alone (mode 0700); remove it")]
    Untrusted(PathBuf),
    /// Another daemon's.
    #[error("{0} holds the links of another shedder; set another pin_dir in [node]")]
    InUse(PathBuf),
    /// The kernel refused.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A link could not be pinned.
    #[error("the link {path} cannot be pinned: {source}")]
    Pin {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: aya::pin::PinError,
    },
}

impl Pins {
    /// Makes the directory if it is not there, and checks that it is ours.
    pub fn prepare(directory: &Path) -> Result<Self, PinError> {
        let failed = |source| PinError::Io { path: directory.to_owned(), source };
        let parent = directory.parent().unwrap_or(directory);
        if !is_bpffs(parent).map_err(failed)? {
            return Err(PinError::NotBpffs(directory.to_owned()));
        }
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        require_ours(directory)?;
        let lock = lock(directory).map_err(failed)?;
        let lock = lock.ok_or_else(|| PinError::InUse(directory.to_owned()))?;
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// Removes every link an earlier daemon left, which detaches its programs; how many there were.
    /// A directory that does not exist, or belongs to a daemon that lives, holds none; one that is
    /// not ours is refused, and what is no link of ours stays.
    pub fn clear(directory: &Path) -> Result<usize, PinError> {
        let failed = |source| PinError::Io { path: directory.to_owned(), source };
        if !require_ours(directory)? {
            return Ok(0);
        }
        let Some(_lock) = lock(directory).map_err(failed)? else { return Ok(0) };
        let mut removed = 0;
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if is_link_name(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path()).map_err(failed)?;
                removed += 1;
            }
        }
        // Left in place when something of somebody else's is in it.
        drop(fs::remove_dir(directory));
        Ok(removed)
    }

    /// Pins one of a cgroup's links.
    pub(super) fn pin(
        &self,
        link: FdLink,
        cgroup: u64,
        hook: &str,
    ) -> Result<PinnedLink, PinError> {
        let path = self.path(cgroup, hook);
        link.pin(&path).map_err(|source| PinError::Pin { path, source })
    }

    /// Unpins whatever links a cgroup has.
    pub fn forget(&self, cgroup: u64) {
        for hook in Hook::ALL {
            self.unpin(cgroup, hook);
        }
    }

    /// Unpins one of a cgroup's links, if it has it.
    pub(super) fn unpin(&self, cgroup: u64, hook: Hook) {
        let path = self.path(cgroup, hook.name());
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot unpin");
        }
    }

    fn path(&self, cgroup: u64, hook: &str) -> PathBuf {
        self.directory.join(format!("{cgroup}-{hook}"))
    }
}

/// Whether the directory exists; refuses one that anyone but root could change, because whoever
/// can is able to detach programs or to have other files taken for links.
fn require_ours(directory: &Path) -> Result<bool, PinError> {
    let failed = |source| PinError::Io { path: directory.to_owned(), source };
    let metadata = match fs::symlink_metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_dir() || metadata.uid() != 0 || metadata.mode() & 0o077 != 0 {
        return Err(PinError::Untrusted(directory.to_owned()));
    }
    if !is_bpffs(directory).map_err(failed)? {
        return Err(PinError::NotBpffs(directory.to_owned()));
    }
    Ok(true)
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    let file_system = rustix::fs::statfs(path)?;
    #[expect(clippy::useless_conversion, reason = "the field's type differs by architecture")]
    Ok(i64::from(file_system.f_type) == BPF_FS_MAGIC)
}

/// Whether a file has the name of a pinned link: a cgroup's id and a hook.
fn is_link_name(name: &str) -> bool {
    name.split_once('-').is_some_and(|(cgroup, hook)| {
        cgroup.bytes().all(|byte| byte.is_ascii_digit())
            && Hook::ALL.iter().any(|known| known.name() == hook)
    })
}

/// Locks a directory; nothing when another process has it locked.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let directory = File::open(directory)?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(directory)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `BPF_FS_MAGIC` of the kernel's `magic.h`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
