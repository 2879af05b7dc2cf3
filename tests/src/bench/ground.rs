//! Where kernel programs are measured: a network namespace, a cgroup, a server, a CPU.
//!
//! Invariant: client, programs and server live in what was made for the measurement, so nothing else
//! of the node is guarded or measured.

use anyhow::{Context, Result};

use super::machine::{self, Machine};
use super::membership::Membership;
use super::server::{self, Server};
use crate::cgroup::Cgroup;
use crate::netns::NetNs;

/// A place to measure in, with a server that runs.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) machine: Machine,
    pub(super) client_cpu: usize,
    pub(super) server_cpu: usize,
    namespace: NetNs,
    /// Ends with this value.
    _server: Server,
}

impl Ground {
    /// The client's CPU is the last there is unless given, the server's the first. The server starts
    /// here, before this process joins a cgroup, so it is not guarded.
    pub(super) fn prepare(client_cpu: Option<usize>, server_cpu: Option<usize>) -> Result<Self> {
        let (machine, cpus) = (Machine::describe()?, machine::available_cpus()?);
        let client_cpu = client_cpu.or_else(|| cpus.last().copied()).unwrap_or_default();
        let server_cpu = server_cpu.or_else(|| cpus.first().copied()).unwrap_or_default();
        let namespace = NetNs::new("bench")?;
        namespace.ip(PROMPT_ROUTE)?;
        let server = Server::start(&namespace, server::Options { cpu: server_cpu, client_cpu })?;
        Ok(Self { machine, client_cpu, server_cpu, namespace, _server: server })
    }

    /// Runs on the one thread that is the client: in the namespace, on its CPU, in the cgroup.
    pub(super) fn enter<T: Send>(
        &self,
        measure: impl FnOnce(&Cgroup) -> Result<T> + Send,
    ) -> Result<T> {
        self.namespace.enter(|| {
            machine::pin_to(self.client_cpu)?;
            forget_closed_connections()?;
            let membership = Membership::join("bench")?;
            measure(membership.cgroup())
        })?
    }
}

/// Closed connections keep their ports for a minute; a namespace of our own may do without, so
/// that no port ever becomes scarce. The operations measured do the same work either way.
fn forget_closed_connections() -> Result<()> {
    std::fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0")
        .context("cannot set tcp_max_tw_buckets in a network namespace of our own")
}

/// A route for the endpoints of the connects over which the end of a connection is acknowledged
/// at once: left to a timer, all acknowledgements of a jiffy would fall into one operation.
const PROMPT_ROUTE: &str =
    "route add local 127.1.0.0/16 dev lo table local src 127.1.0.1 quickack 1";
