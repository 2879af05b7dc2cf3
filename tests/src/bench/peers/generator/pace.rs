//! When calls are due.
//!
//! Invariant: whether a call is late is never known here, so lateness delays no other call.

use std::time::Duration;

use shedder_common::time::Monotonic;

/// The calls that become due, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    start: Monotonic,
    end: Monotonic,
    kind: Kind,
    /// How many have been given out.
    made: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One each so many nanoseconds.
    Open(f64),
    /// So many under way.
    Closed(usize),
}

impl Pace {
    /// So many a second, evenly.
    pub(super) fn open(start: Monotonic, length: Duration, rate: f64) -> Self {
        Self { start, end: start.plus(length), kind: Kind::Open(1e9 / rate), made: 0 }
    }

    /// So many under way at any moment.
    pub(super) fn closed(start: Monotonic, length: Duration, at_once: usize) -> Self {
        Self { start, end: start.plus(length), kind: Kind::Closed(at_once), made: 0 }
    }

    /// When the next call is due, with so many under way: none, where it has to wait for one of them, or
    /// when there are no more.
    pub(super) fn next(&self, now: Monotonic, under_way: usize) -> Option<Monotonic> {
        let due = match self.kind {
            Kind::Open(interval) => self.start.plus(times(interval, self.made)),
            Kind::Closed(at_once) if under_way < at_once => now.max(self.start),
            Kind::Closed(_) => return None,
        };
        (due < self.end).then_some(due)
    }

    /// The next call is made.
    pub(super) fn advance(&mut self) {
        self.made += 1;
    }

    /// Whether all calls were made.
    pub(super) fn is_over(&self, now: Monotonic) -> bool {
        match self.kind {
            Kind::Open(_) => self.next(now, 0).is_none(),
            Kind::Closed(_) => now >= self.end,
        }
    }

    /// The moment from which times are told.
    pub(super) const fn start(&self) -> Monotonic {
        self.start
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "exact to the nanosecond for days"
)]
fn times(interval_ns: f64, count: u64) -> Duration {
    Duration::from_nanos((interval_ns * count as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn calls_are_due_evenly_however_late_it_is() {
        let mut pace = Pace::open(at(100), Duration::from_secs(1), 10.0);
        let mut due = Vec::new();
        while let Some(next) = pace.next(at(5000), 99) {
            due.push(next);
            pace.advance();
        }
        assert_eq!(due, (1..=10).map(|number| at(100 * number)).collect::<Vec<_>>());
        assert!(pace.is_over(at(5000)));
    }

    #[test]
    fn as_many_as_asked_are_under_way_until_the_end() {
        let pace = Pace::closed(at(0), Duration::from_secs(1), 2);
        assert_eq!(pace.next(at(500), 1), Some(at(500)));
        assert_eq!(pace.next(at(500), 2), None);
        assert_eq!(pace.next(at(1000), 0), None);
        assert!(pace.is_over(at(1000)) && !pace.is_over(at(999)));
    }
}
