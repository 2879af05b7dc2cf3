//! Every breaker by its number, with the place where it belongs.

use super::CellId;
use super::breaker::Breaker;
use super::safety::Place;

/// An array, because the shell numbers its cells from zero.
#[derive(Debug, Default)]
pub(super) struct Cells(Vec<Option<Cell>>);

#[derive(Debug)]
struct Cell {
    place: Place,
    breaker: Breaker,
}

impl Cells {
    pub(super) fn insert(&mut self, id: CellId, place: Place, breaker: Breaker) {
        let index = id.0 as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(Cell { place, breaker });
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

    pub(super) fn place(&self, id: CellId) -> Option<Place> {
        self.cell(id).map(|cell| cell.place)
    }

    fn cell(&self, id: CellId) -> Option<&Cell> {
        self.0.get(id.0 as usize)?.as_ref()
    }
}
