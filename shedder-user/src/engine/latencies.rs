//! Latencies of a window, merged: quantiles and shares.

use shedder_common::histogram::{BUCKETS, midpoint};

use super::evidence::Buckets;

/// A histogram of latencies, some of which may only be lower bounds.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: [u64; BUCKETS],
    pub(crate) samples: u64,
}

impl Latencies {
    pub(super) fn of<'a>(parts: impl Iterator<Item = &'a Buckets>) -> Self {
        let mut merged = Self { counts: [0; BUCKETS], samples: 0 };
        for part in parts {
            merged.add(part);
        }
        merged
    }

    /// As [`Latencies::of`], of sums with as many samples as there may be.
    pub(crate) fn of_sums(sums: &[(u8, u64)]) -> Self {
        let mut merged = Self { counts: [0; BUCKETS], samples: 0 };
        for (bucket, count) in sums {
            if let Some(total) = merged.counts.get_mut(usize::from(*bucket)) {
                *total = *count;
                merged.samples += *count;
            }
        }
        merged
    }

    /// Adds samples. The age of something unfinished is one: it is at least this slow.
    pub(super) fn add(&mut self, more: &Buckets) {
        for (bucket, count) in more {
            if let Some(total) = self.counts.get_mut(usize::from(*bucket)) {
                *total += u64::from(*count);
                self.samples += u64::from(*count);
            }
        }
    }

    /// The smallest latency, in microseconds, that at least `permille` thousandths of the samples
    /// do not exceed; nothing without samples.
    pub(crate) fn quantile_permille(&self, permille: u16) -> Option<u64> {
        let rank = (u128::from(self.samples) * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        self.filled().find_map(|(bucket, count)| {
            seen += u128::from(count);
            (seen >= rank).then(|| midpoint(bucket))
        })
    }

    /// The greatest latency, in microseconds.
    pub(super) fn max(&self) -> Option<u64> {
        self.filled().last().map(|(bucket, _)| midpoint(bucket))
    }

    /// The mean, in microseconds; nothing without samples.
    pub(super) fn mean(&self) -> Option<u64> {
        let sum: u128 = self
            .filled()
            .map(|(bucket, count)| u128::from(midpoint(bucket)) * u128::from(count))
            .sum();
        sum.checked_div(u128::from(self.samples)).and_then(|mean| u64::try_from(mean).ok())
    }

    /// Samples of more than `limit_us` microseconds, to within a bucket.
    pub(super) fn slower_than(&self, limit_us: u64) -> u64 {
        self.filled()
            .filter(|(bucket, _)| midpoint(*bucket) > limit_us)
            .map(|(_, count)| count)
            .sum()
    }

    fn filled(&self) -> impl Iterator<Item = (u32, u64)> {
        (0..).zip(self.counts.iter().copied()).filter(|(_, count)| *count != 0)
    }
}

/// How many of `ages` are more than `limit_us` microseconds old, to within a bucket.
pub(super) fn older_than(ages: &Buckets, limit_us: u64) -> u64 {
    ages.iter()
        .filter(|(bucket, _)| midpoint(u32::from(*bucket)) > limit_us)
        .map(|(_, count)| u64::from(*count))
        .sum()
}

/// Adds `more` to `buckets`, both in rising order of bucket.
pub(super) fn merge(buckets: &mut Buckets, more: &Buckets) {
    for (bucket, count) in more {
        match buckets.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
            Ok(at) => buckets[at].1 = buckets[at].1.saturating_add(*count),
            Err(at) => buckets.insert(at, (*bucket, *count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use shedder_common::histogram::bucket;

    use super::*;

    fn at(microseconds: u64, count: u32) -> Buckets {
        vec![(u8::try_from(bucket(microseconds)).unwrap(), count)]
    }

    #[test]
    fn the_unfinished_raise_the_quantile() {
        let mut latencies = Latencies::of([&at(1_000, 10)].into_iter());
        assert_eq!(latencies.quantile_permille(900), Some(midpoint(bucket(1_000))));
        latencies.add(&at(5_000_000, 10));
        assert_eq!(latencies.quantile_permille(900), Some(midpoint(bucket(5_000_000))));
        assert_eq!(latencies.slower_than(1_000_000), 10);
        assert_eq!(latencies.max(), Some(midpoint(bucket(5_000_000))));
    }

    #[test]
    fn nothing_has_no_quantile_and_no_mean() {
        let nothing = Latencies::of(std::iter::empty());
        assert_eq!(
            (nothing.quantile_permille(500), nothing.mean(), nothing.max()),
            (None, None, None)
        );
    }

    #[test]
    fn the_mean_weighs_each_bucket_by_its_samples() {
        let latencies = Latencies::of([&at(1_000, 3), &at(9_000, 1)].into_iter());
        let sum = 3 * midpoint(bucket(1_000)) + midpoint(bucket(9_000));
        assert_eq!(latencies.mean(), Some(sum / 4));
    }

    #[test]
    fn ages_are_compared_with_a_limit() {
        assert_eq!(older_than(&at(900_000, 3), 1_000_000), 0);
        assert_eq!(older_than(&at(2_000_000, 3), 1_000_000), 3);
    }

    #[test]
    fn what_is_at_a_limit_is_not_over_it() {
        let (two, middle) = (at(2_000_000, 3), midpoint(bucket(2_000_000)));
        assert_eq!([middle, middle - 1].map(|limit| older_than(&two, limit)), [0, 3]);
        let latencies = Latencies::of([&two].into_iter());
        assert_eq!([middle, middle - 1].map(|limit| latencies.slower_than(limit)), [0, 3]);
    }
}
