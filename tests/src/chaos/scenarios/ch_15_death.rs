//! CH-15: the daemon is killed, stopped, or aborts as it does on a panic, while it sheds what is well again.
//!
//! Invariant: its programs are pinned, so it is the verdicts that have to expire.

use anyhow::{Context as _, Result};

use crate::bpf_fs::BpfFs;
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::client::{Load, Tool};
use crate::chaos::ground::{Ground, pause_s, several, wait_until};
use crate::chaos::guard::{Guard, Service, policy};
use crate::chaos::kit::Kit;
use crate::chaos::ledger::{Became, Call, Ledger};
use crate::chaos::scenario::Scenario;
use crate::chaos::server::Server;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-15",
    title: "the daemon is killed, stopped or aborts while it sheds a Redis that is back",
    policy: "default, open.base 10m, programs kept",
    sources: "S3.11 S3.43 S4.30 S0.9",
    bounds: &[KILLED, STOPPED, ABORTED, OTHERS],
    is_short: true,
    play,
};

const KILLED: Bound = Bound::at_most("AT-21", "SIGKILL: all connects allowed after", 10.0, "s");
const STOPPED: Bound = Bound::at_most("AT-21", "SIGSTOP: all connects allowed after", 10.0, "s");
const ABORTED: Bound =
    Bound::at_most("AT-21", "SIGABRT, as a panic ends: all connects allowed after", 10.0, "s");
const OTHERS: Bound = Bound::exactly("CH-15", "calls lost by the other server", 0.0, "").ours();

fn play(kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("death")?;
    let all = several(1, 2, 6379);
    let start = |it: &_| Server::redis(&ground.namespace, *it, &[]);
    let mut servers = all.iter().map(start).collect::<Result<Vec<_>>>()?;
    let ledger = Ledger::default();
    let loads = [(Tool::Python, Load::of("redis", 2, 50))];
    let _clients = ground.clients(kit, &ledger, &loads, &all)?;
    let begun = now();
    let mut findings = Vec::new();
    for (signal, bound) in
        [(libc::SIGKILL, KILLED), (libc::SIGSTOP, STOPPED), (libc::SIGABRT, ABORTED)]
    {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        let pins = BpfFs::mount(directory.path())?;
        let rules = "open.base = \"10m\"\nopen.max = \"10m\"";
        let service = Service { name: "cache", endpoints: &all, more: "", rules };
        let node = format!("pin_dir = \"{}\"", pins.pins().display());
        let text = policy(&node, &[ground.cgroup.name()], &[service]);
        let guard = Guard::start_with(&text, &["--detach-on-exit=false"])?;
        // Both are in use, so that none is the only one.
        let are_known = || {
            let breakers = guard.daemon.status()?.breakers;
            Ok(breakers.iter().all(|breaker| breaker.window.attempts > 0))
        };
        wait_until(now(), 10, are_known)?.context("the daemon does not see the calls")?;
        let fault = now();
        servers[0].kill()?;
        wait_until(fault, 10, || Ok(ledger.first_shed(all[0], fault).is_some()))?;
        servers[0].revive()?;
        let died = now();
        guard.daemon.signal(signal);
        let flows = wait_until(died, 20, || {
            let answered = |it: &Call| it.to == all[0] && it.became == Became::Answered;
            Ok(ledger.count(|it| answered(it) && it.ended > died) > 0)
        })?;
        let flowing = now();
        pause_s(1)?;
        let lost = ledger.lost(&all[..1], flowing);
        findings.push(bound.measured_if(flows.filter(|_| lost < 0.5)));
        guard.daemon.signal(libc::SIGCONT);
    }
    findings.push(OTHERS.measured(ledger.lost(&all[1..], begun)));
    Ok(findings)
}
