//! Every breaker by its number, with the place where it belongs.

use super::CellId;
use super::breaker::Breaker;
use super::safety::{Place, Standing};

/// An array, because the shell numbers its cells from zero.
///
/// Invariant: whatever may change what the kernel is to do for a breaker touches it.
#[derive(Debug, Default)]
pub(super) struct Cells {
    by_id: Vec<Option<Cell>>,
    /// Those touched since they were last taken, each once.
    touched: Vec<CellId>,
}

#[derive(Debug)]
struct Cell {
    place: Place,
    /// As last reckoned for the group: kept here, because it is asked for at each look.
    standing: Standing,
    breaker: Breaker,
    /// Whether it is among the touched.
    is_touched: bool,
}

impl Cells {
    pub(super) fn insert(
        &mut self,
        id: CellId,
        place: Place,
        standing: Standing,
        breaker: Breaker,
    ) {
        let index = id.0 as usize;
        if self.by_id.len() <= index {
            self.by_id.resize_with(index + 1, || None);
        }
        self.by_id[index] = Some(Cell { place, standing, breaker, is_touched: true });
        self.touched.push(id);
    }

    pub(super) fn remove(&mut self, id: CellId) -> Option<(Place, Breaker)> {
        self.by_id.get_mut(id.0 as usize)?.take().map(|cell| (cell.place, cell.breaker))
    }

    pub(super) fn breaker(&self, id: CellId) -> Option<&Breaker> {
        self.cell(id).map(|cell| &cell.breaker)
    }

    pub(super) fn breaker_mut(&mut self, id: CellId) -> Option<&mut Breaker> {
        self.touch(id).map(|cell| &mut cell.breaker)
    }

    pub(super) fn standing(&self, id: CellId) -> Standing {
        self.cell(id).map_or_else(Standing::default, |cell| cell.standing)
    }

    pub(super) fn set_standing(&mut self, id: CellId, standing: Standing) {
        if let Some(cell) = self.touch(id) {
            cell.standing = standing;
        }
    }

    pub(super) fn place(&self, id: CellId) -> Option<Place> {
        self.cell(id).map(|cell| cell.place)
    }

    /// The breakers touched since this was last asked. What time alone changes counts as touched anew.
    pub(super) fn take_touched(&mut self) -> Vec<CellId> {
        let touched = std::mem::take(&mut self.touched);
        for id in &touched {
            if let Some(Some(cell)) = self.by_id.get_mut(id.0 as usize) {
                cell.is_touched = cell.breaker.changes_with_time();
                if cell.is_touched {
                    self.touched.push(*id);
                }
            }
        }
        touched
    }

    fn touch(&mut self, id: CellId) -> Option<&mut Cell> {
        let cell = self.by_id.get_mut(id.0 as usize)?.as_mut()?;
        if !cell.is_touched {
            cell.is_touched = true;
            self.touched.push(id);
        }
        Some(cell)
    }

    fn cell(&self, id: CellId) -> Option<&Cell> {
        self.by_id.get(id.0 as usize)?.as_ref()
    }
}
