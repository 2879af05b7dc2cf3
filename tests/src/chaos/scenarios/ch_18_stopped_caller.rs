//! CH-18: the callers stand still for five seconds, in the middle of their calls.
//!
//! Invariant: the servers are well all the time, and answer within 100 ms.

use std::time::Duration;

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Client, Load, Tool};
use crate::chaos::ground::{Ground, pause_s, several};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Became, Ledger, count};
use crate::chaos::proxy::Fault;
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-18",
    title: "the callers of 2 Redis are stopped (SIGSTOP) for 5 s, twice",
    policy: "contract-200",
    sources: "S2.5",
    bounds: &[TRANSITIONS, SHED],
    is_short: false,
    play,
};

const TRANSITIONS: Bound = Bound::exactly("CH-18", "breakers that changed", 0.0, "").ours();
const SHED: Bound = Bound::exactly("CH-18", "connects shed", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("stopped")?;
    let all = several(1, 2, 6379);
    let behind = several(9, 2, 6380);
    let start = |it: &_| Server::redis(&ground.namespace, *it, &[]);
    let servers = behind.iter().map(start).collect::<Result<Vec<_>>>()?;
    let pairs = all.iter().zip(&servers);
    let proxies =
        pairs.map(|(it, server)| ground.proxy(*it, server)).collect::<Result<Vec<_>>>()?;
    let rules = "preset = \"contract-200\"";
    let guard = ground.guard("", &[Service { name: "cache", endpoints: &all, more: "", rules }])?;
    let ledger = Ledger::default();
    // So that at any moment some calls are under way.
    let late = Fault::Late { by: Duration::from_millis(60), permille: 1000 };
    for proxy in &proxies {
        proxy.set(late);
    }
    let load = Load::of("redis", 8, 100).patient(Duration::from_secs(1));
    let loads = [(Tool::Python, load), (Tool::Java, load)];
    let clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    for _ in 0..2 {
        pause_s(2)?;
        signal_all(&clients, libc::SIGSTOP);
        pause_s(5)?;
        signal_all(&clients, libc::SIGCONT);
    }
    pause_s(2)?;
    let shed = ledger.count(|it| it.ended >= begun && it.became == Became::Shed);
    Ok(vec![
        TRANSITIONS.measured(count(guard.transitions(begun).len())),
        SHED.measured(count(shed)),
    ])
}

fn signal_all(clients: &[Client], signal: i32) {
    for client in clients {
        client.signal(signal);
    }
}
