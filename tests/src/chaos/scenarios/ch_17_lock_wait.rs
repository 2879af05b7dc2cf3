//! CH-17: a table is locked for fifteen seconds under callers that wait for thirty.
//!
//! Invariant: the database takes sixty connections and refuses further ones; without shedding they are
//! used up before the lock is released.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, at, pause_s, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Became, Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-17",
    title: "a table of PostgreSQL is locked for 15 s, 10 callers a second wait for 30 s",
    policy: "contract-800, open.base 2s, lone open",
    sources: "S1.3",
    bounds: &[FIRST_SHED, TOO_MANY, BACK],
    is_short: false,
    play,
};

const FIRST_SHED: Bound = Bound::at_most("CH-17", "first connect shed", 7.0, "s").ours();
const TOO_MANY: Bound =
    Bound::exactly("CH-17", "callers refused by the database (\"too many clients\")", 0.0, "")
        .ours();
const BACK: Bound = Bound::at_most("CH-17", "closed again, after the lock", 60.0, "s").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("lock")?;
    let address = at(1, 1, 5432);
    let server = Server::postgres(&ground.namespace, address, 60)?;
    let rules = "preset = \"contract-800\"\nopen.base = \"2s\"\nsafety.lone = \"open\"";
    let service = Service { name: "db", endpoints: &[address], more: "", rules };
    let guard = ground.guard("", &[service])?;
    let ledger = Ledger::default();
    let load = Load::of("postgres", 2, 200).in_mode("once").patient(Duration::from_secs(30));
    let _clients = ground.clients(kit, &ledger, &[(Tool::Python, load)], &[address])?;
    let begun = now();
    pause_s(2)?;

    let fault = now();
    let mut lock = server.psql("begin; lock table orders; select pg_sleep(15)")?;
    wait_until(fault, 30, || lock.is_over())?.context("the lock stays")?;
    let healed = now();
    let back = wait_until(healed, 60, || Ok(guard.closed(&[address])? == 1))?;
    let refused = ledger.count(|it| it.ended >= begun && it.became == Became::Failed);
    Ok(vec![
        FIRST_SHED.measured_if(ledger.first_shed(address, fault)),
        TOO_MANY.measured(count(refused)),
        BACK.measured_if(back),
    ])
}
