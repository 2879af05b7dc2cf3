//! CH-4: connections that callers open and keep grow from 120 to 3840 within seventeen seconds.
//!
//! Invariant: the server says how many it had; without a limit on them it would refuse from 1000 on.

use anyhow::{Context as _, Result};

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::Ledger;
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;
use crate::statistics::figure;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-4",
    title: "connections wanted grow from 120 to 3840 in 17 s, of a Redis that takes 1000",
    policy: "default, trip.in_flight 600, open.base 20s, brakes.caller_refused 1",
    sources: "S1.1 S0.59",
    bounds: &[PEAK, REJECTED, OTHERS, BACK],
    is_short: false,
    play,
};

const PEAK: Bound =
    Bound::at_most("CH-4", "connections at most (limit of the server)", 1000.0, "").ours();
const REJECTED: Bound =
    Bound::exactly("CH-4", "connections the server had to reject", 0.0, "").ours();
const OTHERS: Bound = Bound::exactly("CH-4", "calls lost by the other server", 0.0, "").ours();
const BACK: Bound =
    Bound::at_most("CH-4", "closed again, after the callers are gone", 60.0, "s").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("explosion")?;
    let all = several(1, 2, 6379);
    let start = |it: &_| Server::redis(&ground.namespace, *it, &["--maxclients", "1000"]);
    let servers = all.iter().map(start).collect::<Result<Vec<_>>>()?;
    let rules = "trip.in_flight = { over = 600 }\nopen.base = \"20s\"\nopen.jitter = 0.0";
    let service = Service { name: "cache", endpoints: &all, more: "", rules };
    let guard = ground.guard("brakes = { caller_refused = 1.0 }", &[service])?;
    let ledger = Ledger::default();
    let other = &all[1..];
    let _other =
        ground.clients(kit, &ledger, &[(Tool::Python, Load::of("redis", 2, 50))], other)?;
    let begun = now();
    let flood = (Tool::Node, Load::of("redis", 1, 100).in_mode("flood"));
    let flooding = ground.client(kit, &ledger, flood, &all[..1])?;
    let mut peak = 0;
    wait_until(begun, 20, || {
        peak = peak.max(told(&servers[0], "clients", "connected_clients:")?);
        Ok(false)
    })?;
    let rejected = told(&servers[0], "stats", "rejected_connections:")?;
    let gone = now();
    drop(flooding);
    // Somebody has to call for its probes.
    let _again =
        ground.client(kit, &ledger, (Tool::Python, Load::of("redis", 1, 50)), &all[..1])?;
    let back = wait_until(gone, 60, || Ok(guard.closed(&all)? == all.len()))?;
    Ok(vec![
        PEAK.measured(figure(peak)),
        REJECTED.measured(figure(rejected)),
        OTHERS.measured(ledger.lost(other, begun)),
        BACK.measured_if(back),
    ])
}

/// A number Redis tells of itself.
fn told(server: &Server<'_>, section: &str, name: &str) -> Result<u64> {
    let text = server.ask_redis(section)?;
    let line = text.lines().find_map(|it| it.strip_prefix(name));
    line.context("Redis does not tell")?.trim().parse().context("no number")
}
