//! CH-20: sixty-four processes call at the same moment while a breaker is half-open.
//!
//! Invariant: the server counts who came, not the callers.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::caller::Caller;
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::ground::{Ground, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;
use crate::statistics::figure;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-20",
    title: "64 processes race for 3 probes of a Redis that is back",
    policy: "default",
    sources: "S2.14 S3.30",
    bounds: &[ADMITTED, SHED],
    is_short: true,
    play,
};

const ADMITTED: Bound = Bound::exactly("AT-20", "connections the server saw", 3.0, "");
const SHED: Bound = Bound::exactly("CH-20", "connects shed", 61.0, "").ours();

fn play(_kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("race")?;
    let addresses = several(1, 3, 6379);
    let start = |it: &_| Server::redis(&ground.namespace, *it, &[]);
    let mut servers = addresses.iter().map(start).collect::<Result<Vec<_>>>()?;
    // Half-open for as long as the race takes.
    let rules = "open.base = \"2s\"\nhalf_open.deadline = \"1m\"";
    let service = Service { name: "cache", endpoints: &addresses, more: "", rules };
    let guard = ground.guard("", &[service])?;
    let mut caller = Caller::spawn_in(&ground.cgroup, &ground.namespace)?;
    // All are in use, so that none is the only one.
    for address in &addresses {
        caller.call_many(*address, 3, PATIENCE)?;
    }
    let are_known = || {
        let breakers = guard.daemon.status()?.breakers;
        Ok(breakers.iter().all(|breaker| breaker.window.attempts == 3))
    };
    wait_until(now(), 10, are_known)?.context("the daemon does not see the calls")?;
    let sick = addresses[0];
    servers[0].kill()?;
    caller.call_many(sick, 6, PATIENCE)?;
    servers[0].revive()?;
    let is_half_open = || Ok(guard.daemon.breaker(sick)?.state == "half_open");
    wait_until(now(), 30, is_half_open)?.context("it never probes")?;
    let before = connections(&servers[0])?;
    let calls = caller.storm(sick, 64, PATIENCE)?;
    // The one that asks is counted, too.
    let seen = connections(&servers[0])? - before - 1;
    let shed = calls.iter().filter(|it| it.connect_errno() == Some(libc::EHOSTUNREACH)).count();
    Ok(vec![ADMITTED.measured(figure(seen)), SHED.measured(figure(u64::try_from(shed)?))])
}

/// Accepted since the start of the server.
fn connections(server: &Server<'_>) -> Result<u64> {
    let told = server.ask_redis("stats")?;
    let line = told.lines().find_map(|it| it.strip_prefix("total_connections_received:"));
    line.context("Redis does not tell")?.trim().parse().context("no number")
}

const PATIENCE: Duration = Duration::from_secs(10);
