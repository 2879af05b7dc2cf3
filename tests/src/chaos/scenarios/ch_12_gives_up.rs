//! CH-12: a server hangs up after 7 s on callers that wait for 10, because its answer would take 8.
//!
//! Invariant: it hangs up in good order, without a byte.

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
    id: "CH-12",
    title: "one of 2 nginx hangs up after 7 s on callers that wait 10 s, then heal",
    policy: "default",
    sources: "S1.15",
    bounds: &[FIRST_SHED, OTHERS, BACK],
    is_short: false,
    play,
};

const FIRST_SHED: Bound = Bound::at_most("CH-12", "first connect shed", 9.3, "s").ours();
const OTHERS: Bound = Bound::exactly("CH-12", "calls lost by the other server", 0.0, "").ours();
const BACK: Bound = Bound::at_most("CH-12", "closed again, after healing", 60.0, "s").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("hangup")?;
    let behind = ground.nginx(&[at(9, 1, 8081)])?;
    let (sick, well) = (at(1, 1, 8080), at(1, 2, 8080));
    let _well = ground.nginx(&[well])?;
    let proxy = ground.proxy(sick, &behind[0])?;
    let all = [sick, well];
    let service = Service { name: "export", endpoints: &all, more: "", rules: "" };
    let guard = ground.guard("", &[service])?;
    let ledger = Ledger::default();
    let patient = |load: Load| load.patient(Duration::from_secs(10));
    let loads = [
        (Tool::Python, patient(Load::of("http", 2, 100)).in_mode("once")),
        (Tool::Java, patient(Load::of("http", 2, 100))),
    ];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    pause_s(4)?;
    let fault = now();
    proxy.set(Fault::HangUp(Duration::from_secs(7)));
    wait_until(fault, 20, || Ok(ledger.first_shed(sick, fault).is_some()))?;
    let healed = now();
    proxy.set(Fault::None);
    let back = wait_until(healed, 60, || Ok(guard.closed(&all)? == all.len()))?;
    Ok(vec![
        FIRST_SHED.measured_if(ledger.first_shed(sick, fault)),
        OTHERS.measured(ledger.lost(&[well], begun)),
        BACK.measured_if(back),
    ])
}
