//! A sliding window of exact counts: slices of time, of which only the ones with content exist.

use std::collections::VecDeque;
use std::time::Duration;

use shedder_common::histogram::{BUCKETS, midpoint};
use shedder_common::time::{Monotonic, nanos};

use super::evidence::{Buckets, Sample};

/// The trailing evidence of one breaker: a window for each span its strategies look back.
///
/// One window for all of them would have slices too coarse for the shortest.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// In rising order of span; never empty.
    by_span: Vec<(Duration, Window)>,
}

impl Windows {
    /// Empty windows of these spans, or of a default one if there are none.
    pub(super) fn new(spans: impl Iterator<Item = Duration>) -> Self {
        let mut spans: Vec<Duration> = spans.collect();
        if spans.is_empty() {
            spans.push(DEFAULT_SPAN);
        }
        spans.sort();
        spans.dedup();
        Self { by_span: spans.into_iter().map(|span| (span, Window::new(span))).collect() }
    }

    /// Adds what happened, stamped `now`.
    pub(super) fn add(&mut self, sample: &Sample, now: Monotonic) {
        for (_, window) in &mut self.by_span {
            window.add(sample, now);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        for (_, window) in &mut self.by_span {
            window.slices.clear();
        }
    }

    /// The window of a span given to [`Windows::new`].
    pub(super) fn of(&self, span: Duration) -> &Window {
        let found = self.by_span.iter().find(|(known, _)| *known == span);
        &found.or_else(|| self.by_span.last()).expect("there is one at least").1
    }

    /// What the longest window holds.
    pub(super) fn summary(&self, now: Monotonic) -> Summary {
        self.by_span.last().map_or_else(Summary::default, |(_, window)| window.summary(now))
    }
}

/// Evidence of the last `span`, to within a fortieth of it: the slice that leaves, leaves whole.
#[derive(Clone, Debug)]
pub(super) struct Window {
    slice_ns: u64,
    /// In rising order of `index`.
    slices: VecDeque<Slice>,
}

#[derive(Clone, Debug)]
struct Slice {
    /// The slice's start divided by its length.
    index: u64,
    successes: u64,
    failures: u64,
    connect: Buckets,
    response: Buckets,
}

/// What a window holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Outcomes that say something about the endpoint.
    pub attempts: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Median response time, microseconds; nothing without a response.
    pub p50_us: Option<u64>,
    /// 99th percentile of response times, microseconds.
    pub p99_us: Option<u64>,
}

/// Latencies of a window, merged.
#[derive(Debug)]
pub(super) struct Latencies {
    counts: [u64; BUCKETS],
    pub(super) samples: u64,
}

impl Window {
    fn new(span: Duration) -> Self {
        Self { slice_ns: (nanos(span) / SLICES).max(1), slices: VecDeque::new() }
    }

    fn add(&mut self, sample: &Sample, now: Monotonic) {
        // A clock that seems to go backwards adds to the newest slice.
        let newest = self.slices.back().map_or(0, |slice| slice.index);
        let index = self.index(now).max(newest);
        self.drop_before((index + 1).saturating_sub(SLICES));
        if self.slices.back().is_none_or(|slice| slice.index != index) {
            self.slices.push_back(Slice::new(index));
        }
        let slice = self.slices.back_mut().expect("a slice was pushed if there was none");
        slice.successes += sample.successes;
        slice.failures += sample.failures();
        merge(&mut slice.connect, &sample.connect);
        merge(&mut slice.response, &sample.response);
    }

    /// Outcomes and failures.
    pub(super) fn outcomes(&self, now: Monotonic) -> (u64, u64) {
        self.recent(now).fold((0, 0), |(attempts, failures), slice| {
            (attempts + slice.successes + slice.failures, failures + slice.failures)
        })
    }

    /// Connect latencies.
    pub(super) fn connect_latencies(&self, now: Monotonic) -> Latencies {
        Latencies::merge(self.recent(now).map(|slice| &slice.connect))
    }

    /// Response latencies.
    pub(super) fn response_latencies(&self, now: Monotonic) -> Latencies {
        Latencies::merge(self.recent(now).map(|slice| &slice.response))
    }

    fn summary(&self, now: Monotonic) -> Summary {
        let (attempts, failures) = self.outcomes(now);
        let responses = self.response_latencies(now);
        Summary {
            attempts,
            failures,
            p50_us: responses.quantile_permille(500),
            p99_us: responses.quantile_permille(990),
        }
    }

