//! The ground a scenario is played on: a network namespace and a guarded cgroup, and waiting.
//!
//! Invariant: it is made first and goes last, so whatever stands on it is gone before.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::client::{Client, Load, Tool};
use super::guard::{Guard, Service, policy};
use super::kit::Kit;
use super::ledger::Ledger;
use super::proxy::Proxy;
use super::server::Server;
use crate::cgroup::Cgroup;
use crate::clock::{now, remaining};
use crate::interrupt;
use crate::netns::NetNs;

/// Where a scenario is played.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) namespace: NetNs,
    pub(super) cgroup: Cgroup,
}

impl Ground {
    /// An empty one.
    pub(super) fn new(label: &str) -> Result<Self> {
        interrupt::check()?;
        let namespace = NetNs::new(label)?;
        // As on a node that callers do not run out of ports on.
        namespace.set("ipv4/ip_local_port_range", "10000 60999")?;
        Ok(Self { namespace, cgroup: Cgroup::new(&format!("chaos-{label}"))? })
    }

    /// nginx that answers, at these addresses.
    pub(super) fn nginx(&self, addresses: &[SocketAddr]) -> Result<Vec<Server<'_>>> {
        let start = |it: &SocketAddr| Server::nginx(&self.namespace, *it, "return 200 ok;");
        addresses.iter().map(start).collect()
    }

    /// A proxy at `address` before a server.
    pub(super) fn proxy(&self, address: SocketAddr, server: &Server<'_>) -> Result<Proxy> {
        Proxy::start(&self.namespace, address, server.address())
    }

    /// A daemon that guards the cgroup.
    pub(super) fn guard(&self, node: &str, services: &[Service<'_>]) -> Result<Guard> {
        Guard::start(&policy(node, &[self.cgroup.name()], services))
    }

    /// A caller in the guarded cgroup.
    pub(super) fn client(
        &self,
        kit: &Kit,
        ledger: &Ledger,
        (tool, load): (Tool, Load),
        targets: &[SocketAddr],
    ) -> Result<Client> {
        Client::start(kit, tool, load, (&self.cgroup, &self.namespace), targets, ledger)
    }

    /// Several callers, each calling all targets; waits until each has had an answer from each.
    pub(super) fn clients(
        &self,
        kit: &Kit,
        ledger: &Ledger,
        loads: &[(Tool, Load)],
        targets: &[SocketAddr],
    ) -> Result<Vec<Client>> {
        let start = |load: &(Tool, Load)| self.client(kit, ledger, *load, targets);
        let mut clients = loads.iter().map(start).collect::<Result<Vec<_>>>()?;
        let deadline = now() + WARM_UP;
        for (position, (tool, _)) in loads.iter().enumerate() {
            for to in targets {
                while ledger.count(|call| call.tool == *tool && call.to == *to) < 2 {
                    clients[position].check()?;
                    pause(STEP)?;
                    if now() > deadline {
                        bail!("a caller in {tool:?} does not reach {to}");
                    }
                }
            }
        }
        Ok(clients)
    }
}

/// An address of a zone of the loopback network: a zone is a subnet.
pub(super) fn at(zone: u8, host: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, zone, host), port))
}

/// So many addresses of a zone.
pub(super) fn several(zone: u8, hosts: u8, port: u16) -> Vec<SocketAddr> {
    (1..=hosts).map(|host| at(zone, host, port)).collect()
}

/// Lets time pass, in which callers call.
pub(super) fn pause(time: Duration) -> Result<()> {
    let until = now() + time;
    while let Some(left) = remaining(until) {
        interrupt::check()?;
        thread::sleep(left.min(STEP));
    }
    interrupt::check()
}

/// Lets whole seconds pass.
pub(super) fn pause_s(seconds: u64) -> Result<()> {
    pause(Duration::from_secs(seconds))
}

/// Waits until something has come to pass, but no longer than so many seconds; seconds from `since` until
/// then.
pub(super) fn wait_until(
    since: Instant,
    limit_s: u64,
    mut has_come: impl FnMut() -> Result<bool>,
) -> Result<Option<f64>> {
    let deadline = now() + Duration::from_secs(limit_s);
    while remaining(deadline).is_some() {
        if has_come()? {
            return Ok(Some(since.elapsed().as_secs_f64()));
        }
        pause(STEP)?;
    }
    Ok(None)
}

const STEP: Duration = Duration::from_millis(20);
/// A JVM takes its time on a busy machine.
const WARM_UP: Duration = Duration::from_mins(1);
