//! CH-19: in the middle of a burst a server is away for a moment, far shorter than any window.
//!
//! Invariant: it is back at once, by itself.

use std::time::Duration;

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, pause, pause_s, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-19",
    title: "one of 3 Redis is away for 300 ms under 300 calls a second",
    policy: "default",
    sources: "S2.3",
    bounds: &[FIRST_SHED, OPENS, BACK, OTHERS],
    is_short: false,
    play,
};

const FIRST_SHED: Bound = Bound::at_most("CH-19", "first connect shed", 300.0, "ms").ours();
const OPENS: Bound = Bound::at_most("CH-19", "times it opens", 1.0, "").ours();
const BACK: Bound = Bound::at_most("CH-19", "closed again, after the pulse", 20.0, "s").ours();
const OTHERS: Bound = Bound::exactly("CH-19", "calls lost by the others", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("pulse")?;
    let all = several(1, 3, 6379);
    let start = |it: &_| Server::redis(&ground.namespace, *it, &[]);
    let mut servers = all.iter().map(start).collect::<Result<Vec<_>>>()?;
    let service = Service { name: "cart", endpoints: &all, more: "", rules: "" };
    let guard = ground.guard("", &[service])?;
    let ledger = Ledger::default();
    let loads = [
        (Tool::Python, Load::of("redis", 4, 60)),
        (Tool::Node, Load::of("redis", 2, 60).in_mode("once")),
    ];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    pause_s(2)?;
    let fault = now();
    servers[0].kill()?;
    pause(Duration::from_millis(300))?;
    servers[0].revive()?;
    let healed = now();
    // Not before it can have opened.
    pause_s(1)?;
    let back = wait_until(healed, 60, || Ok(guard.closed(&all)? == all.len()))?;
    let shed = ledger.first_shed(all[0], fault);
    Ok(vec![
        FIRST_SHED.measured_if(shed.map(|seconds| seconds * 1000.0)),
        OPENS.measured(count(guard.times(all[0], "open", fault))),
        BACK.measured_if(back),
        OTHERS.measured(ledger.lost(&all[1..], begun)),
    ])
}
