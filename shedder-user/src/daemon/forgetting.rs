//! Which breakers are let go: those of endpoints that were found, not named, and are called no more.
//!
//! Invariant: what time alone might still change is kept. What only calls could change has had none for so long
//! that what it knows is worth nothing; endpoints that died are of that kind, and would fill all slots.

use std::time::Duration;

use shedder_common::in_flight::InFlightRow;
use shedder_common::time::Monotonic;

use super::Daemon;
use super::cells::Cell;
use crate::engine::{CellId, State, View};

impl Daemon {
    /// Lets go of what nobody has called for long, of those whose turn it is.
    pub(super) fn forget_unused(&mut self, now: Monotonic) {
        let patience = self.config.node.forget_after;
        let (_, slots) = self.kernel.slot_usage();
        let asked = self.forgetting.take(slots as usize, ASKED_AT_ONCE);
        let asked = asked.filter_map(|slot| u32::try_from(slot).ok()).map(CellId);
        let cells = asked.filter_map(|id| self.cells.by_id(id));
        let is_unused = |cell: &&Cell| self.is_unused(cell, patience, now);
        let unused: Vec<CellId> = cells.filter(is_unused).map(|cell| cell.id).collect();
        for id in unused {
            self.forget(id, "not called for long", now);
        }
    }

    fn is_unused(&self, cell: &Cell, patience: Duration, now: Monotonic) -> bool {
        let unused_for = now.since(cell.used);
        if cell.is_named || unused_for < patience {
            return false;
        }
        let is_held = cell.seen.established != cell.seen.ended
            || self.kernel.in_flight(cell.slot) != InFlightRow::CLEAR;
        (!is_held || unused_for >= patience.saturating_mul(HELD))
            && !self.endings.is_busy(cell.id)
            && self.engine.view(cell.id, now).is_none_or(|view| is_at_rest(&view))
    }

    /// Takes a cell's breaker and slot away.
    pub(super) fn forget(&mut self, id: CellId, why: &str, now: Monotonic) {
        let Self {
            cells,
            kernel,
            engine,
            endings,
            journal,
            metrics,
            networks,
            taps,
            telemetry,
            config,
            ..
        } = self;
        match cells.remove(kernel, engine, id, now) {
            Ok(Some(cell)) => {
                endings.forget(id);
                metrics.forget(&cell);
                taps.forget(&cell, now);
                if let Some(telemetry) = telemetry {
                    telemetry.forget(config, &cell);
                }
                let network = cell.key.network;
                if cells.iter().all(|other| other.key.network != network) {
                    networks.forget(network);
                }
                journal.forgotten(config, &cell, why);
                // There is room again.
                self.no_breaker.clear();
            }
            Ok(None) => {}
            Err(error) => journal.error(&format!("an endpoint cannot be forgotten: {error}")),
        }
    }
}

/// A connection that is open keeps its endpoint so many times as long, and not for ever: where a cgroup ended before
/// its connections did, nobody is left to tell of their end.
const HELD: u32 = 12;
/// Slots: so many take well below a millisecond, and where there are no more all are asked.
const ASKED_AT_ONCE: usize = 4096;

fn is_at_rest(view: &View) -> bool {
    let state = if view.state == State::Observe { view.would_be } else { view.state };
    match state {
        State::Closed => view.level == 0,
        // They wait for calls to show how the endpoint is, unless a probe is out.
        State::HalfOpen | State::Throttled => view.next.is_none(),
        State::Observe
        | State::Open
        | State::Recovering
        | State::ForcedOpen
        | State::ForcedClosed => false,
    }
}
