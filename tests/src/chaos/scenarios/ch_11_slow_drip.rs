//! CH-11: answers come byte by byte, one each 50 ms.
//!
//! Invariant: the first byte comes in time, so only connections that pile up can tell.

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
    id: "CH-11",
    title: "one of 2 nginx drips: one byte each 50 ms",
    policy: "default, trip.in_flight 20",
    sources: "S1.9 S1.11",
    bounds: &[FIRST_SHED, OTHERS],
    is_short: false,
    play,
};

const FIRST_SHED: Bound =
    Bound::at_most("CH-11", "first connect shed, by connections in use", 5.0, "s").ours();
const OTHERS: Bound = Bound::exactly("CH-11", "calls lost by the other server", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("drip")?;
    let behind = ground.nginx(&[at(9, 1, 8081)])?;
    let (sick, well) = (at(1, 1, 8080), at(1, 2, 8080));
    let _well = ground.nginx(&[well])?;
    let proxy = ground.proxy(sick, &behind[0])?;
    let all = [sick, well];
    let rules = "trip.in_flight = { over = 20 }";
    let _guard =
        ground.guard("", &[Service { name: "report", endpoints: &all, more: "", rules }])?;
    let ledger = Ledger::default();
    let loads = [
        (Tool::Node, Load::of("http", 2, 100).in_mode("once").patient(Duration::from_secs(5))),
        (Tool::Curl, Load::of("http", 1, 200)),
    ];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    pause_s(1)?;
    let fault = now();
    proxy.set(Fault::Drip(Duration::from_millis(50)));
    wait_until(fault, 15, || Ok(ledger.first_shed(sick, fault).is_some()))?;
    Ok(vec![
        FIRST_SHED.measured_if(ledger.first_shed(sick, fault)),
        OTHERS.measured(ledger.lost(&[well], begun)),
    ])
}
