//! AT-11: what guarding adds to a connect.
//!
//! Invariant: each round in the guarded cgroup is compared with the round in another that follows it, so
//! that other work on the machine meets both.

use anyhow::{Result, ensure};

use crate::caller::Caller;
use crate::cgroup::Cgroup;
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::ground::{Ground, several};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::scenario::Scenario;
use crate::clock::now;
use crate::interrupt;
use crate::statistics::Extent;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "AT-11",
    title: "41 times 500 connects to nginx, guarded and not, in turn",
    policy: "default",
    sources: "S3.41 S3.58",
    bounds: &[COST],
    is_short: false,
    play,
};

const COST: Bound =
    Bound::at_most("AT-11", "median of what a connect and its close take longer", 87.0, "µs");

fn play(_kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("cost")?;
    let endpoints = several(1, 1, 8080);
    let _servers = ground.nginx(&endpoints)?;
    let service = Service { name: "shop", endpoints: &endpoints, more: "", rules: "" };
    let _guard = ground.guard("", &[service])?;
    let beside = Cgroup::new("chaos-beside")?;
    let mut guarded = Caller::spawn_in(&ground.cgroup, &ground.namespace)?;
    let mut unguarded = Caller::spawn_in(&beside, &ground.namespace)?;
    let time = |caller: &mut Caller| -> Result<f64> {
        let begun = now();
        let tally = caller.burst(&endpoints, CONNECTS, 1)?;
        ensure!(tally.connected == u64::from(CONNECTS), "{tally:?}");
        Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CONNECTS))
    };
    let mut more = Vec::new();
    for _ in 0..ROUNDS {
        interrupt::check()?;
        more.push(time(&mut guarded)? - time(&mut unguarded)?);
    }
    Ok(vec![COST.measured_if(Extent::of(more).map(|extent| extent.median))])
}

const CONNECTS: u32 = 500;
const ROUNDS: u32 = 41;
