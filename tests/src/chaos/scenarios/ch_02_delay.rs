//! CH-2: nine of ten calls to one port take 5 s longer.
//!
//! Invariant: callers wait longer than the delay, so only what is unfinished can tell in time.

use std::time::Duration;

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, at, pause_s, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::Ledger;
use crate::chaos::proxy::Fault;
use crate::chaos::scenario::Scenario;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-2",
    title: "5 s delay on 90 % of the calls to one of 2 nginx, then heal",
    policy: "contract-800, open.base 2s",
    sources: "S2.40 S2.42",
    bounds: &[FIRST_SHED, OTHERS, BACK],
    is_short: false,
    play,
};

const FIRST_SHED: Bound = Bound::at_most("AT-3", "first connect shed", 3.0, "s");
const OTHERS: Bound = Bound::exactly("CH-2", "calls lost by the other server", 0.0, "").ours();
const BACK: Bound = Bound::at_most("CH-2", "closed again, after healing", 60.0, "s").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("delay")?;
    let behind = ground.nginx(&[at(9, 1, 8081)])?;
    let (sick, well) = (at(1, 1, 8080), at(1, 2, 8080));
    let _well = ground.nginx(&[well])?;
    let proxy = ground.proxy(sick, &behind[0])?;
    let all = [sick, well];
    let rules = "preset = \"contract-800\"\nopen.base = \"2s\"";
    let guard =
        ground.guard("", &[Service { name: "payment", endpoints: &all, more: "", rules }])?;
    let ledger = Ledger::default();
    let patient = |load: Load| load.patient(Duration::from_secs(7));
    let loads = [
        (Tool::Node, patient(Load::of("http", 4, 100)).in_mode("once")),
        (Tool::Java, patient(Load::of("http", 2, 100))),
    ];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    pause_s(4)?;

    let fault = now();
    proxy.set(Fault::Late { by: Duration::from_secs(5), permille: 900 });
    wait_until(fault, 15, || Ok(ledger.first_shed(sick, fault).is_some()))?;
    let healed = now();
    proxy.set(Fault::None);
    let back = wait_until(healed, 60, || Ok(guard.closed(&all)? == all.len()))?;
    Ok(vec![
        FIRST_SHED.measured_if(ledger.first_shed(sick, fault)),
        OTHERS.measured(ledger.lost(&[well], begun)),
        BACK.measured_if(back),
    ])
}
