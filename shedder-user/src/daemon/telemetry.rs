//! What the daemon hands over for a collector: a span for each episode of a breaker, and the metrics.
//!
//! Invariant: nothing here waits; without a collector nothing is kept.

use std::net::SocketAddr;
use std::time::SystemTime;

use shedder_common::counters::SlotCounters;
use shedder_common::verdict::{Action, VerdictWord};

use super::Daemon;
use super::cells::{Cell, Cells};
use super::panics::{Panic, Panics};
use crate::clock;
use crate::config::Config;
use crate::engine::{CellId, Change, Mode, ShedAction};
use crate::metrics::Delivered;
use crate::telemetry::{
    Episodes, Points, Seen, SpanSender, Subject, panic_recovery, points, random,
};

#[derive(Debug)]
pub(super) struct Telemetry {
    episodes: Episodes,
    spans: SpanSender,
}

impl Telemetry {
    pub(super) fn new(spans: SpanSender) -> Self {
        Self { episodes: Episodes::new(random()), spans }
    }

    /// Takes in a change of state, and returns the trace it belongs to.
    pub(super) fn change(
        &mut self,
        config: &Config,
        cell: &Cell,
        change: &Change,
    ) -> Option<String> {
        let at = clock::wall(change.at);
        let (trace, span) = self.episodes.change(cell.id, &subject(config, cell), change, at);
        if let Some(span) = span {
            self.spans.send(span);
        }
        trace
    }

    /// Looks for connects that were redirected.
    pub(super) fn look(&mut self, cells: &Cells) {
        for cell in self.episodes.cells().into_iter().filter_map(|id| cells.by_id(id)) {
            let at = SystemTime::now();
            self.episodes.look(cell.id, seen(cell), || target(cells, cell), at);
        }
    }

    /// Ends the episode of a breaker that is taken away.
    pub(super) fn forget(&mut self, config: &Config, cell: &Cell) {
        self.end(config, cell, "forgotten");
    }

    pub(super) fn delivered(&self) -> Delivered {
        self.spans.delivered()
    }

    /// Hands over the time without a daemon after a panic, and returns its trace.
    fn recovered(&self, panic: &Panic) -> String {
        let (message, place) = (&panic.message, &panic.place);
        let now = SystemTime::now();
        let (trace, span) = panic_recovery(message, place, panic.at(), now, random());
        self.spans.send(span);
        trace
    }

    fn end(&mut self, config: &Config, cell: &Cell, why: &'static str) {
        let subject = subject(config, cell);
        if let Some(span) = self.episodes.end(cell.id, &subject, why, SystemTime::now()) {
            self.spans.send(span);
        }
    }
}

impl Daemon {
    /// The metrics as points, of now.
    pub(super) fn points(&self) -> Points {
        points(&self.snapshot(), SystemTime::now())
    }

    /// Tells of a panic that ended the daemon before this one.
    pub(super) fn tell_of(&mut self, panics: Panics) {
        if let Some(panic) = &panics.untold {
            let trace = self.telemetry.as_ref().map(|telemetry| telemetry.recovered(panic));
            self.journal.panicked(panic, trace.as_deref());
        }
        self.panics = panics;
    }

    /// Ends all episodes, because the daemon stops.
    pub(super) fn end_episodes(&mut self) {
        if self.telemetry.is_some() {
            // What happened since the last tick belongs to them.
            self.look();
        }
        let Self { telemetry, cells, config, .. } = self;
        let Some(telemetry) = telemetry else { return };
        let open: Vec<CellId> = telemetry.episodes.cells();
        for cell in open.into_iter().filter_map(|id| cells.by_id(id)) {
            telemetry.end(config, cell, "stopping");
        }
    }
}

fn subject<'a>(config: &'a Config, cell: &'a Cell) -> Subject<'a> {
    Subject {
        caller: &config.callers[cell.caller].name,
        service: &config.services[cell.service].name,
        policy: &cell.policy.name,
        endpoint: cell.endpoint,
        network: cell.network.as_deref(),
        observes: cell.policy.mode == Mode::Observe,
        can_fall_back: matches!(cell.policy.shed, ShedAction::Redirect(_)),
        attributes: &config.services[cell.service].attributes,
        seen: seen(cell),
    }
}

const fn seen(cell: &Cell) -> Seen {
    let SlotCounters { redirected, fallbacks, fallback_ns, .. } = cell.seen;
    Seen { shed: cell.seen.shed(), redirected, fallbacks, fallback_ns }
}

/// Where connects to a cell's endpoint go instead.
fn target(cells: &Cells, cell: &Cell) -> Option<SocketAddr> {
    let word = VerdictWord::unpack(cell.published.as_ref()?.word)?;
    match word.action {
        Action::Redirect(slot) => Some(cells.by_id(CellId(u32::from(slot)))?.endpoint),
        Action::Allow | Action::Deny(_) | Action::Delay(_) => None,
    }
}
