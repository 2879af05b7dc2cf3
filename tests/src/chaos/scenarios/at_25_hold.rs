//! AT-25: a connect that is held takes as long as the policy says.
//!
//! Invariant: the time is taken by the caller around `connect(2)`.

use anyhow::{Context as _, Result, ensure};

use crate::caller::{Caller, ConnectOptions};
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::ground::{Ground, several};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::scenario::Scenario;
use crate::interrupt;
use crate::statistics::{Extent, figure};

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "AT-25",
    title: "20 connects to an nginx are held for 120 ms each",
    policy: "default, open.action delay 120ms, tripped by hand",
    sources: "S3.14",
    bounds: &[USUALLY, AT_WORST],
    is_short: false,
    play,
};

const USUALLY: Bound = Bound::at_most("AT-25", "median of what the hold is off by", 5.0, "ms");
const AT_WORST: Bound =
    Bound::at_most("AT-25", "the worst of 20: a step of a timer with 100 HZ more", 15.0, "ms")
        .ours();

fn play(_kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("hold")?;
    let endpoints = several(1, 1, 8080);
    let _servers = ground.nginx(&endpoints)?;
    let rules = "open.action = \"delay\"\nopen.delay = \"120ms\"";
    let service = Service { name: "shop", endpoints: &endpoints, more: "", rules };
    let guard = ground.guard("", &[service])?;
    guard.daemon.succeed(&["trip", &endpoints[0].to_string()])?;
    let mut caller = Caller::spawn_in(&ground.cgroup, &ground.namespace)?;
    let mut off = Vec::new();
    for _ in 0..20 {
        interrupt::check()?;
        let held = caller.connect(endpoints[0], &ConnectOptions::default())?;
        ensure!(held.connected(), "{held:?}");
        off.push((figure(held.connect_us) / 1000.0 - 120.0).abs());
    }
    let extent = Extent::of(off).context("there were none")?;
    Ok(vec![USUALLY.measured(extent.median), AT_WORST.measured(extent.most)])
}
