//! What the metrics tell: counted as the loop goes, put together when somebody asks.
//!
//! Invariant: the text is made at most once between two looks, however many ask, and tells what was
//! known at the last one.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Bytes;
use procfs::WithCurrentSystemInfo as _;
use procfs::process::Process;
use shedder_common::counters::SlotCounters;
use shedder_common::time::Monotonic;

use super::cells::Cell;
use super::telemetry::Telemetry;
use super::{Daemon, report};
use crate::api::model::InFlight;
use crate::clock;
use crate::config::Config;
use crate::engine::{Cause, Change, Sample, State};
use crate::metrics::{Calls, Endpoint, Snapshot, Tally, page};
use crate::printable::printable;

#[derive(Debug)]
pub(super) struct Metrics {
    /// By the indices of caller and service.
    tallies: BTreeMap<Pair, Tally>,
    calls: Calls,
    /// Looks that took longer than a tick.
    overruns: u64,
    /// Seconds since 1970; a clock that is set later does not change it.
    started: f64,
    looked: Monotonic,
    /// The text, until the next look.
    page: Option<Bytes>,
}

type Pair = (usize, usize);

impl Metrics {
    pub(super) fn new(config: &Config, now: Monotonic) -> Self {
        let pairs = config.bindings.iter().map(|binding| (binding.caller, binding.service));
        let started = clock::wall(now).duration_since(UNIX_EPOCH);
        Self {
            tallies: pairs.map(|pair| (pair, Tally::new())).collect(),
            calls: Calls::default(),
            overruns: 0,
            started: started.unwrap_or_default().as_secs_f64(),
            looked: now,
            page: None,
        }
    }

    /// Counts what one cell has seen while its breaker was in `state`.
    pub(super) fn see(&mut self, cell: &Cell, state: Option<State>, sample: &Sample) {
        self.tally(cell).see(sample);
        if let Some(state) = state {
            self.calls.see(state, sample);
        }
    }

    /// Counts a change of state, and what it ends.
    pub(super) fn change(&mut self, cell: &mut Cell, change: &Change) {
        let is_forced = |state| matches!(state, State::ForcedOpen | State::ForcedClosed);
        let is_reset = matches!(change.cause, Cause::Reset);
        if is_reset || is_forced(change.from) || is_forced(change.to) {
            cell.tripped = None;
        } else if change.to == State::Closed {
            if let Some(tripped) = cell.tripped.take() {
                self.tally(cell).recover(change.at.since(tripped));
            }
        } else if change.from == State::Closed {
            cell.tripped = Some(change.at);
        }
        self.tally(cell).change(change.to);
    }

    /// What was counted for a caller and service ends with the last policy between them: their indices
    /// may mean others later.
    pub(super) fn follow(&mut self, config: &Config) {
        let pairs = || config.bindings.iter().map(|binding| (binding.caller, binding.service));
        self.tallies.retain(|pair, _| pairs().any(|other| other == *pair));
        for pair in pairs() {
            self.tallies.entry(pair).or_default();
        }
        self.page = None;
    }

    /// Keeps what a cell has counted that is forgotten.
    pub(super) fn forget(&mut self, cell: &Cell) {
        self.tally(cell).forget(&cell.seen, cell.is_listed);
    }

    /// A look that began at `began` has ended.
    pub(super) fn note_look(&mut self, began: Monotonic, tick: Duration) {
        self.overruns += u64::from(clock::now().since(began) > tick);
        self.looked = began;
        self.page = None;
    }

    /// When the last look began.
    pub(super) const fn last_look(&self) -> Monotonic {
        self.looked
    }

    fn tally(&mut self, cell: &Cell) -> &mut Tally {
        self.tallies.entry((cell.caller, cell.service)).or_default()
    }
}

impl Daemon {
    /// The text of all metrics.
    pub(super) fn metrics_page(&mut self) -> Bytes {
        if let Some(page) = &self.metrics.page {
            return page.clone();
        }
        let page = Bytes::from(page(&self.snapshot()));
        self.metrics.page = Some(page.clone());
        page
    }

