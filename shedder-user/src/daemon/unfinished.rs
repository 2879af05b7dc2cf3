//! From the kernel's ring of gauges to how many wait, and at least how long.
//!
//! A place in the ring comes round again after [`MOMENTS`] moments. What is in it then is either old,
//! or new, or both; it counts as new only as far as it exceeds what was there before. So an age is
//! never overstated, and nothing counts that began before the present epoch.

use shedder_common::histogram::bucket;
use shedder_common::in_flight::{InFlightRow, MOMENT_NS, MOMENTS};
use shedder_common::time::Monotonic;

use crate::engine::{Buckets, Unfinished};

/// What was seen of a slot's ring.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    /// The gauges at the last look.
    seen: InFlightRow,
    /// What of each gauge does not count: it is of an earlier epoch, or older than the ring.
    old: [u32; 2 * MOMENTS],
    old_stalled: (u32, u32),
    /// The moment of the last look.
    moment: u64,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self { seen: InFlightRow::CLEAR, old: [0; 2 * MOMENTS], old_stalled: (0, 0), moment: 0 }
    }

    /// Whether anything was open at the last look.
    pub(super) fn is_busy(&self) -> bool {
        self.seen != InFlightRow::CLEAR
    }

    /// Whether anything open at the last look had been so for a while: more than a moment, which is less than a tick
    /// and the half of it.
    pub(super) fn has_waited(&self) -> bool {
        let [now, before] = [self.moment, self.moment.saturating_sub(1)].map(places);
        let is_new = |place| now.contains(&place) || before.contains(&place);
        let mut gauges = self.seen.begun.iter().zip(&self.old).enumerate();
        self.seen.stalled_connecting != 0
            || self.seen.stalled_waiting != 0
            || gauges.any(|(place, (gauge, old))| *old != 0 || (*gauge != 0 && !is_new(place)))
    }

    /// Handshakes open at the last look.
    pub(super) fn connecting(&self) -> u64 {
        self.seen.connecting()
    }

    /// Begins an epoch: nothing open now will count.
    pub(super) fn forget(&mut self, row: &InFlightRow, now: Monotonic) {
        *self = Self {
            seen: *row,
            old: row.begun,
            old_stalled: (row.stalled_connecting, row.stalled_waiting),
            moment: moment(now),
        };
    }

    /// What is open, by age.
    pub(super) fn update(&mut self, row: &InFlightRow, now: Monotonic) -> Unfinished {
        let current = moment(now);
        // Places that have come round since: what was in them at the last look is old.
        let passed = current.saturating_sub(self.moment).min(MOMENTS as u64);
        for moment in (current - passed..current).map(|before| before + 1) {
            for place in places(moment) {
                self.old[place] = self.seen.begun[place];
            }
        }
        self.moment = self.moment.max(current);
        for (old, gauge) in self.old.iter_mut().zip(&row.begun) {
            *old = (*old).min(*gauge);
        }
        self.old_stalled.0 = self.old_stalled.0.min(row.stalled_connecting);
        self.old_stalled.1 = self.old_stalled.1.min(row.stalled_waiting);
        self.seen = *row;
        Unfinished {
            connecting: self.ages(0, current, now),
            waiting: self.ages(1, current, now),
            stalled_connecting: u64::from(row.stalled_connecting - self.old_stalled.0),
            stalled_waiting: u64::from(row.stalled_waiting - self.old_stalled.1),
            in_flight: 0,
        }
    }

    /// Youngest first, which is the order of the buckets.
    fn ages(&self, kind: usize, current: u64, now: Monotonic) -> Buckets {
        let mut ages = Buckets::new();
        for back in 0..(MOMENTS as u64).min(current + 1) {
            let place = places(current - back)[kind];
            let count = self.seen.begun[place] - self.old[place];
            if count == 0 {
                continue;
            }
            // The youngest that began in this moment.
            let age_ns = now.as_nanos().saturating_sub((current - back + 1) * MOMENT_NS);
            let age = u8::try_from(bucket(age_ns / 1000)).unwrap_or(u8::MAX);
            match ages.last_mut() {
                Some((last, sum)) if *last == age => *sum = sum.saturating_add(count),
                _ => ages.push((age, count)),
            }
        }
        ages
    }
}

