//! AT-11: what guarding adds to a connect.
//!
//! Invariant: the same process count makes the same connects in a guarded cgroup and in another, in turn,
//! and the quickest round of each counts, because other work on the machine can only slow a round down.

use anyhow::{Result, ensure};

use crate::caller::Caller;
use crate::cgroup::Cgroup;
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::ground::{Ground, several};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::scenario::Scenario;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "AT-11",
    title: "2000 connects to nginx, guarded and not, in turn",
    policy: "default",
    sources: "S3.41 S3.58",
    bounds: &[COST],
    is_short: false,
    play,
};

const COST: Bound = Bound::at_most("AT-11", "more for a connect and its close", 87.0, "µs");

fn play(_kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("cost")?;
    let endpoints = several(1, 1, 8080);
    let _servers = ground.nginx(&endpoints)?;
    let service = Service { name: "shop", endpoints: &endpoints, more: "", rules: "" };
    let _guard = ground.guard("", &[service])?;
    let beside = Cgroup::new("chaos-beside")?;
    let mut guarded = Caller::spawn_in(&ground.cgroup, &ground.namespace)?;
    let mut unguarded = Caller::spawn_in(&beside, &ground.namespace)?;
    let mut best = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        for (caller, best) in [&mut guarded, &mut unguarded].into_iter().zip(&mut best) {
            let begun = now();
            let tally = caller.burst(&endpoints, CONNECTS, 1)?;
            let took = begun.elapsed().as_secs_f64() * 1e6 / f64::from(CONNECTS);
            ensure!(tally.connected == u64::from(CONNECTS), "{tally:?}");
            *best = best.min(took);
        }
    }
    Ok(vec![COST.measured((best[0] - best[1]).max(0.0))])
}

const CONNECTS: u32 = 2000;
const ROUNDS: u32 = 8;
