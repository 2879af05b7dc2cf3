//! CH-3: two of four servers are cut off without a word, and come back.
//!
//! Invariant: it is healed while both breakers are open, so every probe after that meets a well server.

use anyhow::{Context as _, Result};

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::firewall::{mend, partition};
use crate::chaos::ground::{Ground, pause_s, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::Ledger;
use crate::chaos::scenario::Scenario;
use crate::clock::now;
use crate::statistics::figure;
use crate::web;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-3",
    title: "everything to the subnet of 2 of 4 nginx is dropped, then heal",
    policy: "default",
    sources: "S2.41 S2.42",
    bounds: &[FIRST_SHED, PROBES, OTHERS, BACK],
    is_short: true,
    play,
};

const FIRST_SHED: Bound =
    Bound::at_most("AT-4", "first connect shed, of the slower of two", 5.0, "s");
const PROBES: Bound = Bound::at_least("AT-4", "probes that succeed after healing", 95.0, "%");
const OTHERS: Bound = Bound::exactly("CH-3", "calls lost by servers not cut off", 0.0, "").ours();
const BACK: Bound = Bound::at_most("CH-3", "both closed, after healing", 60.0, "s").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("partition")?;
    let (near, far) = (several(1, 2, 8080), several(2, 2, 8080));
    let all = [&near[..], &far].concat();
    let _servers = ground.nginx(&all)?;
    let service = Service { name: "shop", endpoints: &all, more: "", rules: "" };
    let guard = ground.guard("listen = \"127.0.0.1:0\"", &[service])?;
    let page = guard.daemon.pages()?;
    let ledger = Ledger::default();
    // Callers that go on while others wait, or nobody would be there to be shed.
    let going_on = Load::of("http", 2, 150).in_mode("once");
    let loads = [(Tool::Python, going_on), (Tool::Curl, Load::of("http", 1, 300))];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    pause_s(1)?;

    let fault = now();
    partition(&ground.namespace, "127.0.2.0/24")?;
    let are_open = || {
        let breakers = guard.daemon.status()?.breakers;
        Ok(breakers.iter().filter(|breaker| breaker.state == "open").count() == far.len())
    };
    wait_until(fault, 20, || Ok(ledger.last_first_shed(&far, fault).is_some()))?;
    wait_until(fault, 20, are_open)?.context("both never are open at once")?;
    let probes = |result| -> Result<f64> {
        let text = web::fetch(page, "/metrics")?.text;
        Ok(sum_of(&text, "shedder_probes_total{", result))
    };
    let before = (probes("success")?, probes("failure")?);
    let healed = now();
    mend(&ground.namespace)?;
    let back = wait_until(healed, 60, || Ok(guard.closed(&far)? == far.len()))?;
    let after = (probes("success")? - before.0, probes("failure")? - before.1);
    let made = after.0 + after.1;
    Ok(vec![
        FIRST_SHED.measured_if(ledger.last_first_shed(&far, fault)),
        PROBES.measured_if((made > 0.5).then(|| after.0 * 100.0 / made)),
        OTHERS.measured(ledger.lost(&near, begun)),
        BACK.measured_if(back),
    ])
}

/// Of the series of a family that have this result.
fn sum_of(text: &str, family: &str, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    let series = text.lines().filter(|it| it.starts_with(family) && it.contains(&label));
    figure(series.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}
