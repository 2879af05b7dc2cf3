//! AT-26: a hundred calls a second for a minute, and nothing is wrong; then nobody calls.
//!
//! Invariant: the daemon is as it starts by default.

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, pause_s, several};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::clock::now;
use crate::statistics::figure;
use crate::vitals::{Vitals, processor_time};

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "AT-26",
    title: "100 calls a second to 4 nginx for 60 s, then 10 s of nothing",
    policy: "default",
    sources: "S2.36 S2.37 S2.58",
    bounds: &[RATE, P99, FAILED, RESIDENT, IDLE],
    is_short: false,
    play,
};

const RATE: Bound = Bound::at_least("AT-26", "calls a second", 95.0, "").ours();
const P99: Bound = Bound::at_most("AT-26", "P99 of the calls", 200.0, "ms");
const FAILED: Bound = Bound::at_most("AT-26", "calls not answered", 0.1, "%").ours();
const RESIDENT: Bound = Bound::at_most("AT-13", "memory of the daemon", 42.0, "MB");
const IDLE: Bound = Bound::at_most("AT-13", "of a core while idle", 0.2, "%").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("load")?;
    let all = several(1, 4, 8080);
    let _servers = ground.nginx(&all)?;
    let service = Service { name: "shop", endpoints: &all, more: "", rules: "" };
    let guard = ground.guard("", &[service])?;
    let ledger = Ledger::default();
    let loads = [
        (Tool::Python, Load::of("http", 1, 75)),
        (Tool::Node, Load::of("http", 1, 160).in_mode("once")),
        (Tool::Java, Load::of("http", 1, 160)),
    ];
    let clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    pause_s(60)?;
    let ended = now();
    let answered = ledger.answered(&all, begun);
    let calls = ledger.count(|it| it.ended >= begun && it.ended < ended);
    let rate = count(calls) / ended.duration_since(begun).as_secs_f64();
    let p99 = ledger.p99(&all, begun, ended);
    drop(clients);
    pause_s(2)?;
    let pid = guard.daemon.pid();
    let (before, since) = (processor_time(pid)?, now());
    pause_s(10)?;
    let used = processor_time(pid)?.saturating_sub(before).as_secs_f64();
    let idle = used * 100.0 / since.elapsed().as_secs_f64();
    let resident = figure(Vitals::of(pid)?.resident_kib) / 1024.0;
    Ok(vec![
        RATE.measured(rate),
        P99.measured_if(p99),
        FAILED.measured_if(answered.map(|it| 100.0 - it)),
        RESIDENT.measured(resident),
        IDLE.measured(idle),
    ])
}
