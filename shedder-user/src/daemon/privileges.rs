//! What this process may do: enough to guard, and no more than that for as long as it lives.
//!
//! Three times less: at start whatever a daemon never needs goes ([`drop_others`]), once it is attached each
//! thread keeps what its work takes ([`Work`]).
//!
//! Invariant: what is given up never comes back, neither to this process nor to one it might start.

use anyhow::bail;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};
use tracing::{debug, warn};

/// Fails early and clearly, instead of at the first system call, when this process may not load
/// and attach programs.
pub fn require() -> anyhow::Result<()> {
    let has = capabilities(None)?.effective;
    let missing: Vec<&str> = NEEDED
        .into_iter()
        .filter(|(capability, _)| !has.intersects(*capability | CapabilitySet::SYS_ADMIN))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("shedder run needs root, or at least {}: try sudo", missing.join(", "))
}

/// Gives up whatever else this process may do. To be called while it has one thread: those it starts
/// have what it has.
pub(super) fn drop_others() {
    let outcome = try_drop_others();
    match outcome {
        Ok(kept) => debug!(?kept, "gave up all other capabilities"),
        // It is as safe as it was before.
        Err(error) => warn!(%error, "capabilities that are not needed cannot be given up"),
    }
}

fn try_drop_others() -> rustix::io::Result<CapabilitySet> {
    if capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        for other in (CapabilitySet::all() - KEPT).iter() {
            match remove_capability_from_bounding_set(other) {
                // A kernel that does not know it.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let kept = keep(KEPT)?;
    set_no_new_privs(true)?;
    Ok(kept)
}

/// What a thread does once programs are attached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// Deciding, and talking to clients: attach to further cgroups (`CAP_BPF`, `CAP_NET_ADMIN`); read a policy
    /// file and cgroups of others (`CAP_DAC_READ_SEARCH`).
    Guarding,
    /// Writing the journal, and letting a group read it (`CAP_CHOWN`).
    Journal,
    /// Finding a process's network namespace, entering it, and ending connections there
    /// (`CAP_SYS_PTRACE`, `CAP_SYS_ADMIN`, `CAP_NET_ADMIN`).
    Namespaces,
}

impl Work {
    const fn takes(self) -> CapabilitySet {
        match self {
            Self::Guarding => CapabilitySet::BPF
                .union(CapabilitySet::NET_ADMIN)
                .union(CapabilitySet::DAC_READ_SEARCH),
            Self::Journal => CapabilitySet::CHOWN,
            Self::Namespaces => CapabilitySet::SYS_PTRACE
                .union(CapabilitySet::SYS_ADMIN)
                .union(CapabilitySet::NET_ADMIN),
        }
    }
}

/// The calling thread, and those it starts from now on, keep what their work takes.
pub(super) fn keep_for(work: Work) {
    if let Err(error) = keep(work.takes()) {
        warn!(%error, ?work, "capabilities that are not needed cannot be given up");
    }
}

fn keep(capabilities_needed: CapabilitySet) -> rustix::io::Result<CapabilitySet> {
    let kept = capabilities(None)?.permitted & capabilities_needed;
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)?;
    Ok(kept)
}

/// Without these, or `CAP_SYS_ADMIN` in the place of any, nothing is loaded.
const NEEDED: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
];

/// Until programs are attached: programs and sockets (the first three); entering other network namespaces; asking in which one a
/// process of another user is; reading cgroups and policy files of others; handing socket and journal to a
/// group; a page below port 1024.
const KEPT: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::NET_BIND_SERVICE);
