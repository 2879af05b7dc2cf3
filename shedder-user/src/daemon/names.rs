//! Looking up the endpoints that are given by name.
//!
//! Invariant: an address a name has stood for is remembered for as long as the policy has the name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, EndpointSpec};

/// Every name of a configuration, looked up now and again.
#[derive(Debug)]
pub(super) struct Names {
    known: BTreeMap<Name, BTreeSet<SocketAddr>>,
    sender: mpsc::Sender<Resolved>,
    receiver: mpsc::Receiver<Resolved>,
    /// Ends with its value.
    lookups: JoinSet<()>,
}

/// A host and a port.
type Name = (String, u16);

/// What a name stands for now.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) outcome: Result<Vec<SocketAddr>, String>,
}

impl Names {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(16);
        Self { known: BTreeMap::new(), sender, receiver, lookups: JoinSet::new() }
    }

    /// Looks up the names of a configuration, each at once if there are others than before.
    pub(super) fn follow(&mut self, config: &Config) {
        let endpoints = config.services.iter().flat_map(|service| &service.endpoints);
        let names: BTreeSet<Name> = endpoints.filter_map(name).collect();
        if self.known.keys().eq(&names) {
            return;
        }
        self.known.retain(|name, _| names.contains(name));
        self.lookups = JoinSet::new();
        for name in names {
            self.lookups.spawn(watch_one(name.0.clone(), name.1, self.sender.clone()));
            self.known.entry(name).or_default();
        }
    }

    /// Successes, and failures when they change.
    pub(super) async fn next(&mut self) -> Resolved {
        match self.receiver.recv().await {
            Some(resolved) => resolved,
            None => unreachable!("a sender is kept"),
        }
    }

    /// Remembers what a name stands for; whether it is still a name of the policy.
    pub(super) fn remember(&mut self, host: &str, port: u16, addresses: &[SocketAddr]) -> bool {
        let Some(known) = self.known.get_mut(&(host.to_owned(), port)) else { return false };
        known.extend(addresses);
        true
    }

    /// The addresses an endpoint stands for, as far as they are known; none for a network.
    pub(super) fn addresses(&self, spec: &EndpointSpec) -> Vec<SocketAddr> {
        match spec {
            EndpointSpec::Address(endpoint) => vec![*endpoint],
            EndpointSpec::Network { .. } => Vec::new(),
            EndpointSpec::Name { host, port } => {
                let known = self.known.get(&(host.clone(), *port));
                known.into_iter().flatten().copied().collect()
            }
        }
    }
}

fn name(spec: &EndpointSpec) -> Option<Name> {
    match spec {
        EndpointSpec::Name { host, port } => Some((host.clone(), *port)),
        EndpointSpec::Address(_) | EndpointSpec::Network { .. } => None,
    }
}

async fn watch_one(host: String, port: u16, sender: mpsc::Sender<Resolved>) {
    let mut lookups = interval(LOOKUP_INTERVAL);
    lookups.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        lookups.tick().await;
        let found = lookup_host((host.as_str(), port)).await;
        let outcome = found.map(|addresses| {
            let mut addresses: Vec<_> = addresses.collect();
            addresses.sort();
            addresses
        });
        let outcome = outcome.map_err(|error| error.to_string());
        if last.as_ref() == Some(&outcome) {
            continue;
        }
        last = Some(outcome.clone());
        if sender.send(Resolved { host: host.clone(), port, outcome }).await.is_err() {
            return;
        }
    }
}

const LOOKUP_INTERVAL: Duration = Duration::from_secs(15);
