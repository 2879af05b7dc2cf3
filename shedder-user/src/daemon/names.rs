//! Looking up the endpoints that are given by name.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, EndpointSpec};

/// What a name stands for now.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) outcome: Result<Vec<SocketAddr>, String>,
}

/// Looks every name up, now and again; reports successes, and failures when they change.
pub(super) fn watch(config: &Config) -> mpsc::Receiver<Resolved> {
    let (sender, receiver) = mpsc::channel(16);
    let mut names: Vec<(String, u16)> = config
        .services
        .iter()
        .flat_map(|service| &service.endpoints)
        .filter_map(|spec| match spec {
            EndpointSpec::Name { host, port } => Some((host.clone(), *port)),
            EndpointSpec::Address(_) | EndpointSpec::Network { .. } => None,
        })
        .collect();
    names.sort();
    names.dedup();
    for (host, port) in names {
        tokio::spawn(watch_one(host, port, sender.clone()));
    }
    receiver
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
