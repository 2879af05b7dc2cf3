//! CH-5: seventeen services call one that answers after 8.2 s, and call again when they give up.
//!
//! Invariant: each of the seventeen is a caller with a breaker of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use shedder_user::api::model::Breaker;

use crate::cgroup::Cgroup;
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Client, Load, Tool};
use crate::chaos::ground::{Ground, at, pause_s, wait_until};
use crate::chaos::guard::Guard;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::Ledger;
use crate::chaos::proxy::Fault;
use crate::chaos::scenario::Scenario;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-5",
    title: "17 services call and retry, one of 2 servers downstream answers after 8.2 s",
    policy: "dual-p99, brakes.trips_per_minute 1000",
    sources: "S1.45",
    bounds: &[TRIPPED, OTHERS, STORM],
    is_short: false,
    play,
};

const TRIPPED: Bound = Bound::at_most("CH-5", "all 17 breakers open, 3 windows", 30.0, "s");
const OTHERS: Bound = Bound::at_least("CH-5", "calls to neighbours answered", 99.5, "%").ours();
const STORM: Bound =
    Bound::at_least("CH-5", "all calls answered from then on (31 % without)", 31.0, "%").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("avalanche")?;
    let behind = ground.nginx(&[at(9, 1, 8081)])?;
    let (slow, sibling, neighbour) = (at(1, 1, 8080), at(1, 2, 8080), at(2, 1, 8080));
    let _others = ground.nginx(&[sibling, neighbour])?;
    let proxy = ground.proxy(slow, &behind[0])?;
    let cgroups = (0..SERVICES).map(|number| ground.cgroup.child(&format!("service{number}")));
    let cgroups = cgroups.collect::<Result<Vec<_>>>()?;
    let guard = Guard::start(&policy(&cgroups, &[slow, sibling], neighbour))?;
    let ledger = Ledger::default();
    let load = Load::of("http", 2, 400).in_mode("retry").patient(Duration::from_secs(10));
    let targets = [slow, sibling, neighbour];
    let start = |cgroup| {
        Client::start(kit, Tool::Python, load, (cgroup, &ground.namespace), &targets, &ledger)
    };
    let _clients = cgroups.iter().map(start).collect::<Result<Vec<_>>>()?;
    // Until each of them has evidence enough.
    let breakers = |wanted: fn(&Breaker) -> bool| {
        let all = guard.daemon.status()?.breakers;
        let address = slow.to_string();
        Ok(all.iter().filter(|it| it.endpoint == address && wanted(it)).count() == SERVICES)
    };
    wait_until(now(), 60, || breakers(|it| it.window.attempts >= 20))?.context("nobody calls")?;

    let fault = now();
    proxy.set(Fault::Late { by: Duration::from_millis(8200), permille: 1000 });
    let tripped = wait_until(fault, 40, || breakers(|it| it.state != "closed"))?;
    let isolated = now();
    pause_s(10)?;
    Ok(vec![
        TRIPPED.measured_if(tripped),
        OTHERS.measured_if(ledger.answered(&[sibling, neighbour], fault)),
        STORM.measured_if(ledger.answered(&targets, isolated)),
    ])
}

/// A caller and two policies for each cgroup.
fn policy(cgroups: &[Cgroup], downstream: &[SocketAddr; 2], neighbour: SocketAddr) -> String {
    let downstream = downstream.map(|it| it.to_string());
    let mut text = format!(
        "[node]\nbrakes = {{ trips_per_minute = 1000 }}\n\
         [[service]]\nname = \"downstream\"\nendpoints = {downstream:?}\n\
         [[service]]\nname = \"neighbour\"\nendpoints = [\"{neighbour}\"]\n"
    );
    for (number, cgroup) in cgroups.iter().enumerate() {
        let path = cgroup.name();
        let caller = format!("service{number}");
        write!(text, "[[caller]]\nname = \"{caller}\"\ncgroups = [\"{path}\"]\n").expect(STRING);
        for (service, preset) in [("downstream", "dual-p99"), ("neighbour", "default")] {
            write!(
                text,
                "[[policy]]\ncaller = \"{caller}\"\nservice = \"{service}\"\n\
                 mode = \"enforce\"\npreset = \"{preset}\"\nopen.errno = \"EHOSTUNREACH\"\n"
            )
            .expect(STRING);
        }
    }
    text
}

const SERVICES: usize = 17;
const STRING: &str = "to a string";
