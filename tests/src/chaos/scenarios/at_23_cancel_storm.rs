//! AT-23: callers begin connects to two hundred addresses that do not answer, and cancel them at once.
//!
//! Invariant: the endpoints are found as they are called, so each of them leaves entries of its own.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::firewall::partition;
use crate::chaos::ground::{Ground, pause_s, several, wait_until};
use crate::chaos::guard::Guard;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Became, Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::clock::now;
use crate::statistics::figure;
use crate::vitals::map_entries;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "AT-23",
    title: "connects to 200 silent addresses are begun and cancelled after 30 ms, for 4 s",
    policy: "default, forget_after 3s",
    sources: "S1.21 S1.22",
    bounds: &[CANCELLED, IN_FLIGHT, ENTRIES],
    is_short: false,
    play,
};

const CANCELLED: Bound = Bound::at_least("AT-23", "connects cancelled", 500.0, "").ours();
const IN_FLIGHT: Bound = Bound::exactly("AT-23", "connects still counted as under way", 0.0, "");
const ENTRIES: Bound = Bound::exactly("AT-23", "more entries of maps after age-out", 0.0, "");

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("cancel")?;
    partition(&ground.namespace, "127.0.5.0/24")?;
    let text = format!(
        "[node]\nforget_after = \"3s\"\n[[caller]]\nname = \"app\"\ncgroups = [\"{}\"]\n\
         [[service]]\nname = \"silent\"\nendpoints = [\"127.0.5.0/24:8080\"]\n\
         [[policy]]\ncaller = \"app\"\nservice = \"silent\"\nmode = \"enforce\"\n",
        ground.cgroup.name()
    );
    let guard = Guard::start(&text)?;
    let entries = || -> Result<usize> { Ok(map_entries(guard.daemon.pid())?.values().sum()) };
    let before = entries()?;
    let ledger = Ledger::default();
    let load = Load::of("redis", 1, 500).in_mode("once").patient(Duration::from_millis(30));
    let silent = several(5, 200, 8080);
    let client = ground.client(kit, &ledger, (Tool::Node, load), &silent)?;
    wait_until(now(), 20, || Ok(ledger.count(|_| true) > 0))?.context("nobody calls")?;
    pause_s(4)?;
    drop(client);
    let mut in_flight = 0;
    wait_until(now(), 10, || {
        let breakers = guard.daemon.status()?.breakers;
        in_flight = breakers.iter().map(|it| it.in_flight.connecting).sum();
        Ok(in_flight == 0)
    })?;
    wait_until(now(), 20, || Ok(entries()? <= before))?;
    let left = entries()?.saturating_sub(before);
    Ok(vec![
        CANCELLED.measured(count(ledger.count(|it| it.became == Became::TimedOut))),
        IN_FLIGHT.measured(figure(in_flight)),
        ENTRIES.measured(count(left)),
    ])
}
