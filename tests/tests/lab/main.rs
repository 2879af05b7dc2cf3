//! Proves each promise of the lab against the real kernel. Needs root.
//!
//! Invariant: every test makes its own cgroup, backend and namespace, so all run at once.

mod backends;
mod callers;
mod cgroups;
mod generator;
mod namespaces;
mod sockets;
mod wires;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Long enough for anything that is going to happen at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// A caller with a cgroup of its own; the cgroup must outlive the caller's last call.
fn caller(label: &str) -> (Caller, Cgroup) {
    let cgroup = Cgroup::new(label).expect("a cgroup can be made: run as root");
    let caller = Caller::spawn(&cgroup).expect("a caller starts");
    (caller, cgroup)
}
