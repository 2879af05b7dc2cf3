//! CH-1: three of six servers die while the other three answer 200 ms late; then all is well again.
//!
//! Invariant: who is only slow, and who has nothing to do with it, loses no call.

use std::time::Duration;

use anyhow::Result;

use crate::caller::{Call as CallOfLab, Caller};
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, at, pause_s, several, wait_until};
use crate::chaos::guard::Service;
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Ledger, count};
use crate::chaos::proxy::Fault;
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;
use crate::statistics::{Extent, figure, percentile};

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-1",
    title: "3 of 6 nginx killed, 200 ms more on the others, then heal",
    policy: "default",
    sources: "S0.66",
    bounds: &[FIRST_SHED, SUCCESS, WITHIN, OPENS, OTHERS, SWING],
    is_short: false,
    play,
};

const FIRST_SHED: Bound =
    Bound::at_most("AT-1", "first connect shed, after the kill, of the slowest of three", 2.3, "s");
const SUCCESS: Bound = Bound::at_least("AT-2", "success of the three after healing", 99.2, "%");
const WITHIN: Bound = Bound::at_most("AT-2", "which is reached within", 300.0, "s");
const OPENS: Bound = Bound::at_most("AT-2", "times one of them opens after healing", 1.0, "");
const OTHERS: Bound =
    Bound::exactly("CH-1", "calls lost by servers that are slow or not concerned", 0.0, "").ours();
const SWING: Bound = Bound::at_most(
    "AT-8",
    "P99 of a server that is not concerned, of 5 looks, moves by",
    8.0,
    "ms",
);

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("loop")?;
    let dead = several(1, 3, 8080);
    let mut dying = ground.nginx(&dead)?;
    let behind = ground.nginx(&several(9, 3, 8081))?;
    let slow = several(2, 3, 8080);
    let pairs = slow.iter().zip(&behind);
    let proxies =
        pairs.map(|(it, server)| ground.proxy(*it, server)).collect::<Result<Vec<_>>>()?;
    let neighbour = [at(3, 1, 6379)];
    let _neighbour = Server::redis(&ground.namespace, neighbour[0], &[])?;
    let risk = [&dead[..], &slow].concat();
    let guard = ground.guard(
        "",
        &[
            Service { name: "risk", endpoints: &risk, more: "", rules: "" },
            Service { name: "neighbour", endpoints: &neighbour, more: "", rules: "" },
        ],
    )?;
    let ledger = Ledger::default();
    let loads = [
        (Tool::Python, Load::of("http", 1, 100)),
        (Tool::Node, Load::of("http", 1, 150)),
        (Tool::Java, Load::of("http", 1, 150)),
        (Tool::Curl, Load::of("http", 1, 500)),
    ];
    let clients = ground.clients(kit, &ledger, &loads, &risk)?;
    let mut stranger = Caller::spawn_in(&ground.cgroup, &ground.namespace)?;
    let mut look = || -> Result<Vec<Vec<CallOfLab>>> {
        let calls = (0..LOOKS).map(|_| {
            pause_s(1)?;
            stranger.call_many(neighbour[0], 300, Duration::from_secs(2))
        });
        calls.collect()
    };
    let begun = now();
    let before = look()?;

    let fault = now();
    for proxy in &proxies {
        proxy.set(Fault::Late { by: Duration::from_millis(200), permille: 1000 });
    }
    dying.iter_mut().try_for_each(Server::kill)?;
    let meanwhile = look()?;
    pause_s(2)?;
    let healed = now();
    dying.iter_mut().try_for_each(Server::revive)?;
    for proxy in &proxies {
        proxy.set(Fault::None);
    }

    let mut success = None;
    let within = wait_until(healed, 300, || {
        // Of the last three seconds, in which there are some hundred calls.
        let since = now().checked_sub(Duration::from_secs(3)).unwrap_or(healed).max(healed);
        success = ledger.answered(&dead, since);
        let is_long = healed.elapsed() > Duration::from_secs(3);
        Ok(is_long && success.is_some_and(|share| share >= 99.2))
    })?;
    let opens = dead.iter().map(|it| guard.times(*it, "open", healed)).max().unwrap_or(0);
    let swing = p99(&before).zip(p99(&meanwhile)).map(|(was, is)| (is - was).abs());
    let strangers = before.iter().chain(&meanwhile).flatten();
    let not_connected = strangers.filter(|call| call.connect_errno().is_some()).count();
    let lost = ledger.lost(&slow, begun) + count(not_connected);
    drop(clients);
    Ok(vec![
        FIRST_SHED.measured_if(ledger.last_first_shed(&dead, fault)),
        SUCCESS.measured_if(success),
        WITHIN.measured_if(within),
        OPENS.measured(count(opens)),
        OTHERS.measured(lost),
        SWING.measured_if(swing),
    ])
}

/// The median of those of all looks, in milliseconds: what else the machine does disturbs some of them.
fn p99(looks: &[Vec<CallOfLab>]) -> Option<f64> {
    let of_each = looks.iter().map(|calls| {
        let mut took: Vec<u64> = calls.iter().map(|call| call.total_us).collect();
        took.sort_unstable();
        percentile(&took, 99).map(|it| figure(it) / 1000.0)
    });
    Extent::of(of_each.collect::<Option<_>>()?).map(|extent| extent.median)
}

const LOOKS: usize = 5;
