//! Keeping programs attached, and what they and the daemon know, beyond the life of this process.
//!
//! The directory is ours alone: bpffs is world-writable at its root, and whoever can open a pin can
//! detach it. In it each version of the kernel ABI has a directory of its own, because a daemon can go on
//! only with maps whose layout it knows.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, DirEntry, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use aya::maps::MapInfo;
use aya::programs::links::{FdLink, PinnedLink};
use rustix::fs::{FlockOperation, flock};
use shedder_common::{ABI_VERSION, map};

use super::hook::Hook;

/// A directory in bpffs for the links and maps of this daemon.
#[derive(Debug)]
pub struct Pins {
    /// Of this version of the ABI.
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
    #[error(
        "{0} holds the links of a shedder that runs; stop that one, or set another pin_dir in [node]"
    )]
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
    /// Makes the directory if it is not there, and checks that it is ours. What is in it already is an
    /// earlier daemon's.
    pub fn prepare(directory: &Path) -> Result<Self, PinError> {
        let failed = |source| PinError::Io { path: directory.to_owned(), source };
        let parent = directory.parent().unwrap_or(directory);
        if !is_bpffs(parent).map_err(failed)? {
            return Err(PinError::NotBpffs(directory.to_owned()));
        }
        make(directory)?;
        require_ours(directory)?;
        let lock = lock(directory).map_err(failed)?;
        let lock = lock.ok_or_else(|| PinError::InUse(directory.to_owned()))?;
        let directory = directory.join(version_name(ABI_VERSION));
        make(&directory)?;
        Ok(Self { directory, _lock: lock })
    }

    /// Removes everything an earlier daemon left, which detaches its programs; how many links there were.
    /// A directory that does not exist holds none; one that is not ours, or belongs to a daemon that
    /// lives, is refused, and what is neither link nor map of ours stays.
    pub fn clear(directory: &Path) -> Result<usize, PinError> {
        let failed = |source| PinError::Io { path: directory.to_owned(), source };
        if !require_ours(directory)? {
            return Ok(0);
        }
        let lock = lock(directory).map_err(failed)?;
        let _lock = lock.ok_or_else(|| PinError::InUse(directory.to_owned()))?;
        let removed = empty_all(directory)?;
        // Left in place when something of somebody else's is in it.
        drop(fs::remove_dir(directory));
        Ok(removed)
    }

    /// Why this daemon cannot go on where an earlier one was, whose maps should have so many rows; nothing
    /// if it can. Without an earlier one there is nothing to say, and nothing to go on with.
    pub fn obstacle(&self, rows: &[(&str, u32)]) -> Result<Option<String>, PinError> {
        let base = self.directory.parent().unwrap_or(&self.directory);
        for (version, _) in versions(base)? {
            if version != ABI_VERSION {
                return Ok(Some(format!(
                    "it has version {version} of the kernel ABI, and this shedder has {ABI_VERSION}"
                )));
            }
        }
        if !self.map(map::NODE).exists() {
            return Ok(None);
        }
        for name in map::KEPT {
            let Ok(info) = MapInfo::from_pin(self.map(name)) else {
                return Ok(Some(format!("its map {name} is missing")));
            };
            let wanted = rows.iter().find(|(other, _)| *other == name).map(|(_, rows)| *rows);
            if let Some(wanted) = wanted
                && info.max_entries() != wanted
            {
                return Ok(Some(format!(
                    "its map {name} has {} rows, and now there are to be {wanted}",
                    info.max_entries()
                )));
            }
        }
        Ok(None)
    }

    /// Whether an earlier daemon has left its maps.
    pub fn has_maps(&self) -> bool {
        self.map(map::NODE).exists()
    }

    /// Removes what an earlier daemon has left in spite of an obstacle; how many links there were.
    pub fn start_clean(&self) -> Result<usize, PinError> {
        let removed = empty_all(self.directory.parent().unwrap_or(&self.directory))?;
        make(&self.directory)?;
        Ok(removed)
    }

    /// Where a map is pinned.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{MAP_PREFIX}{name}"))
    }

    /// The link an earlier daemon left for a hook of a cgroup.
    pub(super) fn left(&self, cgroup: u64, hook: Hook) -> Option<PathBuf> {
        Some(self.path(cgroup, hook.name())).filter(|path| path.exists())
    }

    /// Unpins the links of all cgroups but these; of how many cgroups there were any.
    pub fn retain(&self, cgroups: &BTreeSet<u64>) -> Result<usize, PinError> {
        let mut others = BTreeSet::new();
        for (name, path) in entries(&self.directory)? {
            let Some(cgroup) = cgroup_of_link(&name) else { continue };
            if !cgroups.contains(&cgroup) {
                fs::remove_file(&path).map_err(|source| PinError::Io { path, source })?;
                others.insert(cgroup);
            }
        }
        Ok(others.len())
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

fn make(directory: &Path) -> Result<(), PinError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(PinError::Io { path: directory.to_owned(), source }),
    }
}

/// The directories of ABI versions in a pin directory.
fn versions(directory: &Path) -> Result<Vec<(u32, PathBuf)>, PinError> {
    let version = |name: &str| name.strip_prefix(VERSION_PREFIX)?.parse().ok();
    let entries = entries(directory)?.into_iter();
    Ok(entries.filter_map(|(name, path)| Some((version(&name)?, path))).collect())
}

fn version_name(version: u32) -> String {
    format!("{VERSION_PREFIX}{version}")
}

/// Removes what every version has left, and its directory; how many links there were.
fn empty_all(directory: &Path) -> Result<usize, PinError> {
    let mut removed = 0;
    for (_, own) in versions(directory)? {
        removed += empty(&own)?;
        // Left in place when something of somebody else's is in it.
        drop(fs::remove_dir(own));
    }
    Ok(removed)
}

/// Removes links, those that decide first, then maps; how many links there were.
fn empty(directory: &Path) -> Result<usize, PinError> {
    let remove = |path: &PathBuf| {
        fs::remove_file(path).map_err(|source| PinError::Io { path: path.clone(), source })
    };
    let entries = entries(directory)?;
    let mut links: Vec<_> =
        entries.iter().filter(|(name, _)| cgroup_of_link(name).is_some()).collect();
    links.sort_by_key(|(name, _)| !name.contains("-connect"));
    for (_, path) in &links {
        remove(path)?;
    }
    for (_, path) in entries.iter().filter(|(name, _)| name.starts_with(MAP_PREFIX)) {
        remove(path)?;
    }
    Ok(links.len())
}

fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, PinError> {
    let failed = |source| PinError::Io { path: directory.to_owned(), source };
    let entry = |entry: io::Result<DirEntry>| {
        let entry = entry.map_err(failed)?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
    };
    fs::read_dir(directory).map_err(failed)?.map(entry).collect()
}

/// The cgroup of a pinned link; nothing where a file has not the name of one: a cgroup's id and a hook.
fn cgroup_of_link(name: &str) -> Option<u64> {
    let (cgroup, hook) = name.split_once('-')?;
    let is_hook = Hook::ALL.iter().any(|known| known.name() == hook);
    cgroup.parse().ok().filter(|_| is_hook)
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

const VERSION_PREFIX: &str = "abi-";
const MAP_PREFIX: &str = "map-";
/// `BPF_FS_MAGIC` of the kernel's `magic.h`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
