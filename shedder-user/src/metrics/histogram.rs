//! Durations counted by upper bounds, as Prometheus wants them.
//!
//! Invariant: counts and sum only grow.

use shedder_common::histogram::midpoint;

use crate::engine::Buckets;

/// How many durations were at most so long.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Seconds, rising.
    bounds: &'static [f64],
    /// For each bound those above the one before it; last, those above all.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// For latencies, from loopback to a timeout.
    pub fn of_latencies() -> Self {
        Self::new(&LATENCIES)
    }

    /// For times from a trip to health.
    pub fn of_recoveries() -> Self {
        Self::new(&RECOVERIES)
    }

    /// Of `count` durations of which only the sum is known, in seconds: it has no bounds.
    pub fn of_sum(sum: f64, count: u64) -> Self {
        Self { bounds: &[], counts: vec![count], sum }
    }

    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts `count` durations of so many seconds.
    pub fn add(&mut self, seconds: f64, count: u64) {
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[place] += count;
        #[expect(clippy::cast_precision_loss, reason = "counts between two looks")]
        let count = count as f64;
        self.sum += seconds * count;
    }

    /// Counts what the kernel measured, each at the middle of its bucket.
    pub fn add_buckets(&mut self, buckets: &Buckets) {
        for (bucket, count) in buckets {
            #[expect(clippy::cast_precision_loss, reason = "below 2^26")]
            let microseconds = midpoint(u32::from(*bucket)) as f64;
            self.add(microseconds / 1e6, u64::from(*count));
        }
    }

    /// Adds what another one of the same bounds has counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }

    /// Each bound and how many durations were at most that long.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((*bound, *below))
        })
    }

    /// The bounds, and for each how many durations lay between it and the one before it; last, how many
    /// lay above all.
    pub fn buckets(&self) -> (&'static [f64], &[u64]) {
        (self.bounds, &self.counts)
    }

    /// How many durations there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, in seconds.
    pub const fn sum(&self) -> f64 {
        self.sum
    }
}

const LATENCIES: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0,
];
const RECOVERIES: [f64; 12] =
    [1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shedder_common::histogram::bucket;

    use super::*;

    fn below(histogram: &Histogram, seconds: f64) -> u64 {
        let mut bounds = histogram.cumulative();
        bounds.find(|(bound, _)| (bound - seconds).abs() < 1e-9).expect("it is a bound").1
    }

    #[test]
    fn a_duration_counts_at_its_bound_and_all_above() {
        let mut histogram = Histogram::of_recoveries();
        histogram.add(5.0, 1);
        histogram.add(5.1, 2);
        histogram.add(1e6, 1);
        assert_eq!(
            (below(&histogram, 2.5), below(&histogram, 5.0), below(&histogram, 10.0)),
            (0, 1, 3)
        );
        assert_eq!((below(&histogram, 3600.0), histogram.count()), (3, 4));
    }

    #[test]
    fn the_bounds_that_objectives_are_written_for_are_there() {
        for bound in [0.1, 0.2] {
            assert!(LATENCIES.contains(&bound));
        }
        assert!(LATENCIES.is_sorted() && RECOVERIES.is_sorted());
    }

    proptest! {
        /// What docs/metrics.md says of the error.
        #[test]
        fn a_latency_is_misplaced_only_within_a_sixteenth_of_a_bound(microseconds in 8_u64..9_000_000) {
            let mut histogram = Histogram::of_latencies();
            let number = u8::try_from(bucket(microseconds)).expect("there are 192");
            histogram.add_buckets(&vec![(number, 1)]);
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let seconds = microseconds as f64 / 1e6;
            for (bound, count) in histogram.cumulative() {
                let is_below = seconds <= bound;
                let is_near = (seconds - bound).abs() <= bound * 0.0667;
                prop_assert!(is_near || (count == 1) == is_below, "{seconds} and {bound}");
            }
            prop_assert!((histogram.sum() - seconds).abs() <= seconds * 0.0667);
        }
    }
}
