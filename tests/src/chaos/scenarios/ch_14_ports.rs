//! CH-14: a caller runs out of local ports.
//!
//! Invariant: the servers are well all the time, and each port serves again only after a minute.

use anyhow::Result;
use shedder_user::api::model::EventKind;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Became, Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-14",
    title: "a caller of 2 nginx runs out of 400 local ports",
    policy: "default",
    sources: "S1.55",
    bounds: &[WITHOUT, WARNED, TRANSITIONS],
    is_short: false,
    play,
};

const WITHOUT: Bound = Bound::at_least("CH-14", "calls without a port", 10.0, "").ours();
const WARNED: Bound =
    Bound::at_least("CH-14", "warned before the first of them by", 0.0, "s").ours();
const TRANSITIONS: Bound = Bound::exactly("CH-14", "breakers that changed", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("ports")?;
    ground.namespace.set("ipv4/ip_local_port_range", "40000 40399")?;
    ground.namespace.set("ipv4/tcp_tw_reuse", "0")?;
    let all = several(1, 2, 8080);
    let _servers = ground.nginx(&all)?;
    let service = Service { name: "shop", endpoints: &all, more: "", rules: "" };
    let guard = ground.guard("", &[service])?;
    let ledger = Ledger::default();
    let begun = now();
    let _quiet =
        ground.client(kit, &ledger, (Tool::Python, Load::of("http", 1, 1000)), &all[1..])?;
    let _busy = ground.client(kit, &ledger, (Tool::Python, Load::of("http", 2, 20)), &all[..1])?;
    let without = || ledger.find(|it| it.became == Became::Portless);
    wait_until(begun, 40, || Ok(without().len() >= 10))?;
    let first = without().iter().map(|it| it.ended).min();
    let warned = guard.events(begun, |at, event| {
        let EventKind::Ports { ports, .. } = &event.kind else { return None };
        ports.pressing.then_some(at)
    });
    let ahead = first.zip(warned.first().copied());
    // Later is less than nothing.
    let ahead = ahead.map(|(first, warned)| {
        let ahead = first.checked_duration_since(warned).map(|it| it.as_secs_f64());
        ahead.unwrap_or_else(|| -warned.duration_since(first).as_secs_f64())
    });
    Ok(vec![
        WITHOUT.measured(count(without().len())),
        WARNED.measured_if(ahead),
        TRANSITIONS.measured(count(guard.transitions(begun).len())),
    ])
}
