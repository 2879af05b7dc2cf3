//! Where calls are refused in one way: a network namespace, and what refuses in it.
//!
//! Invariant: every way has a namespace of its own, so none passes the rules of another.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::arm::Arm;
use super::call::{Call, Seen, Step};
use crate::backend::{Backend, Behaviour};
use crate::bench::peers::guard::PROXY;
use crate::bench::peers::proxy::Proxy;
use crate::bench::peers::site::endpoint;
use crate::clock::{now, remaining};
use crate::daemon::{Daemon, NO_BRAKES};
use crate::netns::NetNs;
use crate::vitals::processor_time;

/// A way of being refused. Dropped in the order of its fields.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) arm: Arm,
    refuser: Refuser,
    /// Those of shedder and nftables are well, so that a call that is not refused is seen.
    backends: Vec<Backend>,
    namespace: NetNs,
    /// Where calls go.
    target: SocketAddr,
}

/// What refuses.
#[derive(Debug)]
enum Refuser {
    Kernel,
    Shedder(Box<Daemon>),
    Proxy(Proxy),
}

impl Place {
    /// Builds it; what is in this cgroup is refused by shedder, where that is what refuses. It ends with the
    /// calling thread, if that is earlier.
    pub(super) fn build(arm: Arm, cgroup: &str) -> Result<Self> {
        let namespace = NetNs::new("refusing")?;
        namespace.set("ipv4/ip_local_port_range", "10000 60999")?;
        // Closed connections keep their ports for a minute; no way is to be measured by that.
        namespace.set("ipv4/tcp_max_tw_buckets", "0")?;
        let behaviour = match arm {
            Arm::ClosedPort | Arm::Proxy(_) => Behaviour::Refuse,
            Arm::Nftables | Arm::Shedder => Behaviour::Healthy,
        };
        let start = |address: &SocketAddr| Backend::start_at(*address, behaviour);
        let backends =
            namespace.enter(|| ENDPOINTS.iter().map(start).collect::<Result<Vec<_>>>())??;
        let (refuser, target) = match arm {
            Arm::ClosedPort => (Refuser::Kernel, ENDPOINTS[0]),
            Arm::Nftables => {
                namespace.nft(&rules(ENDPOINTS[0]))?;
                (Refuser::Kernel, ENDPOINTS[0])
            }
            Arm::Shedder => {
                let daemon = Daemon::start_or_advise(&policy(cgroup, ENDPOINTS[0]), &[])?;
                daemon.succeed(&["trip", &ENDPOINTS[0].to_string(), "--for", "2h"])?;
                (Refuser::Shedder(Box::new(daemon)), ENDPOINTS[0])
            }
            Arm::Proxy(product) => {
                let proxy = Proxy::start(product, &namespace, PROXY, &ENDPOINTS)?;
                (Refuser::Proxy(proxy), PROXY)
            }
        };
        Ok(Self { arm, refuser, backends, namespace, target })
    }

    /// Runs on a thread of its own in the network namespace.
    pub(super) fn enter<T: Send>(&self, run: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespace.enter(run)
    }

    /// Makes one call after the other for so long, which must all be refused. From inside.
    pub(super) fn call_for(&self, length: Duration, mut note: impl FnMut(Call)) -> Result<()> {
        let deadline = now() + length;
        while remaining(deadline).is_some() {
            let call = Call::make(self.target)?;
            ensure!(self.is_expected(call.seen), "a call saw {}", call.seen);
            note(call);
        }
        Ok(())
    }

    /// Makes one call, which may succeed; whether it was refused. From inside.
    pub(super) fn is_refusing(&self) -> bool {
        Call::make(self.target).is_ok_and(|call| self.is_expected(call.seen))
    }

    /// The processor time of the processes that refuse.
    pub(super) fn guard_time(&self) -> Result<Duration> {
        match &self.refuser {
            Refuser::Kernel => Ok(Duration::ZERO),
            Refuser::Shedder(daemon) => processor_time(daemon.pid()),
            Refuser::Proxy(proxy) => proxy.pids()?.into_iter().map(processor_time).sum(),
        }
    }

    /// How many connects have been made to the endpoints so far.
    pub(super) fn reached(&self) -> Result<u64> {
        match self.arm {
            // Nobody else connects in this namespace, and whoever connects to them fails.
            Arm::ClosedPort | Arm::Proxy(_) => self.namespace.counter("Tcp", "AttemptFails"),
            Arm::Nftables | Arm::Shedder => Ok(self.backends.iter().map(Backend::accepted).sum()),
        }
    }

    /// Only a verdict is told by this number, and how a proxy refuses is what is asked.
    fn is_expected(&self, seen: Seen) -> bool {
        match self.arm {
            Arm::ClosedPort | Arm::Nftables => {
                seen == Seen::Error(Step::Connect, libc::ECONNREFUSED)
            }
            Arm::Shedder => seen == Seen::Error(Step::Connect, libc::EHOSTUNREACH),
            Arm::Proxy(_) => true,
        }
    }
}

fn rules(endpoint: SocketAddr) -> String {
    let (ip, port) = (endpoint.ip(), endpoint.port());
    format!(
        "table inet refusing {{ chain out {{ type filter hook output priority 0;\n\
         ip daddr {ip} tcp dport {port} reject with tcp reset\n}}\n}}\n"
    )
}

/// Refused again and again on purpose: what brakes a daemon that may be wrong is lifted.
fn policy(cgroup: &str, endpoint: SocketAddr) -> String {
    format!(
        r#"
[node]
brakes = {NO_BRAKES}
[[caller]]
name = "client"
cgroups = ["{cgroup}"]
[[service]]
name = "down"
endpoints = ["{endpoint}"]
[[policy]]
caller = "client"
service = "down"
mode = "enforce"
open = {{ errno = "EHOSTUNREACH" }}
safety = {{ max_open_percent = 100, lone = "open", false_refusals = 0 }}
"#
    )
}

/// Two, as a proxy should have.
const ENDPOINTS: [SocketAddr; 2] = [endpoint(1), endpoint(2)];
