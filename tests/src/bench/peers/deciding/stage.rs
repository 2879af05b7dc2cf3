//! Where decisions are timed: a daemon, a caller that is this process, endpoints nobody has called.
//!
//! Invariant: every endpoint has its slot before the first connect, no endpoint is handed out twice, one
//! other is well and in use, and what keeps the CPUs busy stays outside of the guarded cgroup.

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process;
use std::thread;
use std::time::Duration;
use std::vec::IntoIter;

use anyhow::{Context as _, Result, bail, ensure};
use shedder_common::counters::SlotCounters;
use shedder_common::map;
use shedder_common::verdict::Verdict;
use shedder_user::config::Config;

use super::super::maps::{Rows, Word, slots};
use super::attempt::Attempt;
use super::hogs::Hogs;
use super::{Condition, FAILURES, Way};
use crate::backend::{Backend, Behaviour};
use crate::bench::membership::Membership;
use crate::clock::{now, remaining};
use crate::daemon::{Daemon, NO_BRAKES};
use crate::interrupt;
use crate::netns::NetNs;

/// What is built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) way: Way,
    pub(super) condition: Condition,
    /// Endpoints that are ill: those that are used, and more of them where a full node is meant.
    pub(super) endpoints: u32,
    /// Processes that keep CPUs busy, where the condition asks for it.
    pub(super) cpus: usize,
}

/// What a measurement works with, as a member of the guarded cgroup.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) condition: Condition,
    /// How often the daemon looks at the counters.
    pub(super) tick: Duration,
    verdicts: Rows,
    slots: BTreeMap<SocketAddrV4, u32>,
    fresh: IntoIter<SocketAddrV4>,
}

impl Stage<'_> {
    /// An endpoint that was never called, and its verdict.
    pub(super) fn fresh(&mut self) -> Result<(SocketAddrV4, Word<'_>)> {
        let endpoint = self.fresh.next().context("every endpoint was used")?;
        let offset = self.slot_of(endpoint)? * size_of::<Verdict>() + offset_of!(Verdict, word);
        Ok((endpoint, self.verdicts.word(offset)?))
    }

    /// Uses the endpoint that is well until the kernel counts it, and waits for a look at that.
    fn wait_until_guarded(&self, well: SocketAddr) -> Result<()> {
        let SocketAddr::V4(well) = well else { bail!("{well} is not IPv4") };
        let counters = Rows::of(self.daemon.pid(), map::COUNTERS)?;
        let row = self.slot_of(well)? * size_of::<SlotCounters>();
        let connects = counters.word(row + offset_of!(SlotCounters, connects))?;
        let deadline = now() + PATIENCE;
        while connects.load() == 0 {
            interrupt::check()?;
            if remaining(deadline).is_none() {
                bail!("this process is not guarded: {}", self.daemon.log());
            }
            thread::sleep(Duration::from_millis(20));
            let attempt = Attempt::make(well)?;
            ensure!(attempt.error.is_none(), "{well} should be well: {attempt:?}");
        }
        thread::sleep(self.tick * 2);
        Ok(())
    }

    fn slot_of(&self, endpoint: SocketAddrV4) -> Result<usize> {
        let slot = self.slots.get(&endpoint).context("an endpoint has no slot")?;
        Ok(usize::try_from(*slot)?)
    }
}

/// Builds a stage, works on it on a thread inside, and takes all of it away.
pub(super) fn with<T: Send>(
    plan: Plan,
    work: impl FnOnce(&mut Stage<'_>) -> Result<T> + Send,
) -> Result<T> {
    let namespace = NetNs::new("deciding")?;
    let endpoints = endpoints(plan.endpoints);
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let well = namespace.enter(|| Backend::start(localhost, Behaviour::Healthy))??;
    let policy = policy(plan, &endpoints, well.addr());
    let tick = Config::parse("policy", &policy)?.node.tick;
    let daemon = Daemon::start_or_advise(&policy, &[])?;
    let hogs = match plan.condition {
        Condition::Idle => None,
        Condition::Saturated => Some(Hogs::start(plan.cpus)?),
    };
    let outcome = namespace.enter(|| {
        // Last of all: whatever is started from here on is guarded.
        let _membership = Membership::join(LABEL)?;
        let mut stage = Stage {
            daemon: &daemon,
            condition: plan.condition,
            tick,
            verdicts: Rows::of(daemon.pid(), map::VERDICTS)?,
            slots: slots(daemon.pid())?,
            fresh: endpoints.into_iter(),
        };
        stage.wait_until_guarded(well.addr())?;
        work(&mut stage)
    })?;
    drop(hogs);
    outcome
}

/// Addresses of the loopback network at a port where nobody listens: each refuses.
fn endpoints(count: u32) -> Vec<SocketAddrV4> {
    let first = Ipv4Addr::new(127, 1, 0, 0).to_bits();
    (first..first + count)
        .map(|address| SocketAddrV4::new(Ipv4Addr::from_bits(address), CLOSED_PORT))
        .collect()
}

/// Whoever opens stays open until the end, so that nothing but the trials is going on.
fn policy(plan: Plan, endpoints: &[SocketAddrV4], well: SocketAddr) -> String {
    let rule = match plan.way {
        Way::Run => format!("{{ consecutive = {FAILURES}, without = [\"failure_share\"] }}"),
        Way::Look => format!(
            "{{ failure_share = {{ at_least = 0.5, confidence = 0, min_attempts = {FAILURES} }}, without = [\"consecutive\"] }}"
        ),
    };
    let listed = endpoints.iter().map(ToString::to_string);
    let listed: Vec<String> = listed.chain([well.to_string()]).collect();
    format!(
        r#"
[node]
max_endpoints = {count}
brakes = {NO_BRAKES}
[[caller]]
name = "app"
cgroups = ["/shedder-lab-{LABEL}-{pid}-*"]
[[service]]
name = "db"
endpoints = {listed:?}
[[policy]]
caller = "app"
service = "db"
mode = "enforce"
trip = {rule}
open = {{ errno = "EHOSTUNREACH", base = "1h", max = "1h", jitter = 0.0 }}
safety = {{ max_open_percent = 100, lone = "open", scope = "cell", false_refusals = 0 }}
"#,
        count = listed.len(),
        pid = process::id(),
    )
}

const LABEL: &str = "deciding";
/// Discard; a network namespace of our own has nobody who does.
const CLOSED_PORT: u16 = 9;
const PATIENCE: Duration = Duration::from_mins(1);
