//! Sliding windows of exact counts: slices of time or of count, of which only those with content
//! exist.

use std::collections::VecDeque;
use std::time::Duration;

use shedder_common::histogram::midpoint;
use shedder_common::time::{Monotonic, nanos};

use super::evidence::{Buckets, Counts, Sample};
use super::latencies::{Latencies, merge};
use super::strategy::Signal;

mod totals;
mod windows;

pub(super) use self::windows::Windows;

use self::totals::Totals;

/// How far back a strategy looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// What happened within this time.
    Time(Duration),
    /// The last so many outcomes or latencies, however long ago they were.
    Count(u32),
}

/// Evidence of the last `span`, to within a fortieth of it: the slice that leaves, leaves whole.
#[derive(Clone, Debug)]
pub(super) struct Window {
    span: Span,
    /// In rising order of `index`.
    slices: VecDeque<Slice>,
    /// Of what lay within the span at the last addition. There is none without slices.
    totals: Option<Box<Totals>>,
}

#[derive(Clone, Debug)]
struct Slice {
    /// By time: the slice's start divided by its length. By count: a running number.
    index: u64,
    counts: Counts,
    connect: Buckets,
    response: Buckets,
    rtt: Buckets,
}

/// What a window holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How far back it looks.
    pub span: Duration,
    /// What was counted.
    pub counts: Counts,
    /// Outcomes that say something about the endpoint.
    pub attempts: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Median response time, microseconds; nothing without a response.
    pub p50_us: Option<u64>,
    /// 99th percentile of response times, microseconds.
    pub p99_us: Option<u64>,
}

impl Window {
    fn new(span: Span) -> Self {
        Self { span, slices: VecDeque::new(), totals: None }
    }

    fn clear(&mut self) {
        *self = Self::new(self.span);
    }

    fn add(&mut self, sample: &Sample, now: Monotonic) {
        let index = self.next_index(now);
        self.drop_old(now);
        if self.slices.back().is_none_or(|slice| slice.index != index) {
            // Doubling would take a third more than a full window needs.
            if self.slices.len() == self.slices.capacity() {
                self.slices.reserve_exact(GROWTH);
            }
            self.slices.push_back(Slice::new(index));
        }
        let slice = self.slices.back_mut().expect("a slice was pushed if there was none");
        slice.counts += &sample.counts;
        merge(&mut slice.connect, &sample.connect);
        merge(&mut slice.response, &sample.response);
        merge(&mut slice.rtt, &sample.rtt);
        let oldest = self.oldest_index(now);
        match &mut self.totals {
            Some(totals) => totals.add(sample),
            None => self.totals = Some(Box::new(Totals::of(&self.slices, oldest))),
        }
    }

    /// What was counted within the span.
    pub(super) fn counts(&self, now: Monotonic) -> Counts {
        if let Some(totals) = self.totals(now) {
            return *totals.counts();
        }
        let mut counts = Counts::default();
        for slice in self.recent(now) {
            counts += &slice.counts;
        }
        counts
    }

    /// As [`Window::counts`], but where fewer than [`FEW`] outcomes lie within the span, `known`
    /// besides, it looks further back for that many, up to a minute.
    pub(super) fn stretched_counts(&self, known: u64, now: Monotonic) -> Counts {
        let mut counts = self.counts(now);
        let is_enough = |counts: &Counts| counts.attempts().saturating_add(known) >= FEW;
        if is_enough(&counts) {
            return counts;
        }
        let oldest = self.oldest_index(now);
        for slice in self.slices.iter().rev().skip_while(|slice| slice.index >= oldest) {
            if is_enough(&counts) || !self.may_stretch_to(slice, now) {
                break;
            }
            counts += &slice.counts;
        }
        counts
    }

    /// Latencies of one kind.
    pub(super) fn latencies(&self, signal: Signal, now: Monotonic) -> Latencies {
        match self.totals(now) {
            Some(totals) => Latencies::of_sums(totals.latencies(signal)),
            None => Latencies::of(self.recent(now).map(|slice| slice.latencies(signal))),
        }
    }

    /// Latencies of one kind of more than `limit_us` microseconds, to within a bucket, and all.
    pub(super) fn slower_than(&self, signal: Signal, limit_us: u64, now: Monotonic) -> (u64, u64) {
        let Some(totals) = self.totals(now) else {
            let latencies = self.latencies(signal, now);
            return (latencies.slower_than(limit_us), latencies.samples);
        };
        totals.latencies(signal).iter().fold((0, 0), |(slow, all), (bucket, count)| {
            let is_slow = midpoint(u32::from(*bucket)) > limit_us;
            (if is_slow { slow + count } else { slow }, all + count)
        })
    }

    fn summary(&self, now: Monotonic) -> Summary {
        let counts = self.counts(now);
        let responses = self.latencies(Signal::Response, now);
        Summary {
            span: match self.span {
                Span::Time(span) => span,
                Span::Count(_) => Duration::ZERO,
            },
            counts,
            attempts: counts.attempts(),
            failures: counts.failures(),
            p50_us: responses.quantile_permille(500),
            p99_us: responses.quantile_permille(990),
        }
    }

