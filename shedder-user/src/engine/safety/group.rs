//! The endpoints of one service, for one caller.

use std::collections::BTreeSet;

use shedder_common::time::Monotonic;

use super::{LEDGER, Standing};
use crate::engine::CellId;
use crate::engine::breaker::Breaker;
use crate::engine::cells::Cells;
use crate::engine::peers::Peers;
use crate::engine::tally::Tally;

#[derive(Debug)]
pub(super) struct Group {
    pub(super) cells: Vec<CellId>,
    /// Those that may be in use: none that is is missing. Of many thousand endpoints few are, and what is
    /// reckoned each second or at each transition is reckoned over these.
    used: BTreeSet<CellId>,
    /// Connects of the caller to it, and how many of them were refused wrongly.
    pub(super) ledger: Tally,
    /// Trips, and zero: those that the first probes refuted.
    pub(super) refuted: Tally,
    /// What its endpoints have in common, as reckoned at the last look.
    pub(super) peers: Option<(Monotonic, Peers)>,
    pub(super) is_panicking: bool,
    pub(super) is_suspended: bool,
    /// Whether one more of them may open, and until when that is known.
    pub(super) lets_open: bool,
    pub(super) reckon_at: Option<Monotonic>,
}

impl Group {
    pub(super) fn new() -> Self {
        Self {
            cells: Vec::new(),
            used: BTreeSet::new(),
            ledger: Tally::new(LEDGER),
            refuted: Tally::new(LEDGER),
            peers: None,
            is_panicking: false,
            is_suspended: false,
            lets_open: false,
            reckon_at: None,
        }
    }

    pub(super) fn insert(&mut self, cell: CellId) {
        self.cells.push(cell);
        self.reckon_at = None;
    }

    pub(super) fn remove(&mut self, cell: CellId) {
        self.cells.retain(|other| *other != cell);
        self.used.remove(&cell);
        self.reckon_at = None;
    }

    /// A breaker has seen traffic, or is not closed.
    pub(super) fn use_it(&mut self, cell: CellId) {
        self.used.insert(cell);
    }

    /// Forgets which were in use that are so no more.
    pub(super) fn forget_unused(&mut self, all: &Cells, now: Monotonic) {
        self.used.retain(|cell| {
            all.breaker(*cell).is_some_and(|breaker| breaker.is_in_use(super::MINUTE, now))
        });
    }

    /// The breakers that may be in use, among them all that are not closed.
    pub(super) fn used<'a>(
        &'a self,
        all: &'a Cells,
    ) -> impl Iterator<Item = (CellId, &'a Breaker)> + Clone {
        self.used.iter().filter_map(|cell| Some((*cell, all.breaker(*cell)?)))
    }

    pub(super) const fn standing(&self) -> Standing {
        Standing { is_panicking: self.is_panicking, lets_open: self.lets_open }
    }
}
