//! Two counts over the trailing span, in slices.

use std::collections::VecDeque;
use std::time::Duration;

use shedder_common::time::{Monotonic, nanos};

/// Two counts of the last `span`, to within a twentieth of it.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    slice_ns: u64,
    slices: VecDeque<(u64, [u64; 2])>,
}

impl Tally {
    pub(super) fn new(span: Duration) -> Self {
        Self { slice_ns: (nanos(span) / SLICES).max(1), slices: VecDeque::new() }
    }

    pub(super) fn add(&mut self, counts: [u64; 2], now: Monotonic) {
        if counts == [0, 0] {
            return;
        }
        let index = now.as_nanos() / self.slice_ns;
        while self.slices.front().is_some_and(|(old, _)| old + SLICES <= index) {
            self.slices.pop_front();
        }
        match self.slices.back_mut() {
            Some((newest, sums)) if *newest >= index => {
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum = sum.saturating_add(count);
                }
            }
            Some(_) | None => self.slices.push_back((index, counts)),
        }
    }

    pub(super) fn sums(&self, now: Monotonic) -> [u64; 2] {
        let index = now.as_nanos() / self.slice_ns;
        let recent = self.slices.iter().filter(|(slice, _)| slice + SLICES > index);
        recent.fold([0, 0], |[a, b], (_, [c, d])| [a.saturating_add(*c), b.saturating_add(*d)])
    }
}

const SLICES: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_leave_with_time() {
        let at = |seconds: u64| Monotonic::from_nanos(seconds * 1_000_000_000);
        let mut tally = Tally::new(Duration::from_mins(1));
        tally.add([10, 1], at(0));
        tally.add([15, 1], at(30));
        tally.add([5, 1], at(31));
        assert_eq!(tally.slices.len(), 2);
        assert_eq!(tally.sums(at(50)), [30, 3]);
        assert_eq!(tally.sums(at(70)), [20, 2]);
        assert_eq!(tally.sums(at(200)), [0, 0]);
        tally.add([1, 0], at(200));
        assert_eq!(tally.slices.len(), 1);
    }
}
