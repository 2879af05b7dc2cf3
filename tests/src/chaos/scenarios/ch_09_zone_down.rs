//! CH-9: a whole zone is cut off and comes back; then one of its servers dies.
//!
//! Invariant: callers only ever call the first zone, so what is answered while it is gone was redirected.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::firewall::{mend, partition};
use crate::chaos::ground::{Ground, pause_s, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Became, Call, Ledger};
use crate::chaos::scenario::Scenario;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-9",
    title: "a zone of 2 nginx is cut off, with another one to fall back to; then one nginx dies",
    policy: "mesh-fallback-3, max_open_percent 100, fallback",
    sources: "S0.69 S0.70 S0.59",
    bounds: &[MOVED, ANSWERED, RETURNED, ISOLATED, RECOVERED, OTHERS],
    is_short: false,
    play,
};

const MOVED: Bound =
    Bound::at_most("AT-17", "first answer by the other zone, of the slower of two", 28.0, "s");
const ANSWERED: Bound =
    Bound::at_least("CH-9", "calls answered from then on, for 6 s", 95.0, "%").ours();
const RETURNED: Bound = Bound::at_most("CH-9", "both closed, after healing", 60.0, "s").ours();
const ISOLATED: Bound = Bound::at_most("AT-16", "one server dies: isolated after", 4.2, "s");
const RECOVERED: Bound =
    Bound::at_most("AT-18", "and its calls answered by redirect after", 3.8, "s");
const OTHERS: Bound = Bound::exactly("AT-16", "calls lost by its sibling", 0.0, "");

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("zone")?;
    let (zone, other) = (several(1, 2, 8080), several(2, 2, 8080));
    let mut servers = ground.nginx(&zone)?;
    let _other = ground.nginx(&other)?;
    let fallback: Vec<String> = other.iter().map(ToString::to_string).collect();
    let more = format!("fallback = {fallback:?}");
    let rules = "preset = \"mesh-fallback-3\"\nsafety.max_open_percent = 100";
    let guard =
        ground.guard("", &[Service { name: "shop", endpoints: &zone, more: &more, rules }])?;
    let ledger = Ledger::default();
    let loads = [
        (Tool::Python, Load::of("http", 3, 100)),
        (Tool::Java, Load::of("http", 2, 100)),
        (Tool::Curl, Load::of("http", 1, 300)),
    ];
    let _clients = ground.clients(kit, &ledger, &loads, &zone)?;
    pause_s(1)?;

    let fault = now();
    partition(&ground.namespace, "127.0.1.0/24")?;
    let moved =
        wait_until(fault, 40, || Ok(zone.iter().all(|it| is_answered(&ledger, *it, fault))))?;
    let since = now();
    pause_s(6)?;
    let answered = ledger.answered(&zone, since);
    let healed = now();
    mend(&ground.namespace)?;
    let returned = wait_until(healed, 60, || Ok(guard.closed(&zone)? == zone.len()))?;

    let killed = now();
    servers[0].kill()?;
    let recovered = wait_until(killed, 20, || Ok(is_answered(&ledger, zone[0], killed)))?;
    let address = zone[0].to_string();
    let mut opened = guard.transitions(killed).into_iter();
    let opened = opened.find(|it| it.endpoint == address && it.to == "open");
    pause_s(2)?;
    Ok(vec![
        MOVED.measured_if(moved),
        ANSWERED.measured_if(answered),
        RETURNED.measured_if(returned),
        ISOLATED.measured_if(opened.map(|it| it.at.duration_since(killed).as_secs_f64())),
        RECOVERED.measured_if(recovered),
        OTHERS.measured(ledger.lost(&zone[1..], killed)),
    ])
}

/// Whether a call that began after `since` was answered.
fn is_answered(ledger: &Ledger, to: SocketAddr, since: Instant) -> bool {
    let answered = |it: &Call| it.to == to && it.became == Became::Answered;
    ledger.count(|it| answered(it) && it.began() >= Some(since)) > 0
}