    fn recent(&self, now: Monotonic) -> impl Iterator<Item = &Slice> {
        let oldest = self.oldest_index(now);
        self.slices.iter().rev().take_while(move |slice| slice.index >= oldest)
    }

    /// The sums of [`Window::recent`], where they are known.
    fn totals(&self, now: Monotonic) -> Option<&Totals> {
        let oldest = self.oldest_index(now);
        self.totals.as_deref().filter(|totals| totals.are_since(oldest))
    }

    /// The first slice within the span.
    fn oldest_index(&self, now: Monotonic) -> u64 {
        match self.span {
            Span::Time(span) => oldest_index(span, now),
            Span::Count(_) => self.slices.front().map_or(0, |slice| slice.index),
        }
    }

    /// The slice what happens now belongs to.
    fn next_index(&self, now: Monotonic) -> u64 {
        let newest = self.slices.back();
        match self.span {
            // A clock that seems to go backwards adds to the newest slice.
            Span::Time(span) => index(span, now).max(newest.map_or(0, |slice| slice.index)),
            Span::Count(count) => newest.map_or(0, |slice| {
                let is_full = slice.size() >= u64::from(count).div_ceil(SLICES);
                slice.index + u64::from(is_full)
            }),
        }
    }

    /// Drops what lies outside the span, except what a stretched look may still need.
    fn drop_old(&mut self, now: Monotonic) {
        match self.span {
            Span::Time(span) => {
                let oldest = oldest_index(span, now);
                let Some(totals) = &mut self.totals else { return };
                if totals.are_since(oldest) {
                    return;
                }
                totals.advance(&self.slices, oldest);
                let old = self.slices.iter().take_while(|slice| slice.index < oldest);
                let mut outcomes = old.fold(totals.counts().attempts(), |sum, slice| {
                    sum.saturating_add(slice.counts.attempts())
                });
                while let Some(slice) = self.slices.front()
                    && slice.index < oldest
                    && (!self.may_stretch_to(slice, now)
                        || slice.counts.attempts() == 0
                        || outcomes.saturating_sub(slice.counts.attempts()) >= FEW)
                {
                    outcomes = outcomes.saturating_sub(slice.counts.attempts());
                    self.slices.pop_front();
                }
            }
            Span::Count(count) => {
                let sizes = self.slices.iter().map(Slice::size);
                let mut size = sizes.fold(0, u64::saturating_add);
                while let Some(slice) = self.slices.front()
                    && size.saturating_sub(slice.size()) >= u64::from(count)
                {
                    size = size.saturating_sub(slice.size());
                    let since = slice.index + 1;
                    if let Some(totals) = &mut self.totals {
                        totals.advance(&self.slices, since);
                    }
                    self.slices.pop_front();
                }
            }
        }
    }

    fn may_stretch_to(&self, slice: &Slice, now: Monotonic) -> bool {
        let Span::Time(span) = self.span else { return false };
        let start = slice.index.saturating_mul(slice_ns(span));
        now.as_nanos().saturating_sub(start) <= nanos(STRETCH)
    }

    /// Whether time alone empties it.
    const fn expires(&self) -> bool {
        matches!(self.span, Span::Time(_))
    }

    fn heap_bytes(&self) -> usize {
        let buckets = |buckets: &Buckets| buckets.capacity() * size_of::<(u8, u32)>();
        let totals = self.totals.as_ref().map_or(0, |totals| totals.bytes());
        totals
            + self.slices.capacity() * size_of::<Slice>()
            + self
                .slices
                .iter()
                .map(|slice| {
                    buckets(&slice.connect) + buckets(&slice.response) + buckets(&slice.rtt)
                })
                .sum::<usize>()
    }
}

impl Slice {
    fn new(index: u64) -> Self {
        Self {
            index,
            counts: Counts::default(),
            connect: Vec::new(),
            response: Vec::new(),
            rtt: Vec::new(),
        }
    }

    const fn latencies(&self, signal: Signal) -> &Buckets {
        match signal {
            Signal::Connect => &self.connect,
            Signal::Response => &self.response,
            Signal::Rtt => &self.rtt,
        }
    }

    /// By what a window of count counts: outcomes or answers, whichever are more.
    fn size(&self) -> u64 {
        let answers = self.response.iter().map(|(_, count)| u64::from(*count)).sum();
        self.counts.attempts().max(answers)
    }
}

fn index(span: Duration, now: Monotonic) -> u64 {
    now.as_nanos() / slice_ns(span)
}

fn oldest_index(span: Duration, now: Monotonic) -> u64 {
    (index(span, now) + 1).saturating_sub(SLICES)
}

fn slice_ns(span: Duration) -> u64 {
    (nanos(span) / SLICES).max(1)
}

