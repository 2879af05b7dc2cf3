//! CH-7: the network to one endpoint is slower for a while, again and again, as on a schedule.
//!
//! Invariant: slower is not failing: nobody is shed, because no rule asks for it.

use std::time::Duration;

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, at, pause_s, several};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Ledger, count};
use crate::chaos::proxy::Fault;
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-7",
    title: "150 ms more to one of 2 Redis, 3 s on and 3 s off, three times",
    policy: "default",
    sources: "S1.57",
    bounds: &[SURVIVAL, TRANSITIONS],
    is_short: false,
    play,
};

const SURVIVAL: Bound = Bound::at_least("AT-6", "calls answered", 99.5, "%");
const TRANSITIONS: Bound = Bound::exactly("CH-7", "breakers that changed", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("schedule")?;
    let behind = Server::redis(&ground.namespace, at(9, 1, 6380), &[])?;
    let all = several(1, 2, 6379);
    let _other = Server::redis(&ground.namespace, all[1], &[])?;
    let proxy = ground.proxy(all[0], &behind)?;
    let service = Service { name: "cache", endpoints: &all, more: "", rules: "" };
    let guard = ground.guard("", &[service])?;
    let ledger = Ledger::default();
    let loads = [
        (Tool::Python, Load::of("redis", 2, 50)),
        (Tool::Node, Load::of("redis", 1, 50)),
        (Tool::Java, Load::of("redis", 1, 100)),
    ];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    for _ in 0..3 {
        proxy.set(Fault::Late { by: Duration::from_millis(150), permille: 1000 });
        pause_s(3)?;
        proxy.set(Fault::None);
        pause_s(3)?;
    }
    Ok(vec![
        SURVIVAL.measured_if(ledger.answered(&all, begun)),
        TRANSITIONS.measured(count(guard.transitions(begun).len())),
    ])
}
