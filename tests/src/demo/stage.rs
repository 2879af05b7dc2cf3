//! Everything the demo makes on the machine, and its end.
//!
//! Invariant: the daemon guards before the first call, and the drop of a stage ends and removes
//! all of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};

use super::population::Population;
use super::record::ClientCall;
use super::script::LETTERS;
use crate::backend::{Backend, Behaviour};
use crate::cgroup::Cgroup;
use crate::daemon::{Daemon, Events};
use crate::interrupt;

/// The whole set. Dropped in the order of its fields.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) events: Events,
    pub(super) daemon: Daemon,
    pub(super) guarded: Population,
    pub(super) unguarded: Population,
    pub(super) backends: Vec<Backend>,
}

/// All calls there were.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) guarded: Vec<ClientCall>,
    pub(super) unguarded: Vec<ClientCall>,
}

impl Stage {
    /// Makes the backends, the cgroups, the daemon and the clients, who begin to call.
    /// The daemon goes by `rules`.
    pub(super) fn build(rules: &str) -> Result<Self> {
        let start = |_| Backend::start(IpAddr::V4(Ipv4Addr::LOCALHOST), Behaviour::Healthy);
        let backends = LETTERS.iter().map(start).collect::<Result<Vec<_>>>()?;
        let targets: Vec<SocketAddr> = backends.iter().map(Backend::addr).collect();
        let guarded = Cgroup::new("demo-guarded")?;
        let unguarded = Cgroup::new("demo-unguarded")?;
        interrupt::check()?;
        let daemon = Daemon::start_or_advise(&policy(guarded.name(), &targets, rules), &[])?;
        interrupt::check()?;
        let events = daemon.events()?;
        let guarded = Population::start(guarded, &targets)?;
        let unguarded = Population::start(unguarded, &targets)?;
        Ok(Self { events, daemon, guarded, unguarded, backends })
    }

    /// Fails once a part of it does not work any more.
    pub(super) fn check(&self) -> Result<()> {
        self.guarded.check().context("a guarded client failed")?;
        self.unguarded.check().context("an unguarded client failed")
    }

    /// Ends everything, the clients after the calls they are busy with.
    pub(super) fn dismiss(self) -> Result<Calls> {
        Ok(Calls { guarded: self.guarded.dismiss()?, unguarded: self.unguarded.dismiss()? })
    }
}

fn policy(cgroup: &str, endpoints: &[SocketAddr], rules: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    format!(
        r#"
[[caller]]
name = "guarded"
cgroups = ["{cgroup}"]

[[service]]
name = "backends"
endpoints = {endpoints:?}

[[policy]]
caller = "guarded"
service = "backends"
{rules}"#
    )
}
