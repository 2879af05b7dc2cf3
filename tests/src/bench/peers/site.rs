//! Where one guard is compared: a network namespace with backends, a cgroup that calls, and the guard.
//!
//! Invariant: each guard has a site of its own, and all sites are built alike.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use shedder_common::time::Monotonic;
use shedder_user::clock::now;

use super::generator::{Generator, Rate, Work};
use super::guard::{Guard, Standing};
use crate::backend::{Backend, Behaviour};
use crate::cgroup::Cgroup;
use crate::netns::NetNs;

/// Ready to be called. Dropped in the order of its fields.
#[derive(Debug)]
pub(super) struct Site {
    /// What is between the callers and the backends.
    pub(super) standing: Standing,
    /// In the order of their addresses.
    pub(super) backends: Vec<Backend>,
    callers: Vec<Cgroup>,
    namespace: NetNs,
}

/// How a site is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calling {
    /// Which of the callers does it.
    pub(super) caller: usize,
    /// How many calls.
    pub(super) calls: Rate,
    /// For how long they become due.
    pub(super) length: Duration,
    /// When the first is due.
    pub(super) start: Monotonic,
    /// Connections that are kept; 0 makes one for each call.
    pub(super) pool: usize,
    /// What is sent.
    pub(super) request: &'static str,
}

impl Site {
    /// With so many healthy backends and callers, and this guard between them; `rules` are further lines of
    /// shedder's policy.
    pub(super) fn build(guard: Guard, backends: u8, callers: u8, rules: &str) -> Result<Self> {
        let namespace = NetNs::new("peers")?;
        namespace.set("ipv4/ip_local_port_range", "10000 60999")?;
        // Closed connections keep their ports for a minute; no guard is to be measured by that.
        namespace.set("ipv4/tcp_max_tw_buckets", "0")?;
        let addresses: Vec<SocketAddr> = (1..=backends).map(endpoint).collect();
        let start = |at: &SocketAddr| Backend::start_at(*at, Behaviour::Healthy);
        let backends =
            namespace.enter(|| addresses.iter().map(start).collect::<Result<Vec<_>>>())??;
        let make = |number| Cgroup::new(&format!("peers-{number}"));
        let callers = (0..callers).map(make).collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = callers.iter().map(Cgroup::name).collect();
        let standing = guard.stand(&namespace, &names, &addresses, rules)?;
        Ok(Self { standing, backends, callers, namespace })
    }

    /// Has one of the callers call.
    pub(super) fn call(&self, calling: &Calling) -> Result<Generator> {
        let work = Work {
            targets: self.standing.targets(&self.backends),
            calls: calling.calls,
            seconds: calling.length.as_secs_f64(),
            start: calling.start,
            attempts: self.standing.attempts(),
            pool: calling.pool,
            request: calling.request,
        };
        Generator::start(&self.namespace, &self.callers[calling.caller], &work)
    }

    /// Calls until each backend has answered, so that nobody is measured while it is new.
    pub(super) fn warm_up(&self) -> Result<()> {
        for caller in 0..self.callers.len() {
            let calling = Calling {
                caller,
                calls: Rate::PerSecond(100.0),
                length: Duration::from_millis(500),
                start: soon(),
                pool: 0,
                request: "ping",
            };
            self.call(&calling)?.story()?;
        }
        Ok(())
    }
}

/// A moment by which a generator that is started now is ready.
pub(super) fn soon() -> Monotonic {
    now().plus(Duration::from_millis(300))
}

/// Where a backend is, each at an address of its own.
pub(super) const fn endpoint(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, host)), 7100)
}
