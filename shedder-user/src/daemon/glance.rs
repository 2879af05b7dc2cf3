//! What somebody who looks on is shown each second.
//!
//! Invariant: costs the loop no more than so many breakers do, however many there are.

use shedder_common::histogram::HistogramRow;

use super::cells::Cell;
use super::{Daemon, report};
use crate::api::model::{Glance, Glimpsed};
use crate::clock;
use crate::engine::State;

impl Daemon {
    /// The node now: breakers that are not closed before others, if there are too many.
    pub(super) fn glance(&self) -> Glance {
        let now = clock::now();
        let mut cells: Vec<&Cell> = self.cells.iter().collect();
        let others = cells.len().saturating_sub(SHOWN);
        if others > 0 {
            let is_settled =
                |cell: &&Cell| self.engine.state(cell.id).is_none_or(State::is_settled);
            cells.sort_by_key(is_settled);
            cells.truncate(SHOWN);
        }
        let mut breakers: Vec<Glimpsed> = cells
            .into_iter()
            .filter_map(|cell| {
                let breaker = report::breaker(self, cell, now)?;
                Some(Glimpsed { breaker, latencies: latencies(&cell.seen_response) })
            })
            .collect();
        breakers.sort_by_cached_key(|it| report::order(&it.breaker));
        Glance { at: report::time(now), breakers, others, node: report::node(self) }
    }
}

/// The counts of each half octave, where there are any.
fn latencies(row: &HistogramRow) -> Vec<(u8, u64)> {
    let sums = row.buckets.chunks(BUCKETS_OF_A_STEP);
    let sums = sums.map(|step| step.iter().map(|count| u64::from(*count)).sum());
    (0..=u8::MAX).zip(sums).filter(|(_, count)| *count != 0).collect()
}

/// Breakers shown at most. With as many the page still follows without effort.
const SHOWN: usize = 500;
/// Half an octave.
const BUCKETS_OF_A_STEP: usize = 4;

#[cfg(test)]
mod tests {
    use shedder_common::histogram::{BUCKETS, bucket};

    use super::*;

    #[test]
    fn two_steps_make_an_octave() {
        let mut row = HistogramRow { buckets: [0; BUCKETS] };
        assert_eq!(latencies(&row), []);
        for microseconds in [0, 1_024, 1_535, 1_536, 2_047, 2_048, u64::MAX] {
            row.buckets[bucket(microseconds) as usize] += 1;
        }
        assert_eq!(latencies(&row), [(0, 1), (16, 2), (17, 2), (18, 1), (47, 1)]);
    }
}
