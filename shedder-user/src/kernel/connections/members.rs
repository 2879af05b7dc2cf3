//! Whose sockets to look for, and where: the cgroups below some cgroups, and the network namespaces
//! of their processes.
//!
//! Invariant: a cgroup or process that goes away meanwhile is no trouble.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::ConnectionsError;

/// What there is in some cgroups.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// The ids of these cgroups and of all below them.
    pub(super) cgroups: BTreeSet<u64>,
    /// Where their processes live, each once.
    pub(super) namespaces: BTreeMap<NamespaceId, Namespace>,
    pub(super) trouble: Option<ConnectionsError>,
}

/// A namespace, and a cgroup with a process in it.
#[derive(Debug)]
pub(super) struct Namespace {
    file: File,
    cgroup: PathBuf,
}

/// Device and number of its file.
type NamespaceId = (u64, u64);

impl Members {
    pub(super) fn of(cgroups: &[PathBuf]) -> Self {
        let mut members = Self::default();
        for cgroup in cgroups {
            members.add(cgroup);
        }
        members
    }

    /// Adds a cgroup and those below it.
    fn add(&mut self, cgroup: &Path) {
        let Ok(metadata) = fs::metadata(cgroup) else { return };
        self.cgroups.insert(metadata.ino());
        match fs::read_to_string(cgroup.join("cgroup.procs")) {
            Ok(processes) => {
                for process in processes.lines() {
                    self.add_namespace(process, cgroup);
                }
            }
            // The processes of a threaded cgroup are listed in one above it.
            Err(error) if is_gone(&error) || error.kind() == ErrorKind::Unsupported => {}
            Err(source) => {
                let cgroup = cgroup.display().to_string();
                let error = ConnectionsError::Processes { cgroup, source };
                self.trouble.get_or_insert(error);
            }
        }
        let Ok(entries) = fs::read_dir(cgroup) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(&entry.path());
            }
        }
    }

    fn add_namespace(&mut self, process: &str, cgroup: &Path) {
        let path = format!("/proc/{process}/ns/net");
        let found = fs::metadata(&path).and_then(|metadata| {
            let id = id(&metadata);
            let is_new = !self.namespaces.contains_key(&id);
            Ok(if is_new { Some((id, File::open(&path)?)) } else { None })
        });
        match found {
            Ok(Some((id, file))) => {
                self.namespaces.insert(id, Namespace { file, cgroup: cgroup.to_owned() });
            }
            Ok(None) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                self.trouble.get_or_insert_with(|| closed(cgroup, error));
            }
        }
    }
}

/// Does something in each namespace, on a thread that ends with this function.
pub(super) fn in_each<T: Send>(
    namespaces: BTreeMap<NamespaceId, Namespace>,
    trouble: &mut Option<ConnectionsError>,
    work: impl Fn() -> Result<T, ConnectionsError> + Send,
) -> Vec<T> {
    let results = thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("namespaces".to_owned())
            .spawn_scoped(scope, || visit(namespaces, work))?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let results: Vec<Result<T, ConnectionsError>> =
        results.unwrap_or_else(|error: io::Error| vec![Err(ConnectionsError::Thread(error))]);
    let mut done = Vec::new();
    for result in results {
        match result {
            Ok(result) => done.push(result),
            Err(error) => drop(trouble.get_or_insert(error)),
        }
    }
    done
}

/// Moves the calling thread.
fn visit<T>(
    namespaces: BTreeMap<NamespaceId, Namespace>,
    work: impl Fn() -> Result<T, ConnectionsError>,
) -> Vec<Result<T, ConnectionsError>> {
    let mut present = fs::metadata("/proc/thread-self/ns/net").ok().as_ref().map(id);
    namespaces
        .into_iter()
        .map(|(id, Namespace { file, cgroup })| {
            // The own namespace needs no privilege to be in.
            if present != Some(id) {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(|error| closed(&cgroup, error.into()))?;
                present = Some(id);
            }
            work()
        })
        .collect()
}

fn closed(cgroup: &Path, source: io::Error) -> ConnectionsError {
    ConnectionsError::Namespace { cgroup: cgroup.display().to_string(), source }
}

fn id(metadata: &Metadata) -> NamespaceId {
    (metadata.dev(), metadata.ino())
}

/// Of a file of a process or cgroup that has ended.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || matches!(
            rustix::io::Errno::from_io_error(error),
            Some(rustix::io::Errno::SRCH | rustix::io::Errno::NODEV)
        )
}
