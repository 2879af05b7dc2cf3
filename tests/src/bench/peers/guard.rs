//! What is between callers and endpoints: nothing, shedder, or a proxy.
//!
//! Invariant: whoever has several addresses to call tries the next one when it cannot connect, caller and
//! tuned proxy alike, and each is told of three at most.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::proxy::{Product, Proxy};
use crate::backend::Backend;
use crate::daemon::Daemon;
use crate::netns::NetNs;
use crate::vitals::processor_time;

/// An arm of the comparison.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
pub(super) enum Guard {
    /// The callers have the addresses of all endpoints, and nobody looks after them.
    None,
    /// The same, and shedder redirects connects to endpoints that are open.
    Shedder,
    /// The same, and shedder refuses them.
    ShedderDeny,
    /// The callers have the address of Envoy as it comes.
    Envoy,
    /// The same, as well set as we could.
    EnvoyTuned,
    /// The callers have the address of `HAProxy`, as well set as we could.
    #[value(name = "haproxy")]
    HaProxy,
    /// The callers have the address of nginx, as well set as we could.
    Nginx,
}

/// A guard that is in its place.
#[derive(Debug)]
pub(super) enum Standing {
    /// Nobody.
    None,
    /// Its daemon.
    Shedder(Box<Daemon>),
    /// Its processes.
    Proxy(Proxy),
}

impl Guard {
    /// In the order of the tables.
    pub(super) const ALL: [Self; 7] = [
        Self::None,
        Self::Shedder,
        Self::ShedderDeny,
        Self::Envoy,
        Self::EnvoyTuned,
        Self::HaProxy,
        Self::Nginx,
    ];

    /// As tables and pictures name it.
    pub(super) const fn name(self) -> &'static str {
        match (self, self.product()) {
            (_, Some(product)) => product.name(),
            (Self::Shedder, None) => "shedder",
            (Self::ShedderDeny, None) => "shedder, deny",
            (_, None) => "no guard",
        }
    }

    /// The proxy it is, if it is one.
    pub(super) const fn product(self) -> Option<Product> {
        match self {
            Self::None | Self::Shedder | Self::ShedderDeny => None,
            Self::Envoy => Some(Product::EnvoyDefault),
            Self::EnvoyTuned => Some(Product::EnvoyTuned),
            Self::HaProxy => Some(Product::HaProxy),
            Self::Nginx => Some(Product::Nginx),
        }
    }

    /// Puts it between the cgroups of the callers and the endpoints; it is ready when this returns.
    pub(super) fn stand(
        self,
        namespace: &NetNs,
        cgroups: &[&str],
        endpoints: &[SocketAddr],
        rules: &str,
    ) -> Result<Standing> {
        if let Some(product) = self.product() {
            return Ok(Standing::Proxy(Proxy::start(product, namespace, PROXY, endpoints)?));
        }
        let action = match self {
            Self::Shedder => "redirect",
            Self::ShedderDeny => "deny",
            Self::None | Self::Envoy | Self::EnvoyTuned | Self::HaProxy | Self::Nginx => {
                return Ok(Standing::None);
            }
        };
        let daemon = Daemon::start_or_advise(&policy(cgroups, endpoints, action, rules), &[])?;
        Ok(Standing::Shedder(Box::new(daemon)))
    }
}

impl Standing {
    /// Where the callers call.
    pub(super) fn targets(&self, backends: &[Backend]) -> Vec<SocketAddr> {
        match self {
            Self::None | Self::Shedder(_) => backends.iter().map(Backend::addr).collect(),
            Self::Proxy(_) => vec![PROXY],
        }
    }

    /// How many addresses a caller tries.
    pub(super) const fn attempts(&self) -> u32 {
        match self {
            Self::None | Self::Shedder(_) => ATTEMPTS,
            Self::Proxy(_) => 1,
        }
    }

    /// Its processes.
    pub(super) fn pids(&self) -> Result<Vec<u32>> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Shedder(daemon) => Ok(vec![daemon.pid()]),
            Self::Proxy(proxy) => proxy.pids(),
        }
    }

    /// The processor time of all its processes.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        self.pids()?.into_iter().map(processor_time).sum()
    }
}

/// The policy of shedder in all comparisons: the default preset, with a limit for slow answers, with endpoints
/// compared with each other, and as quick to give traffic back as the peers are set.
pub(super) fn policy(
    cgroups: &[&str],
    endpoints: &[SocketAddr],
    action: &str,
    rules: &str,
) -> String {
    let caller = |(number, cgroup)| {
        format!("[[caller]]\nname = \"caller-{number}\"\ncgroups = [\"{cgroup}\"]\n\n")
    };
    let policy = |number| {
        format!(
            "\n[[policy]]\ncaller = \"caller-{number}\"\nservice = \"backends\"\nmode = \"enforce\"\n\
             open.action = \"{action}\"\nopen.errno = \"EHOSTUNREACH\"\n{RULES}{rules}"
        )
    };
    let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    let callers: String = cgroups.iter().enumerate().map(caller).collect();
    let policies: String = (0..cgroups.len()).map(policy).collect();
    format!("{callers}[[service]]\nname = \"backends\"\nendpoints = {endpoints:?}\n{policies}")
}

/// Everything else is as it comes. Answers and handshakes that are slow count, as do endpoints that fail more often
/// than their siblings. The first probe that fails is enough, and no open time is long, as with the peers; where
/// most endpoints fail, all are let through, as with Envoy. Faults last for seconds here, and so does what is
/// refused after their end: a far greater share than on any node, so the budget of false refusals is lifted.
const RULES: &str = r#"trip.slow_share = { over = "500ms", at_least = 0.3, min_samples = 4, window = "2s" }
trip.latency = { signal = "connect", quantile = 0.8, over = "250ms", min_samples = 4, window = "2s" }
trip.outlier = { measure = "failure_share" }
open.max = "5s"
half_open = { tokens = 2, successes = 2 }
recovery.ramp = "5s"
throttle = { window = "2s", calm = "2s" }
safety = { panic_percent = 80, false_refusals = 0 }
"#;
/// Where a proxy listens.
pub(super) const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1)), 7200);
/// Of one call.
pub(super) const ATTEMPTS: u32 = 3;
