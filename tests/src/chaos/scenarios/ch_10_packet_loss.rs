//! CH-10: segments to and from one server get lost: a few at first, then a fifth of them.
//!
//! Invariant: what is lost is lost by chance, in both directions.

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::firewall::lose;
use crate::chaos::ground::{Ground, at, pause_s, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-10",
    title: "2 %, then 20 % of the segments of one of 2 Redis get lost",
    policy: "infra",
    sources: "S0.60 S0.61",
    bounds: &[CALM, FIRST_SHED, OTHERS],
    is_short: false,
    play,
};

const CALM: Bound =
    Bound::exactly("CH-10", "breakers that changed at 2 %, for 8 s", 0.0, "").ours();
const FIRST_SHED: Bound = Bound::at_most("CH-10", "first connect shed at 20 %", 42.0, "s");
const OTHERS: Bound = Bound::exactly("CH-10", "calls lost by the other server", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("loss")?;
    let (sick, well) = (at(1, 1, 6379), at(2, 1, 6379));
    let all = [sick, well];
    let start = |it: &_| Server::redis(&ground.namespace, *it, &[]);
    let _servers = all.iter().map(start).collect::<Result<Vec<_>>>()?;
    let rules = "preset = \"infra\"";
    let guard = ground.guard("", &[Service { name: "cache", endpoints: &all, more: "", rules }])?;
    let ledger = Ledger::default();
    let loads = [
        (Tool::Python, Load::of("redis", 4, 50)),
        (Tool::Node, Load::of("redis", 2, 50).in_mode("once")),
    ];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    lose(&ground.namespace, "127.0.1.0/24", 2)?;
    pause_s(8)?;
    let calm = guard.transitions(begun).len();
    let fault = now();
    lose(&ground.namespace, "127.0.1.0/24", 20)?;
    wait_until(fault, 45, || Ok(ledger.first_shed(sick, fault).is_some()))?;
    Ok(vec![
        CALM.measured(count(calm)),
        FIRST_SHED.measured_if(ledger.first_shed(sick, fault)),
        OTHERS.measured(ledger.lost(&[well], begun)),
    ])
}
