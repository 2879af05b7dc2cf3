//! Descriptors: each guarded cgroup takes a dozen, and what shells and systemd allow by themselves is a
//! thousand.
//!
//! Invariant: nobody is asked for more than the limit that root has set.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Takes as many as are allowed.
pub(super) fn make_room() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        warn!(%error, "no more cgroups can be guarded than the limit of open files allows");
    }
}
