//! When an endpoint failed, by the recording alone.
//!
//! Invariant: the same whatever policies are played.

use shedder_common::histogram::{lower_bound, midpoint};

use crate::engine::{Buckets, Sample};

/// A time in which an endpoint failed a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose, by the number of the breaker.
    pub breaker: usize,
    /// Its first failing second.
    pub from: u64,
    /// The second after its last failing one.
    pub to: u64,
    /// Outcomes that failed in it.
    pub failures: u64,
}

/// All of them, in order of their beginning.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: Vec<Fault>,
    /// For each breaker its last one.
    last: Vec<Option<usize>>,
    /// For each breaker the slowest answer of late, as a bucket, and when it came.
    slowest: Vec<Option<(u8, u64)>>,
}

impl Faults {
    /// Takes in a second of a breaker.
    pub(super) fn see(&mut self, breaker: usize, second: u64, sample: &Sample) {
        if self.last.len() <= breaker {
            self.last.resize(breaker + 1, None);
            self.slowest.resize(breaker + 1, None);
        }
        let slowest = &mut self.slowest[breaker];
        slowest.take_if(|(_, at)| second > *at + LATELY);
        if let Some((bucket, _)) = sample.response.last()
            && slowest.is_none_or(|(known, _)| known <= *bucket)
        {
            *slowest = Some((*bucket, second));
        }
        let slowest = slowest.map(|(bucket, _)| midpoint(bucket.into()));
        if !is_failing(sample, slowest) {
            return;
        }
        let failures = sample.counts.failures();
        let last = self.last[breaker].and_then(|last| self.found.get_mut(last));
        if let Some(fault) = last
            && second <= fault.to + PAUSE
        {
            fault.to = second + 1;
            fault.failures += failures;
            return;
        }
        self.last[breaker] = Some(self.found.len());
        self.found.push(Fault { breaker, from: second, to: second + 1, failures });
    }

    pub(super) fn into_vec(self) -> Vec<Fault> {
        self.found
    }
}

impl Fault {
    /// Whether a trip in this second is due to it.
    pub(super) const fn explains(&self, second: u64) -> bool {
        self.from <= second && second <= self.to + PAUSE
    }
}

/// At least a tenth fails, and not by a single failure among successes; or nothing ends, though a
/// handshake has waited for a second or an answer for much longer than the slowest of late took.
fn is_failing(sample: &Sample, slowest_us: Option<u64>) -> bool {
    let (failures, attempts) = (sample.counts.failures(), sample.counts.attempts());
    if attempts == 0 {
        let patience = slowest_us.map_or(u64::MAX, |us| us.saturating_mul(SLOWER).max(LATE_US / 2));
        let unfinished = &sample.unfinished;
        return is_late(&unfinished.connecting, LATE_US) || is_late(&unfinished.waiting, patience);
    }
    failures * 10 >= attempts && failures > u64::from(sample.counts.successes > 0)
}

fn is_late(ages: &Buckets, patience_us: u64) -> bool {
    ages.iter().any(|(age, count)| *count > 0 && lower_bound(u32::from(*age)) >= patience_us)
}

/// Seconds of quiet after which the next failure is another fault.
const PAUSE: u64 = 10;
/// Seconds for which a slow answer is remembered.
const LATELY: u64 = 60;
/// Times the slowest answer of late.
const SLOWER: u64 = 3;
const LATE_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use shedder_common::histogram::bucket;

    use super::*;
    use crate::engine::Counts;

    fn sample(successes: u64, refused: u64) -> Sample {
        Sample { counts: Counts { successes, refused, ..Counts::default() }, ..Sample::default() }
    }

    #[test]
    fn a_pause_ends_a_fault() {
        let mut faults = Faults::default();
        for second in [3, 4, 14, 25, 40] {
            faults.see(0, second, &sample(1, 2));
        }
        let found: Vec<_> =
            faults.into_vec().iter().map(|fault| (fault.from, fault.to, fault.failures)).collect();
        assert_eq!(found, [(3, 26, 8), (40, 41, 2)]);
    }

    #[test]
    fn a_single_failure_among_successes_is_none() {
        let is_failing = |successes, refused| is_failing(&sample(successes, refused), None);
        assert!(!is_failing(1, 1));
        assert!(is_failing(0, 1));
        assert!(is_failing(18, 2));
        assert!(!is_failing(19, 2));
        assert!(!is_failing(0, 0));
    }

    #[test]
    fn what_hangs_fails_though_nothing_has_ended() {
        let bucket = |us| u8::try_from(bucket(us)).expect("there are fewer");
        let mut hanging = Sample::default();
        hanging.unfinished.waiting = vec![(bucket(1_200_000), 1)];
        let is_late = |slowest| is_failing(&hanging, slowest);
        assert!(is_late(Some(1_000)) && is_late(Some(300_000)));
        assert!(!is_late(Some(500_000)), "not so much longer");
        assert!(!is_late(None), "it may wait for news");
        hanging = Sample::default();
        hanging.unfinished.connecting = vec![(bucket(1_200_000), 1)];
        assert!(is_failing(&hanging, None));
    }
}