/// A window forgets in steps of a fortieth of its span.
const SLICES: u64 = 40;
/// Slices a window grows by.
const GROWTH: usize = 8;
/// Outcomes a stretched look wants: the fewest with which all failing is certain enough.
const FEW: u64 = 4;
/// How far a stretched look may go.
pub(super) const STRETCH: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use shedder_common::histogram::bucket;

    use super::*;

    const SPAN: Span = Span::Time(Duration::from_secs(10));

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_nanos(milliseconds * 1_000_000)
    }

    fn outcomes(successes: u64, refused: u64) -> Sample {
        Sample { counts: Counts { successes, refused, ..Counts::default() }, ..Sample::default() }
    }

    fn answers(microseconds: u64, count: u32) -> Sample {
        let bucket = u8::try_from(bucket(microseconds)).unwrap();
        Sample { response: vec![(bucket, count)], ..Sample::default() }
    }

    fn seen(counts: Counts) -> (u64, u64) {
        (counts.attempts(), counts.failures())
    }

    #[test]
    fn evidence_leaves_the_window_with_time() {
        let mut window = Window::new(SPAN);
        window.add(&outcomes(1, 2), at(1_000));
        window.add(&outcomes(3, 0), at(8_000));
        assert_eq!(seen(window.counts(at(9_000))), (6, 2));
        assert_eq!(seen(window.counts(at(12_000))), (3, 0));
        assert_eq!(seen(window.counts(at(60_000))), (0, 0));
    }

    #[test]
    fn a_short_window_is_not_blurred_by_a_long_one() {
        let (second, hour) =
            (Span::Time(Duration::from_secs(1)), Span::Time(Duration::from_hours(1)));
        let mut windows = Windows::new([second, hour].into_iter());
        for seconds in [90, 110, 140, 175] {
            windows.add(&outcomes(0, 1), at(seconds * 1_000));
            assert_eq!(seen(windows.of(second).counts(at(seconds * 1_000))), (1, 1));
        }
        assert_eq!(seen(windows.of(hour).counts(at(175_000))), (4, 4));
    }

    #[test]
    fn few_outcomes_stretch_the_window() {
        let mut window = Window::new(SPAN);
        for seconds in [0, 20, 35, 50] {
            window.add(&outcomes(0, 1), at(seconds * 1_000));
        }
        assert_eq!(seen(window.counts(at(55_000))), (1, 1));
        assert_eq!(seen(window.stretched_counts(0, at(55_000))), (4, 4));
        // A minute is the most it looks back.
        assert_eq!(seen(window.stretched_counts(0, at(61_000))), (3, 3));
        assert_eq!(seen(window.stretched_counts(0, at(200_000))), (0, 0));
    }

    #[test]
    fn a_stretch_takes_no_more_than_it_needs() {
        let mut window = Window::new(SPAN);
        window.add(&outcomes(9, 0), at(1_000));
        window.add(&outcomes(0, 2), at(20_000));
        window.add(&outcomes(0, 3), at(40_000));
        assert_eq!(seen(window.stretched_counts(0, at(41_000))), (5, 5));
        window.add(&outcomes(0, 4), at(45_000));
        assert_eq!(window.slices.len(), 3);
    }

    #[test]
    fn a_window_of_count_ignores_time() {
        let mut window = Window::new(Span::Count(300));
        for second in 0..100 {
            window.add(&answers(1_000, 10), at(second * 1_000));
        }
        let held = window.latencies(Signal::Response, at(1_000_000)).samples;
        assert!((300..=320).contains(&held), "{held}");
    }

    #[test]
    fn a_clock_going_backwards_loses_nothing() {
        let mut window = Window::new(SPAN);
        window.add(&outcomes(1, 0), at(5_000));
        window.add(&outcomes(1, 0), at(4_000));
        assert_eq!(seen(window.counts(at(5_000))), (2, 0));
    }

    #[test]
    fn quantiles_come_from_all_slices() {
        let mut window = Window::new(SPAN);
        window.add(&answers(100, 98), at(1_000));
        window.add(&answers(50_000, 2), at(2_000));
        let summary = window.summary(at(2_500));
        assert_eq!(summary.p50_us, Some(midpoint(bucket(100))));
        assert_eq!(summary.p99_us, Some(midpoint(bucket(50_000))));
    }

    /// Whether the sums are known, as at first, or not.
    #[test]
    fn what_is_at_a_limit_is_not_slower() {
        let mut window = Window::new(SPAN);
        window.add(&answers(50_000, 2), at(1_000));
        let middle = midpoint(bucket(50_000));
        for now in [1_000, 10_500].map(at) {
            let slower = |limit| window.slower_than(Signal::Response, limit, now);
            assert_eq!([middle, middle - 1].map(slower), [(0, 2), (2, 2)], "at {now:?}");
        }
    }

    #[test]
    fn an_empty_window_holds_nothing_and_no_memory() {
        let mut windows = Windows::new([SPAN].into_iter());
        assert_eq!(windows.summary(at(0)).attempts, 0);
        windows.add(&outcomes(1, 1), at(1_000));
        assert!(windows.forget_before(at(2_000)));
        assert!(!windows.forget_before(at(120_000)));
        assert_eq!(windows.heap_bytes(), size_of::<Window>());
    }
}