    fn recent(&self, now: Monotonic) -> impl Iterator<Item = &Slice> {
        let oldest = (self.index(now) + 1).saturating_sub(SLICES);
        self.slices.iter().rev().take_while(move |slice| slice.index >= oldest)
    }

    fn index(&self, now: Monotonic) -> u64 {
        now.as_nanos() / self.slice_ns
    }

    fn drop_before(&mut self, oldest: u64) {
        while self.slices.front().is_some_and(|slice| slice.index < oldest) {
            self.slices.pop_front();
        }
    }
}

impl Slice {
    const fn new(index: u64) -> Self {
        Self { index, successes: 0, failures: 0, connect: Vec::new(), response: Vec::new() }
    }
}

impl Latencies {
    fn merge<'a>(parts: impl Iterator<Item = &'a Buckets>) -> Self {
        let mut merged = Self { counts: [0; BUCKETS], samples: 0 };
        for (bucket, count) in parts.flatten() {
            if let Some(total) = merged.counts.get_mut(usize::from(*bucket)) {
                *total += u64::from(*count);
                merged.samples += u64::from(*count);
            }
        }
        merged
    }

    /// The smallest latency, in microseconds, that at least `permille` thousandths of the samples
    /// do not exceed; nothing without samples.
    pub(super) fn quantile_permille(&self, permille: u16) -> Option<u64> {
        let rank = (u128::from(self.samples) * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        self.counts.iter().zip(0..).find_map(|(count, bucket)| {
            seen += u128::from(*count);
            (seen >= rank && *count != 0).then(|| midpoint(bucket))
        })
    }
}

/// Adds `more` to `buckets`, both in rising order of bucket.
fn merge(buckets: &mut Buckets, more: &Buckets) {
    for (bucket, count) in more {
        match buckets.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
            Ok(at) => buckets[at].1 = buckets[at].1.saturating_add(*count),
            Err(at) => buckets.insert(at, (*bucket, *count)),
        }
    }
}

/// A window forgets in steps of a fortieth of its span.
const SLICES: u64 = 40;
/// Looked back for the status of a policy whose strategies need no window.
const DEFAULT_SPAN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use shedder_common::histogram::bucket;

    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_nanos(milliseconds * 1_000_000)
    }

    fn outcomes(successes: u64, failures: u64) -> Sample {
        Sample { successes, refused: failures, ..Sample::default() }
    }

    #[test]
    fn evidence_leaves_the_window_with_time() {
        let mut window = Window::new(SPAN);
        window.add(&outcomes(1, 2), at(1_000));
        window.add(&outcomes(3, 0), at(8_000));
        assert_eq!(window.outcomes(at(9_000)), (6, 2));
        assert_eq!(window.outcomes(at(12_000)), (3, 0));
        assert_eq!(window.outcomes(at(60_000)), (0, 0));
    }

    #[test]
    fn a_short_window_is_not_blurred_by_a_long_one() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let mut windows = Windows::new([second, hour].into_iter());
        for seconds in [90, 110, 140, 175] {
            windows.add(&outcomes(0, 1), at(seconds * 1_000));
            assert_eq!(windows.of(second).outcomes(at(seconds * 1_000)), (1, 1));
        }
        assert_eq!(windows.of(hour).outcomes(at(175_000)), (4, 4));
    }

    #[test]
    fn a_clock_going_backwards_loses_nothing() {
        let mut window = Window::new(SPAN);
        window.add(&outcomes(1, 0), at(5_000));
        window.add(&outcomes(1, 0), at(4_000));
        assert_eq!(window.outcomes(at(5_000)), (2, 0));
    }

    #[test]
    fn quantiles_come_from_all_slices() {
        let mut window = Window::new(SPAN);
        let slow = u8::try_from(bucket(50_000)).unwrap();
        let fast = u8::try_from(bucket(100)).unwrap();
        window.add(&Sample { response: vec![(fast, 98)], ..Sample::default() }, at(1_000));
        window.add(&Sample { response: vec![(slow, 2)], ..Sample::default() }, at(2_000));
        let summary = window.summary(at(2_500));
        assert_eq!(summary.p50_us, Some(midpoint(bucket(100))));
        assert_eq!(summary.p99_us, Some(midpoint(bucket(50_000))));
    }

    #[test]
    fn an_empty_window_has_no_quantile() {
        assert_eq!(Window::new(SPAN).summary(at(0)), Summary::default());
    }
}
