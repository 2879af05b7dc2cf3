//! CH-8: the disk of the journal writes nothing and the collector does not answer, while an endpoint dies.
//!
//! Invariant: the disk is thawed before anything waits for it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use crate::backend::{Backend, Behaviour};
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::disk::Disk;
use crate::chaos::ground::{Ground, pause_s, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Ledger, count};
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-8",
    title: "the journal's disk frozen and the collector silent while one of 3 Redis dies",
    policy: "default",
    sources: "S1.57",
    bounds: &[SURVIVAL, FIRST_SHED, MISSING],
    is_short: false,
    play,
};

const SURVIVAL: Bound = Bound::at_least("AT-6", "calls to well servers answered", 99.5, "%");
const FIRST_SHED: Bound = Bound::at_most("CH-8", "first connect shed", 2.3, "s").ours();
const MISSING: Bound =
    Bound::exactly("CH-8", "transitions missing in the journal after the thaw", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("store")?;
    let all = several(1, 3, 6379);
    let start = |it: &_| Server::redis(&ground.namespace, *it, &[]);
    let mut servers = all.iter().map(start).collect::<Result<Vec<_>>>()?;
    let collector = Backend::start(IpAddr::V4(Ipv4Addr::LOCALHOST), Behaviour::Hang)?;
    let disk = match Disk::make() {
        Ok(disk) => disk,
        Err(error) => {
            let why = format!("no disk that can freeze: {error:#}");
            return Ok(SCENARIO.bounds.iter().map(|bound| bound.not_here(&why)).collect());
        }
    };
    let state = disk.path().join("state");
    let node = format!(
        "state_dir = \"{}\"\notlp = \"http://{}\"\notlp_interval = \"1s\"",
        state.display(),
        collector.addr()
    );
    let service = Service { name: "cache", endpoints: &all, more: "", rules: "" };
    let guard = ground.guard(&node, &[service])?;
    let ledger = Ledger::default();
    let loads = [(Tool::Python, Load::of("redis", 2, 50))];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    pause_s(1)?;

    let frozen = disk.freeze()?;
    let fault = now();
    servers[0].kill()?;
    pause_s(4)?;
    let shed = ledger.first_shed(all[0], fault);
    drop(frozen);
    let told = count(guard.transitions(begun).len());
    let mut missing = told;
    wait_until(now(), 10, || {
        let text = fs::read_to_string(state.join("journal.jsonl"))?;
        missing = told - count(text.matches("\"event\":\"transition\"").count());
        Ok(missing < 0.5)
    })?;
    Ok(vec![
        SURVIVAL.measured_if(ledger.answered(&all[1..], begun)),
        FIRST_SHED.measured_if(shed),
        MISSING.measured(missing.max(0.0)),
    ])
}