/// Where handshakes and requests begun in a moment are counted.
fn places(moment: u64) -> [usize; 2] {
    let place = usize::try_from(moment % MOMENTS as u64).expect("a few moments");
    [place, MOMENTS + place]
}

const fn moment(now: Monotonic) -> u64 {
    now.as_nanos() / MOMENT_NS
}

#[cfg(test)]
mod tests {
    use shedder_common::histogram::midpoint;
    use shedder_common::in_flight::{Kind, Mark};

    use super::*;

    fn at(moments: u64) -> Monotonic {
        Monotonic::from_nanos(moments * MOMENT_NS + MOMENT_NS / 2)
    }

    /// A row in which something waits since each of `moments`.
    fn waiting(moments: &[u64]) -> InFlightRow {
        let mut row = InFlightRow::CLEAR;
        for moment in moments {
            row.begun[Mark::new(Kind::Waiting, at(*moment).as_nanos()).index()] += 1;
        }
        row
    }

    fn count(ages: &Buckets) -> u32 {
        ages.iter().map(|(_, count)| count).sum()
    }

    #[test]
    fn an_age_is_never_overstated() {
        let mut ring = Ring::new();
        drop(ring.update(&waiting(&[]), at(100)));
        let found = ring.update(&waiting(&[100, 104]), at(104)).waiting;
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (0, 1), "begun in this moment, it may have begun just now");
        let (oldest, least) = (midpoint(u32::from(found[1].0)), 7 * MOMENT_NS / 2 / 1000);
        assert!((least * 9 / 10..=4 * MOMENT_NS / 1000).contains(&oldest), "{oldest}");
    }

    #[test]
    fn what_is_older_than_the_ring_is_no_longer_counted() {
        let mut ring = Ring::new();
        let row = waiting(&[100]);
        assert_eq!(count(&ring.update(&row, at(100)).waiting), 1);
        assert_eq!(count(&ring.update(&row, at(131)).waiting), 1);
        assert_eq!(count(&ring.update(&row, at(132)).waiting), 0);
        // Another one in the same place is new.
        assert_eq!(count(&ring.update(&waiting(&[100, 132]), at(132)).waiting), 1);
        // The old one ends, which might as well have been the new one.
        assert_eq!(count(&ring.update(&waiting(&[132]), at(133)).waiting), 0);
        assert!(ring.is_busy());
    }

    #[test]
    fn a_call_that_is_not_answered_soon_has_waited() {
        let mut ring = Ring::new();
        let row = waiting(&[100]);
        for (look, has_waited) in
            [(100, false), (101, false), (102, true), (131, true), (132, true)]
        {
            drop(ring.update(&row, at(look)));
            assert_eq!(ring.has_waited(), has_waited, "{look}");
        }
        drop(ring.update(&waiting(&[]), at(133)));
        assert!(!ring.has_waited());
        drop(ring.update(&InFlightRow { stalled_waiting: 1, ..InFlightRow::CLEAR }, at(134)));
        assert!(ring.has_waited());
    }

    #[test]
    fn what_came_while_nobody_looked_is_not_old() {
        let mut ring = Ring::new();
        drop(ring.update(&waiting(&[]), at(100)));
        assert_eq!(count(&ring.update(&waiting(&[150, 150, 150]), at(155)).waiting), 3);
    }

    #[test]
    fn an_epoch_forgets_what_is_open() {
        let mut ring = Ring::new();
        let row = waiting(&[100, 101]);
        drop(ring.update(&row, at(101)));
        ring.forget(&row, at(101));
        assert_eq!(count(&ring.update(&waiting(&[100, 101, 101, 102]), at(102)).waiting), 2);
    }

    #[test]
    fn what_stalled_in_an_earlier_epoch_does_not_count() {
        let mut ring = Ring::new();
        let stalled = |stalled_connecting| InFlightRow { stalled_connecting, ..InFlightRow::CLEAR };
        ring.forget(&stalled(2), at(100));
        assert_eq!(ring.update(&stalled(3), at(101)).stalled_connecting, 1);
        assert_eq!(ring.update(&stalled(1), at(102)).stalled_connecting, 0);
        assert_eq!(ring.update(&stalled(2), at(103)).stalled_connecting, 1);
    }
}
