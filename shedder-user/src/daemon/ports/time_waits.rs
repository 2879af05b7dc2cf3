//! The connections closed within the last minute, by the second.
//!
//! Invariant: none is forgotten before the kernel has given its port back.

use shedder_common::time::Monotonic;

/// Counts of the last [`SECONDS`] seconds.
#[derive(Clone, Debug)]
pub(super) struct TimeWaits {
    counts: [u32; SECONDS],
    /// The second last looked at.
    second: u64,
    sum: u64,
}

impl TimeWaits {
    pub(super) const fn new() -> Self {
        Self { counts: [0; SECONDS], second: 0, sum: 0 }
    }

    /// Adds some that were closed since the last look.
    pub(super) fn add(&mut self, count: u64, now: Monotonic) {
        self.pass(now);
        let place = &mut self.counts[place(self.second)];
        let before = *place;
        *place = before.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.sum += u64::from(*place - before);
    }

    /// Forgets those that are too old.
    pub(super) fn pass(&mut self, now: Monotonic) {
        let second = now.as_nanos() / 1_000_000_000;
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for new in (0..passed).map(|back| second - back) {
            self.sum -= u64::from(std::mem::take(&mut self.counts[place(new)]));
        }
        self.second = self.second.max(second);
    }

    /// Closed within a minute and a little.
    pub(super) const fn all(&self) -> u64 {
        self.sum
    }

    /// Closed within one second or two.
    pub(super) fn latest(&self) -> u64 {
        let count = |second| u64::from(self.counts[place(second)]);
        count(self.second) + count(self.second.saturating_sub(1))
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).expect("a few seconds")
}

/// The kernel keeps a port for 60 s (`TCP_TIMEWAIT_LEN`). So long a timer may fire 5 s late, and the
/// second that has just begun is no whole one.
const SECONDS: usize = 66;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000 + 500_000_000)
    }

    #[test]
    fn each_counts_for_a_minute_and_no_longer_than_its_place() {
        let mut closed = TimeWaits::new();
        closed.add(3, at(1000));
        closed.add(4, at(1001));
        closed.pass(at(1060));
        assert_eq!(closed.all(), 7);
        closed.pass(at(1065));
        assert_eq!(closed.all(), 7);
        closed.pass(at(1066));
        assert_eq!(closed.all(), 4);
        closed.add(1, at(1067));
        assert_eq!(closed.all(), 1);
    }

    #[test]
    fn a_long_silence_forgets_all() {
        let mut closed = TimeWaits::new();
        for second in 0..200 {
            closed.add(1, at(second));
        }
        assert_eq!(closed.all(), SECONDS as u64);
        closed.pass(at(100_000));
        assert_eq!((closed.all(), closed.latest()), (0, 0));
    }

    #[test]
    fn the_latest_are_of_a_second_or_two() {
        let mut closed = TimeWaits::new();
        closed.add(5, at(10));
        closed.add(2, at(11));
        assert_eq!(closed.latest(), 7);
        closed.pass(at(12));
        assert_eq!((closed.latest(), closed.all()), (2, 7));
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing() {
        let mut closed = TimeWaits::new();
        closed.add(5, at(10));
        closed.add(1, at(9));
        assert_eq!(closed.all(), 6);
    }
}
