//! Which cells a look goes to: those where something happened or is going on, and a few of the others in turn.
//!
//! A look at every cell would cost as much for endpoints that nobody calls as for those that everybody does.
//!
//! Invariant: nothing is overlooked for good. What no bit told of is seen when its turn comes, a few seconds later.

use shedder_common::dirty;

use super::cells::{Cell, Cells};
use crate::engine::CellId;
use crate::kernel::Kernel;

#[derive(Debug, Default)]
pub(super) struct Attention {
    /// A bit for each slot: this look goes there.
    due: Vec<u64>,
    /// Looks that a slot still gets though nothing happens there.
    patience: Vec<u8>,
    others: Rota,
}

/// Goes through many of something, some at a time, over and over.
#[derive(Debug, Default)]
pub(super) struct Rota {
    next: usize,
}

impl Attention {
    /// Begins a look.
    pub(super) fn begin(&mut self, kernel: &mut Kernel) {
        let words = kernel.dirty_words();
        self.due.resize(words as usize, 0);
        self.patience.resize(self.due.len() * dirty::BITS as usize, 0);
        for word in 0..words {
            let dirty = kernel.take_dirty(word);
            self.due[word as usize] |= dirty;
            for id in cells(word, dirty) {
                self.wake(id);
            }
        }
        for word in self.others.take(self.due.len(), WORDS_IN_TURN) {
            self.due[word] = u64::MAX;
        }
    }

    /// Where this look goes, a word of the slots' bits after the other.
    pub(super) fn words(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.due.len()).expect("slots have 32 bits")
    }

    /// The cells of a word this look goes to; some slots among them may have no cell.
    pub(super) fn cells(&self, word: u32) -> impl Iterator<Item = CellId> + use<> {
        cells(word, self.due.get(word as usize).copied().unwrap_or(0))
    }

    /// Something happened there.
    pub(super) fn wake(&mut self, id: CellId) {
        if let Some(patience) = self.patience.get_mut(id.0 as usize) {
            *patience = PATIENCE;
        }
    }

    /// Ends a look: the next one goes only where something still goes on. Whether anything does that a tick changes.
    pub(super) fn end(&mut self, cells: &Cells) -> bool {
        let mut is_any_pressing = false;
        for word in self.words() {
            for id in self.cells(word) {
                let cell = cells.by_id(id);
                is_any_pressing |= cell.is_some_and(is_pressing);
                self.rest(id, cell);
            }
        }
        is_any_pressing
    }

    /// A cell was looked at, or there is none.
    fn rest(&mut self, id: CellId, cell: Option<&Cell>) {
        let index = id.0 as usize;
        let Some(patience) = self.patience.get_mut(index) else { return };
        match cell {
            Some(cell) if is_busy(cell) => *patience = PATIENCE,
            Some(_) => *patience = patience.saturating_sub(1),
            None => *patience = 0,
        }
        if *patience == 0 {
            self.due[dirty::word(id.0) as usize] &= !dirty::bit(id.0);
        }
    }
}

impl Rota {
    /// The next `some` of `all`, or what is left before it begins anew.
    pub(super) fn take(&mut self, all: usize, some: usize) -> std::ops::Range<usize> {
        let from = if self.next < all { self.next } else { 0 };
        self.next = from.saturating_add(some).min(all);
        from..self.next
    }
}

/// Whether something goes on there that tells of itself by time alone.
fn is_busy(cell: &Cell) -> bool {
    cell.ring.is_busy() || cell.ports.want_attention()
}

/// Whether it does so soon.
fn is_pressing(cell: &Cell) -> bool {
    cell.ring.has_waited() || cell.ports.is_pressing()
}

fn cells(word: u32, mut bits: u64) -> impl Iterator<Item = CellId> + use<> {
    std::iter::from_fn(move || {
        let slot = word * dirty::BITS + bits.checked_ilog2().map(|_| bits.trailing_zeros())?;
        bits &= bits - 1;
        Some(CellId(slot))
    })
}

/// One look more than the bit asks for: what is counted behind a bit that was cleared a moment before is seen by it.
const PATIENCE: u8 = 2;
/// 1,024 slots: with as many or fewer, every look goes everywhere.
const WORDS_IN_TURN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_cells() {
        assert_eq!(cells(0, 0).count(), 0);
        let found: Vec<u32> = cells(1, 1 | 1 << 5 | 1 << 63).map(|id| id.0).collect();
        assert_eq!(found, [64, 69, 127]);
        assert_eq!(cells(1023, u64::MAX).last(), Some(CellId(65_535)));
    }

    #[test]
    fn everything_has_its_turn() {
        let mut rota = Rota::default();
        let taken: Vec<_> = (0..5).map(|_| rota.take(40, 16)).collect();
        assert_eq!(taken, [0..16, 16..32, 32..40, 0..16, 16..32]);
        // There may be fewer than last time, or none.
        assert_eq!(rota.take(8, 16), 0..8);
        assert_eq!(rota.take(0, 16), 0..0);
    }

    #[test]
    fn a_slot_without_a_cell_is_let_be() {
        let mut attention =
            Attention { due: vec![u64::MAX], patience: vec![0; 64], ..Attention::default() };
        attention.wake(CellId(3));
        attention.rest(CellId(3), None);
        assert!(!attention.cells(0).any(|id| id == CellId(3)));
        assert_eq!(attention.cells(0).count(), 63);
    }
}
