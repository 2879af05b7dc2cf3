//! CH-13: callers keep connections that the server has closed meanwhile, and meet that with the next call.
//!
//! Invariant: the server is well all the time.

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, pause_s, several};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Became, Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-13",
    title: "3 % of the calls go over connections that nginx has closed in the pool",
    policy: "default",
    sources: "S1.19 S1.20",
    bounds: &[STALE, TRANSITIONS, SHED],
    is_short: false,
    play,
};

const STALE: Bound =
    Bound::at_least("CH-13", "calls that met a closed connection", 10.0, "").ours();
const TRANSITIONS: Bound = Bound::exactly("CH-13", "breakers that changed", 0.0, "").ours();
const SHED: Bound = Bound::exactly("CH-13", "connects shed", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("stale")?;
    let all = several(1, 2, 8080);
    let does = "keepalive_timeout 1s; return 200 ok;";
    let start = |it: &_| Server::nginx(&ground.namespace, *it, does);
    let _servers = all.iter().map(start).collect::<Result<Vec<_>>>()?;
    let service = Service { name: "shop", endpoints: &all, more: "", rules: "" };
    let guard = ground.guard("", &[service])?;
    let ledger = Ledger::default();
    let loads = [(Tool::Python, Load::of("http", 10, 50).in_mode("pool"))];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    pause_s(10)?;
    let became = |what| ledger.count(|it| it.ended >= begun && it.became == what);
    Ok(vec![
        STALE.measured(count(became(Became::Broken))),
        TRANSITIONS.measured(count(guard.transitions(begun).len())),
        SHED.measured(count(became(Became::Shed))),
    ])
}
