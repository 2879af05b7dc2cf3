//! Every breaker by its number, with the place where it belongs.

use super::CellId;
use super::breaker::Breaker;
use super::safety::{Place, Standing};

/// An array, because the shell numbers its cells from zero.
#[derive(Debug, Default)]
pub(super) struct Cells(Vec<Option<Cell>>);

#[derive(Debug)]
struct Cell {
    place: Place,
    /// As last reckoned for the group: kept here, because it is asked for at each look.
    standing: Standing,
    breaker: Breaker,
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
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(Cell { place, standing, breaker });
    }

    pub(super) fn remove(&mut self, id: CellId) -> Option<(Place, Breaker)> {
        self.0.get_mut(id.0 as usize)?.take().map(|cell| (cell.place, cell.breaker))
    }

    pub(super) fn breaker(&self, id: CellId) -> Option<&Breaker> {
        self.cell(id).map(|cell| &cell.breaker)
    }

    pub(super) fn breaker_mut(&mut self, id: CellId) -> Option<&mut Breaker> {
        self.0.get_mut(id.0 as usize)?.as_mut().map(|cell| &mut cell.breaker)
    }

    pub(super) fn standing(&self, id: CellId) -> Standing {
        self.cell(id).map_or_else(Standing::default, |cell| cell.standing)
    }

    pub(super) fn set_standing(&mut self, id: CellId, standing: Standing) {
        if let Some(Some(cell)) = self.0.get_mut(id.0 as usize) {
            cell.standing = standing;
        }
    }

    pub(super) fn place(&self, id: CellId) -> Option<Place> {
        self.cell(id).map(|cell| cell.place)
    }

    fn cell(&self, id: CellId) -> Option<&Cell> {
        self.0.get(id.0 as usize)?.as_ref()
    }
}
