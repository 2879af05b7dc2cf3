//! AT-15: 92 % of what a server answers are errors; its calls go elsewhere.
//!
//! Invariant: the errors are HTTP answers of a real server; at the network all is well.

use anyhow::Result;

use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, at, pause_s, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::Ledger;
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "AT-15",
    title: "an nginx answers 92 % of its calls with 500, with another one to fall back to",
    policy: "sla-core, protocol http1, open.action redirect, lone open",
    sources: "S0.55",
    bounds: &[ISOLATED, FAILED],
    is_short: false,
    play,
};

const ISOLATED: Bound = Bound::at_most("AT-15", "isolated after", 3.0, "s");
const FAILED: Bound = Bound::at_most("AT-15", "calls that fail from then on, for 8 s", 0.3, "%");

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("sale")?;
    let (sick, well) = (at(1, 1, 8080), at(2, 1, 8080));
    let _well = ground.nginx(&[well])?;
    let mut healthy = ground.nginx(&[sick])?;
    let more = format!("protocol = \"http1\"\nfallback = [\"{well}\"]");
    let rules = "preset = \"sla-core\"\nopen.action = \"redirect\"\nsafety.lone = \"open\"";
    let guard =
        ground.guard("", &[Service { name: "order", endpoints: &[sick], more: &more, rules }])?;
    let ledger = Ledger::default();
    let loads = [
        (Tool::Python, Load::of("http", 6, 50)),
        (Tool::Node, Load::of("http", 2, 50).in_mode("once")),
        (Tool::Java, Load::of("http", 2, 100)),
        (Tool::Curl, Load::of("http", 1, 200)),
    ];
    let _clients = ground.clients(kit, &ledger, &loads, &[sick])?;
    pause_s(2)?;
    healthy[0].kill()?;
    let does = "if ($fails) { return 500 sorry; } return 200 ok;";
    let _failing = Server::nginx(&ground.namespace, sick, does)?;
    let fault = now();
    wait_until(fault, 20, || Ok(guard.times(sick, "open", fault) > 0))?;
    let opened = guard.transitions(fault).into_iter().find(|it| it.to == "open");
    let isolated = opened.map(|it| it.at);
    pause_s(8)?;
    let failed = isolated.and_then(|since| ledger.answered(&[sick], since)).map(|it| 100.0 - it);
    Ok(vec![
        ISOLATED.measured_if(isolated.map(|it| it.duration_since(fault).as_secs_f64())),
        FAILED.measured_if(failed),
    ])
}
