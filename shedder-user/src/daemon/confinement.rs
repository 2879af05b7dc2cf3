//! What this process may do once programs are attached, beyond what its capabilities say: call only what a
//! daemon calls ([`filter`]), read and write only where it must ([`fence`]).
//!
//! Invariant: whatever the kernel cannot hold it to is said, and the daemon goes on.

mod fence;
mod filter;

use std::path::{Path, PathBuf};
use std::thread;

use tracing::{debug, warn};

use self::fence::Fence;
use super::Daemon;
use super::privileges::{self, Work};
use crate::kernel::CLAIMS;
use crate::outpost;

/// Before anything is given up: threads for other network namespaces. They are outside the fence, because
/// the kernel shows a fenced thread nobody's namespaces.
pub(super) fn begin_outpost() {
    if let Err(error) = outpost::begin(|| privileges::keep_for(Work::Namespaces)) {
        warn!(%error, "other network namespaces cannot be entered: no thread can be started");
    }
}

/// The calling thread, which writes the journal, does nothing else from now on.
pub(super) fn confine_journal(directory: &Path) {
    privileges::keep_for(Work::Journal);
    if let Err(why) = (Fence { writes: vec![directory.to_owned()], ..Fence::default() }).enclose() {
        debug!("the journal's thread is not fenced: {why}");
    }
}

/// The calling thread, which does everything else, and those it starts keep what this takes; all threads
/// call only what a daemon calls. To be called when everything is attached.
pub(super) fn confine(daemon: &Daemon) {
    if let Err(why) = fence_for(daemon).enclose() {
        warn!("files are not fenced: {why}");
    }
    privileges::keep_for(Work::Guarding);
    if let Err(why) = filter::install_everywhere() {
        warn!("calls are not filtered: {why}");
    }
}

/// What holds a daemon on this kernel, found by trying on a thread of its own; or what does not.
pub fn try_confinement() -> [(&'static str, Result<&'static str, String>); 2] {
    let on_a_thread = |attempt: fn() -> Result<(), String>| {
        thread::spawn(attempt).join().unwrap_or_else(|_panic| Err("it panicked".to_owned()))
    };
    let files = on_a_thread(|| Fence::default().enclose());
    let calls = on_a_thread(filter::install_here);
    [
        ("files", files.map(|()| "once it guards, a daemon reads and writes only where it must")),
        ("calls", calls.map(|()| "once it guards, a daemon starts no program and loads none")),
    ]
}

fn fence_for(daemon: &Daemon) -> Fence {
    let Daemon { source, config, guard, .. } = daemon;
    let node = &config.node;
    let mut reads: Vec<PathBuf> = READS.iter().map(PathBuf::from).collect();
    reads.push(guard.mount().to_owned());
    reads.extend(source.places());
    let mut writes = vec![PathBuf::from(CLAIMS)];
    writes.extend(node.socket.parent().map(Path::to_owned));
    writes.extend(node.state_dir.clone());
    writes.extend(guard.is_pinning().then(|| node.pin_dir.clone()));
    let connects = node.otlp.iter().map(|otlp| otlp.port).chain([DNS]).collect();
    Fence { reads, writes, connects }
}

/// What looking up names reads (the resolver's settings and libraries), what the kernel tells, and the
/// kernel's types. What is not there is left out.
const READS: [&str; 10] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/proc",
    "/sys",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
];
/// Long answers come over TCP.
const DNS: u16 = 53;
