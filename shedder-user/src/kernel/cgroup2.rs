//! Finding cgroups: where the v2 hierarchy is mounted, and what a pattern matches in it.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use procfs::process::Process;
use rustix::fs::{FlockOperation, flock};

/// The v2 hierarchy.
#[derive(Clone, Debug)]
pub struct Cgroup2 {
    mount: PathBuf,
}

/// A cgroup this process, and no other shedder, guards.
#[derive(Debug)]
pub struct GuardedCgroup {
    /// Its path in the hierarchy, beginning with a slash.
    pub name: String,
    /// Its id: the number of its directory.
    pub id: u64,
    pub(super) directory: File,
    /// Where the hierarchy is mounted.
    pub(super) mount: PathBuf,
    _claim: Claim,
}

/// A lock on a cgroup's id, held for as long as it is guarded.
///
/// Not on the cgroup itself, which any process may open and lock.
#[derive(Debug)]
struct Claim {
    path: PathBuf,
    _lock: File,
}

/// What is wrong with the hierarchy or one of its cgroups.
#[derive(Debug, thiserror::Error)]
pub enum Cgroup2Error {
    /// Nothing to guard.
    #[error(
        "no cgroup2 hierarchy is mounted; mount one with: mount -t cgroup2 none /sys/fs/cgroup"
    )]
    NotMounted,
    /// The list of mounts cannot be read.
    #[error("/proc/self/mountinfo cannot be read: {0}")]
    Mounts(#[from] procfs::ProcError),
    /// Not a pattern.
    #[error("{pattern:?} is no cgroup pattern: {source}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// A cgroup cannot be opened.
    #[error("cgroup {name} cannot be opened: {source}")]
    Open {
        /// Which.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Claims cannot be made.
    #[error("cgroups cannot be claimed in {CLAIMS}: {0}")]
    Claim(io::Error),
    /// Another daemon has it.
    #[error("cgroup {0} is guarded by another shedder already; stop that one first")]
    Guarded(String),
}

impl Cgroup2 {
    /// Looks the hierarchy up in the list of mounts.
    pub fn find() -> Result<Self, Cgroup2Error> {
        let mounts = Process::myself()?.mountinfo()?;
        let mut mounts = mounts.0.into_iter().filter(|mount| mount.fs_type == "cgroup2");
        let mount = mounts.next().ok_or(Cgroup2Error::NotMounted)?;
        Ok(Self { mount: mount.mount_point })
    }

    /// Where it is mounted.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The cgroups a pattern such as `/system.slice/web-*.service` matches, in order of name. The
    /// root never matches: its programs would run for every socket of the node.
    pub fn matching(&self, pattern: &str) -> Result<Vec<String>, Cgroup2Error> {
        let relative = pattern.trim_start_matches('/');
        let paths = if is_pattern(pattern) {
            let mount = glob::Pattern::escape(&self.mount.to_string_lossy());
            let paths = glob::glob(&format!("{mount}/{relative}"))
                .map_err(|source| Cgroup2Error::Pattern { pattern: pattern.to_owned(), source })?;
            paths.filter_map(Result::ok).collect()
        } else {
            // What has one name is not searched for: of a thousand callers each would be, twice a second.
            // By its components, as a search would give it.
            vec![self.mount.join(relative).components().collect()]
        };
        let mut names: Vec<String> = paths
            .into_iter()
            .filter(|path| path.is_dir())
            .filter_map(|path| Some(path.strip_prefix(&self.mount).ok()?.to_str()?.to_owned()))
            .filter(|name| !name.is_empty())
            .map(|name| format!("/{name}"))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Opens a cgroup and claims it against other daemons.
    pub fn guard(&self, name: &str) -> Result<GuardedCgroup, Cgroup2Error> {
        let open = |source| Cgroup2Error::Open { name: name.to_owned(), source };
        let directory = File::open(self.mount.join(name.trim_start_matches('/'))).map_err(open)?;
        let id = directory.metadata().map_err(open)?.ino();
        let claim = Claim::new(id).map_err(Cgroup2Error::Claim)?;
        let claim = claim.ok_or_else(|| Cgroup2Error::Guarded(name.to_owned()))?;
        Ok(GuardedCgroup {
            name: name.to_owned(),
            id,
            directory,
            mount: self.mount.clone(),
            _claim: claim,
        })
    }

    /// Whether a cgroup of this name and id still exists.
    pub fn exists(&self, name: &str, id: u64) -> bool {
        std::fs::metadata(self.mount.join(name.trim_start_matches('/')))
            .is_ok_and(|metadata| metadata.ino() == id)
    }
}

impl Claim {
    /// Claims a cgroup; nothing when another daemon has it.
    fn new(cgroup: u64) -> io::Result<Option<Self>> {
        DirBuilder::new().recursive(true).mode(0o700).create(CLAIMS)?;
        let path = Path::new(CLAIMS).join(cgroup.to_string());
        drop(File::create(&path)?);
        match Self::take(path)? {
            // Its last owner removed it between our making and locking it.
            Taken::Removed => Self::new(cgroup),
            Taken::Ours(claim) => Ok(Some(claim)),
            Taken::Theirs => Ok(None),
        }
    }

    /// Locks the file of a claim.
    fn take(path: PathBuf) -> io::Result<Taken> {
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taken::Removed),
            Err(error) => return Err(error),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if lock.metadata()?.nlink() == 0 => Ok(Taken::Removed),
            Ok(()) => Ok(Taken::Ours(Self { path, _lock: lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Taken::Theirs),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether what it names may come and go, and be many.
pub fn is_pattern(cgroups: &str) -> bool {
    cgroups.contains(['*', '?', '['])
}

/// What came of locking the file of a claim.
enum Taken {
    Ours(Claim),
    Theirs,
    Removed,
}

/// Removes the claims of daemons that were killed; their locks died with them.
pub fn drop_dead_claims() {
    let Ok(claims) = std::fs::read_dir(CLAIMS) else { return };
    for claim in claims.flatten() {
        // What can be locked is nobody's, and taking it removes it at once.
        drop(Claim::take(claim.path()));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove");
        }
    }
}

/// Where claims are made: a directory of root alone, in memory until the next boot.
pub const CLAIMS: &str = "/run/shedder-claims";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_one_name_is_called_as_a_search_would_call_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let mount = directory.path().to_owned();
        std::fs::create_dir_all(mount.join("a/b")).expect("it can be made");
        std::fs::write(mount.join("a/file"), "").expect("it can be written");
        let hierarchy = Cgroup2 { mount };
        let matching = |pattern| hierarchy.matching(pattern).expect("it is a pattern");
        for (name, pattern) in [
            ("/a/b", "/a/[b]"),
            ("/a//b", "/a//[b]"),
            ("/a/b/", "/a/[b]/"),
            ("/a/file", "/a/[f]ile"),
            ("/a/c", "/a/[c]"),
        ] {
            assert_eq!(matching(name), matching(pattern), "{name}");
        }
        assert_eq!(matching("/a//b/"), ["/a/b"]);
        assert!(matching("/").is_empty());
    }
}
