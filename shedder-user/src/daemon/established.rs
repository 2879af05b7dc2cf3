//! What becomes of the connections there are when a breaker opens, where its policy does not keep
//! them: they are counted, then ended by and by.
//!
//! Invariant: only connections there were when the breaker opened are ended, and only until traffic
//! returns to it. What takes time is done by a thread, one at a time, and the loop never waits for it.

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::cells::{Cell, Cells};
use super::guard::Guard;
use super::journal::Journal;
use super::{Daemon, report};
use crate::config::Config;
use crate::engine::{CellId, Directive, Established};

mod opening;
mod pace;
mod progress;
mod round;

pub(super) use self::progress::Progress;

use self::opening::Opening;
use self::round::{Order, Report};

/// Every breaker whose connections are being ended, and how many were.
#[derive(Debug, Default)]
pub(super) struct Endings {
    is_supported: bool,
    openings: BTreeMap<CellId, Opening>,
    destroyed: BTreeMap<CellId, u64>,
    round: Option<JoinHandle<Vec<Report>>>,
    /// What was last complained about.
    complaint: Option<String>,
}

/// Says so where a policy asks for what this kernel cannot do.
pub(super) fn prepare(daemon: &mut Daemon) {
    let Daemon { config, kernel, endings, journal, .. } = daemon;
    let mut policies = config.bindings.iter().map(|binding| &binding.policy);
    let asking = policies.find(|policy| policy.established != Established::Keep);
    match (&kernel.features().connections, asking) {
        (Ok(()), _) => endings.is_supported = true,
        (Err(error), Some(policy)) => journal.error(&format!(
            "policy {} would end established connections, which this kernel cannot do, so they are kept: {error}",
            policy.name
        )),
        (Err(_), None) => {}
    }
}

/// Takes in what a round has done, follows the breakers that were touched since the last time, and lets the next
/// round begin.
pub(super) fn advance(daemon: &mut Daemon, touched: &[CellId], now: Monotonic) {
    let Daemon { config, engine, cells, guard, endings, journal, .. } = daemon;
    if !endings.is_supported {
        return;
    }
    for report in endings.finished_round(journal) {
        if let Some(cell) = cells.by_id(report.cell) {
            endings.take(report, cell, config, journal, now);
        }
    }
    // One whose round was out when it ended has not been touched since.
    let known: Vec<CellId> = endings.openings.keys().copied().collect();
    for cell in touched.iter().chain(&known).filter_map(|id| cells.by_id(*id)) {
        endings.follow(cell, engine.directive(cell.id, now), config, journal);
    }
    endings.begin_round(cells, guard, journal, now);
}

impl Endings {
    /// Connections ended for a breaker since its endpoint is known.
    pub(super) fn destroyed(&self, cell: CellId) -> u64 {
        self.destroyed.get(&cell).copied().unwrap_or(0)
    }

    /// Whether anything is still to be done, or to be told, about a breaker's connections.
    pub(super) fn is_busy(&self, cell: CellId) -> bool {
        self.openings.contains_key(&cell)
    }

    /// The breaker is no more.
    pub(super) fn forget(&mut self, cell: CellId) {
        self.openings.remove(&cell);
        self.destroyed.remove(&cell);
    }

    /// What the last round has done, if there was one and it has ended.
    fn finished_round(&mut self, journal: &mut Journal) -> Vec<Report> {
        let Some(round) = self.round.take_if(|round| round.is_finished()) else {
            return Vec::new();
        };
        round.join().unwrap_or_else(|_panic| {
            self.forget_round("the thread that ends connections has died", journal);
            Vec::new()
        })
    }

    fn take(
        &mut self,
        report: Report,
        cell: &Cell,
        config: &Config,
        journal: &mut Journal,
        now: Monotonic,
    ) {
        let Report { cell: id, left, destroyed, trouble } = report;
        *self.destroyed.entry(id).or_default() += destroyed as u64;
        if let Some(trouble) = trouble {
            let name = report::name(config, cell);
            let text = format!("{name}: connections that cannot be reached are kept: {trouble}");
            self.complain(text, journal);
        }
        // Another is that of a later breaker of this number.
        if let Some(opening) = self.openings.get_mut(&id).filter(|opening| opening.is_out) {
            let seed = now.as_nanos() ^ u64::from(id.0);
            let tell = |progress: &Progress| journal.established(config, cell, progress);
            opening.take(left, destroyed, seed, now, tell);
        }
    }

    /// Notes whether a breaker is open, by what the engine says is in force.
    fn follow(
        &mut self,
        cell: &Cell,
        directive: Option<Directive>,
        config: &Config,
        journal: &mut Journal,
    ) {
        if let Some(opening) = self.openings.get_mut(&cell.id) {
            if directive.is_some_and(|directive| opening.lasts(&directive)) {
                return;
            }
            opening.revoke();
            // What a round has done meanwhile belongs to the sum.
            if opening.is_out {
                return;
            }
            opening.progress.end(|progress| journal.established(config, cell, progress));
            self.openings.remove(&cell.id);
        }
        if let Some(opening) = directive.as_ref().and_then(Opening::of) {
            self.openings.insert(cell.id, opening);
        }
    }

    fn begin_round(&mut self, cells: &Cells, guard: &Guard, journal: &mut Journal, now: Monotonic) {
        if self.round.is_some() {
            return;
        }
        let orders = self.orders(cells, guard, now);
        if orders.is_empty() {
            return;
        }
        match round::begin(orders) {
            Ok(round) => self.round = Some(round),
            Err(error) => {
                self.forget_round(&format!("no thread can be started: {error}"), journal);
            }
        }
    }

    /// What there is to do now, for the breakers that are still open.
    fn orders(&mut self, cells: &Cells, guard: &Guard, now: Monotonic) -> Vec<Order> {
        let order = |(id, opening): (&CellId, &mut Opening)| {
            let cell = cells.by_id(*id)?;
            Some(Order {
                cell: *id,
                task: opening.task(now)?,
                cgroups: guard.directories(cell.caller, opening.enforce_percent()),
                endpoint: cell.endpoint,
                network: cell.network_cookie(),
                fate: opening.progress.established,
                patience: cell.policy.caller_timeout.max(SILENCE),
                permission: opening.permission(),
            })
        };
        self.openings.iter_mut().filter_map(order).collect()
    }

    /// The round will not report; the next one takes up its work.
    fn forget_round(&mut self, why: &str, journal: &mut Journal) {
        for opening in self.openings.values_mut() {
            opening.is_out = false;
        }
        self.complain(format!("established connections are kept: {why}"), journal);
    }

    /// Tells what goes wrong when it begins to, not in every round.
    fn complain(&mut self, text: String, journal: &mut Journal) {
        if self.complaint.as_ref() != Some(&text) {
            journal.error(&text);
            self.complaint = Some(text);
        }
    }
}

/// A connection silent for less is in use, however little the caller's patience.
const SILENCE: Duration = Duration::from_secs(1);
