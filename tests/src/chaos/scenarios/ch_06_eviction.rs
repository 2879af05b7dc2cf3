//! CH-6: a server is told to go, as a pod is evicted, and comes back at the same address later.
//!
//! Invariant: what is lost is counted on the servers that are well.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::caller::Caller;
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, pause_s, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Became, Call, Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;
use crate::statistics::figure;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-6",
    title: "one of 4 Redis is evicted for 4 s",
    policy: "default",
    sources: "S1.57 S1.56 S0.58",
    bounds: &[SURVIVAL, LEAKED, RESPONSE, RECOVERY],
    is_short: true,
    play,
};

const SURVIVAL: Bound = Bound::at_least("AT-6", "calls to well servers answered", 99.5, "%");
const LEAKED: Bound =
    Bound::at_most("CH-6", "connects the dead server refused, probes too", 20.0, "").ours();
const RESPONSE: Bound = Bound::at_most(
    "AT-5",
    "from the fifth failure to the first connect shed (goal 217 ms)",
    4200.0,
    "ms",
);
const RECOVERY: Bound =
    Bound::at_most("AT-18", "first answer after it is back, with backoff", 12.4, "s");

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("eviction")?;
    let addresses = several(1, 4, 6379);
    let start = |it| Server::redis(&ground.namespace, it, &[]);
    let mut servers = addresses.iter().map(|it| start(*it)).collect::<Result<Vec<_>>>()?;
    let service = Service { name: "cache", endpoints: &addresses, more: "", rules: "" };
    let _guard = ground.guard("", &[service])?;
    let ledger = Ledger::default();
    let loads = [(Tool::Python, Load::of("redis", 2, 50))];
    let clients = ground.clients(kit, &ledger, &loads, &addresses)?;
    let begun = now();
    pause_s(1)?;

    let [evicted, next, well @ ..] = &addresses[..] else { bail!("there are four") };
    let fault = now();
    servers[0].kill()?;
    pause_s(4)?;
    let leaked = ledger
        .count(|call| call.to == *evicted && call.ended >= fault && call.became == Became::Refused);
    let healed = now();
    servers[0].revive()?;
    let recovery = wait_until(healed, 60, || {
        let is_answered =
            |it: &Call| it.to == *evicted && it.ended >= healed && it.became == Became::Answered;
        Ok(ledger.count(is_answered) > 0)
    })?;
    let survival = ledger.answered(well, begun);
    drop(clients);

    // One caller, one connect after the other: the sixth is the first that can be shed.
    servers[1].kill()?;
    let mut caller = Caller::spawn_in(&ground.cgroup, &ground.namespace)?;
    let calls = caller.call_many(*next, 50, Duration::from_secs(2))?;
    let first = calls.iter().position(|it| it.connect_errno() == Some(libc::EHOSTUNREACH));
    let after = |first: usize| calls.get(5..=first).map(|it| it.iter().map(|it| it.total_us).sum());
    let response = first.and_then(after).map(|us: u64| figure(us) / 1000.0);
    Ok(vec![
        SURVIVAL.measured_if(survival),
        LEAKED.measured(count(leaked)),
        RESPONSE.measured_if(response),
        RECOVERY.measured_if(recovery),
    ])
}
