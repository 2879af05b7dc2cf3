//! Running sums over the newest slices of a window, so that a look need not add them up.
//!
//! Invariant: they are what adding up the slices from `since` on gives, or they say that they are
//! not.

use std::collections::VecDeque;

use super::super::evidence::{Buckets, Counts, Sample};
use super::super::strategy::Signal;
use super::Slice;

#[derive(Clone, Debug)]
pub(super) struct Totals {
    /// The first slice that is part of them.
    since: u64,
    counts: Counts,
    connect: Sums,
    response: Sums,
    rtt: Sums,
    /// Whether a count may have been cut, here or in a slice, so that nothing can be taken away.
    is_saturated: bool,
}

/// Bucket number and count, in rising order. Wide enough for any number of slices.
pub(super) type Sums = Vec<(u8, u64)>;

impl Totals {
    /// The sums of the slices from number `since` on.
    pub(super) fn of(slices: &VecDeque<Slice>, since: u64) -> Self {
        let mut totals = Self {
            since,
            counts: Counts::default(),
            connect: Vec::new(),
            response: Vec::new(),
            rtt: Vec::new(),
            is_saturated: false,
        };
        for slice in slices.iter().filter(|slice| slice.index >= since) {
            totals.count(&slice.counts, [&slice.connect, &slice.response, &slice.rtt]);
        }
        totals
    }

    /// Adds what was added to the newest slice.
    pub(super) fn add(&mut self, sample: &Sample) {
        self.count(&sample.counts, [&sample.connect, &sample.response, &sample.rtt]);
    }

    /// Takes away the slices before number `since`, of which the first are not part of them.
    pub(super) fn advance(&mut self, slices: &VecDeque<Slice>, since: u64) {
        if self.is_saturated || since < self.since {
            *self = Self::of(slices, since);
            return;
        }
        let left = slices.iter().take_while(|slice| slice.index < since);
        for slice in left.filter(|slice| slice.index >= self.since) {
            self.counts -= &slice.counts;
            take(&mut self.connect, &slice.connect);
            take(&mut self.response, &slice.response);
            take(&mut self.rtt, &slice.rtt);
        }
        self.since = since;
    }

    /// Whether they are the sums of the slices from number `since` on.
    pub(super) const fn are_since(&self, since: u64) -> bool {
        self.since == since && !self.is_saturated
    }

    pub(super) const fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) const fn latencies(&self, signal: Signal) -> &Sums {
        match signal {
            Signal::Connect => &self.connect,
            Signal::Response => &self.response,
            Signal::Rtt => &self.rtt,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let sums = |sums: &Sums| sums.capacity() * size_of::<(u8, u64)>();
        size_of::<Self>() + sums(&self.connect) + sums(&self.response) + sums(&self.rtt)
    }

    fn count(&mut self, counts: &Counts, [connect, response, rtt]: [&Buckets; 3]) {
        self.counts += counts;
        self.is_saturated |= self.counts.is_saturated();
        self.is_saturated |= add(&mut self.connect, connect);
        self.is_saturated |= add(&mut self.response, response);
        self.is_saturated |= add(&mut self.rtt, rtt);
    }
}

/// Adds `more`; whether that is more than a slice can be relied on to hold.
fn add(sums: &mut Sums, more: &Buckets) -> bool {
    let mut is_too_much = false;
    for (bucket, count) in more {
        let count = u64::from(*count);
        let at = match sums.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
            Ok(at) => at,
            Err(at) => {
                sums.insert(at, (*bucket, 0));
                at
            }
        };
        sums[at].1 = sums[at].1.saturating_add(count);
        is_too_much |= sums[at].1 >= u64::from(u32::MAX);
    }
    is_too_much
}

fn take(sums: &mut Sums, less: &Buckets) {
    for (bucket, count) in less {
        let Ok(at) = sums.binary_search_by_key(bucket, |(bucket, _)| *bucket) else { continue };
        sums[at].1 = sums[at].1.saturating_sub(u64::from(*count));
        if sums[at].1 == 0 {
            sums.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use shedder_common::time::Monotonic;

    use super::super::{Span, Window};
    use super::*;

    #[test]
    fn one_bucket_too_full_is_enough() {
        let mut sums = Sums::new();
        assert!(!add(&mut sums, &vec![(1, u32::MAX - 1), (2, 1)]));
        assert!(add(&mut sums, &vec![(1, 1), (2, 1)]));
    }

    fn spans() -> impl Strategy<Value = Span> {
        prop_oneof![
            (100_u64..30_000).prop_map(|span| Span::Time(Duration::from_millis(span))),
            (1_u32..500).prop_map(Span::Count),
        ]
    }

    fn samples() -> impl Strategy<Value = Sample> {
        let count = prop_oneof![20 => 0_u64..5, 1 => Just(u64::MAX / 2)];
        let bucket = prop_oneof![20 => 1_u32..5, 1 => Just(u32::MAX / 2)];
        (count.clone(), count, vec((0_u8..4, bucket), 0..2)).prop_map(
            |(successes, refused, response)| Sample {
                counts: Counts { successes, refused, ..Counts::default() },
                response,
                ..Sample::default()
            },
        )
    }

    proptest! {
        /// Whatever comes, from a clock that now and then goes back too.
        #[test]
        fn they_are_what_the_slices_add_up_to(
            span in spans(), events in vec((-500_i64..3_000, samples()), 1..60),
        ) {
            let mut window = Window::new(span);
            let mut now_ms = 10_000;
            for (gap, sample) in events {
                now_ms = (now_ms + gap).max(0);
                let now = Monotonic::from_nanos(now_ms.cast_unsigned() * 1_000_000);
                window.add(&sample, now);
                let seen = (window.counts(now), window.latencies(Signal::Response, now));
                let totals = window.totals.take();
                let added = (window.counts(now), window.latencies(Signal::Response, now));
                window.totals = totals;
                prop_assert_eq!(seen.0, added.0);
                prop_assert_eq!(format!("{:?}", seen.1), format!("{:?}", added.1));
            }
        }
    }
}