    /// Why this daemon is not ready, if it is not: ready is attached, and looking at the evidence.
    pub(super) fn readiness(&self) -> Result<(), String> {
        if let Some((path, why)) = self.guard.first_refused() {
            return Err(printable(&format!("{path} is not guarded: {why}")).into_owned());
        }
        if self.guard.len() == 0 {
            return Err("no cgroup is guarded: none matches the policy file yet".to_owned());
        }
        let idle = clock::now().since(self.metrics.looked);
        if idle > self.config.node.verdict_ttl {
            return Err(format!("nothing was looked at for {idle:?}"));
        }
        Ok(())
    }

    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        let Self { config, metrics, guard, kernel, .. } = self;
        let callers = config.callers.iter().enumerate();
        let guarded = |caller| guard.iter().filter(|(_, owner, _)| *owner == caller).count();
        let left = self.verdicts_until.since(clock::now());
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            started: metrics.started,
            resident: resident(),
            cgroups: callers.map(|(index, it)| (it.name.as_str(), guarded(index))).collect(),
            slots: kernel.slot_usage(),
            node: kernel.node_counters(),
            undecodable: self.undecodable,
            untold_ends: self.untold.ended(),
            overruns: metrics.overruns,
            panics: self.panics.total,
            generation: self.standing.generation.into(),
            journal: self.journal.counts(),
            control: self.refused.counts(),
            verdict_age: config.node.verdict_ttl.saturating_sub(left),
            calls: metrics.calls,
            unlisted: self.cells.iter().filter(|cell| !cell.is_listed).count(),
            endpoints: self.endpoints(),
            delivered: self.telemetry.as_ref().map(Telemetry::delivered),
            tallies: metrics
                .tallies
                .iter()
                .map(|(&(caller, service), tally)| {
                    let (caller, service) = (&config.callers[caller], &config.services[service]);
                    (caller.name.as_str(), service.name.as_str(), tally)
                })
                .collect(),
        }
    }

    /// Those with series of their own, then the others, one for each caller and service.
    fn endpoints(&self) -> Vec<Endpoint<'_>> {
        let config = &self.config;
        let names = |(caller, service): Pair| {
            (config.callers[caller].name.as_str(), config.services[service].name.as_str())
        };
        let mut listed = Vec::new();
        let mut others = BTreeMap::new();
        for (pair, tally) in &self.metrics.tallies {
            if tally.forgotten_other != SlotCounters::CLEAR {
                let (caller, service) = names(*pair);
                others.insert(*pair, Endpoint::other(caller, service, tally.forgotten_other));
            }
        }
        for cell in self.cells.iter() {
            let pair = (cell.caller, cell.service);
            let (caller, service) = names(pair);
            if cell.is_listed {
                let endpoint = cell.endpoint.to_string();
                let mut own = Endpoint::new(caller, service, endpoint, cell.network.as_deref());
                self.tell(cell, &mut own);
                listed.push(own);
            } else {
                let other = others
                    .entry(pair)
                    .or_insert_with(|| Endpoint::other(caller, service, SlotCounters::CLEAR));
                self.tell(cell, other);
            }
        }
        listed.extend(others.into_values());
        listed
    }

    fn tell(&self, cell: &Cell, endpoint: &mut Endpoint<'_>) {
        let Some(state) = self.engine.state(cell.id) else { return };
        let InFlight { connecting, waiting, stalled, connections } =
            report::in_flight(&cell.seen, &self.kernel.in_flight(cell.slot));
        let in_flight = [connecting, waiting, stalled, connections];
        endpoint.take(state, &cell.seen, in_flight, port_usage(cell));
    }
}

/// The share of local ports that is taken, as far as anybody asked how many there are.
fn port_usage(cell: &Cell) -> Option<f64> {
    let available = cell.ports.available.filter(|available| *available > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "ports are few")]
    let usage = cell.ports.all() as f64 / available as f64;
    Some(usage)
}

/// The memory this process holds, in bytes; zero where /proc does not say.
fn resident() -> u64 {
    let stat = Process::myself().and_then(|process| process.stat());
    stat.map_or(0, |stat| stat.rss_bytes().get())
}
