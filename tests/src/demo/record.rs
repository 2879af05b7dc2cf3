//! What the clients did and how it went, call by call.
//!
//! Invariant: a call belongs to the act in which it began, and to no statistics before it is over.

use std::time::{Duration, Instant};

use serde::Serialize;

/// One call of a client: the attempts it took, one after the other.
#[derive(Debug)]
pub(super) struct ClientCall {
    /// The index of the act in which it began.
    pub(super) act: usize,
    /// When it was over.
    pub(super) ended: Instant,
    /// The time spent in its attempts.
    pub(super) took: Duration,
    /// At least one; the last decides.
    pub(super) attempts: Vec<ClientAttempt>,
}

/// One connection to one backend.
#[derive(Debug)]
pub(super) struct ClientAttempt {
    /// The backend's index.
    pub(super) backend: usize,
    /// When it began.
    pub(super) started: Instant,
    /// When it was over.
    pub(super) ended: Instant,
    /// How it went.
    pub(super) outcome: Outcome,
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answered in good time.
    Answered,
    /// Answered late.
    Slow,
    /// Refused by a verdict, inside `connect()`.
    Shed,
    /// Refused, reset or given up at the backend.
    Failed,
}

/// Many calls in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    /// Calls that were over.
    pub(super) calls: usize,
    /// Those of them with an answer.
    pub(super) answered: usize,
    /// Their share, 0 to 1; nothing without calls.
    pub(super) answered_share: Option<f64>,
    /// Median of the time a call took, answered or not, microseconds.
    pub(super) p50_us: Option<u64>,
    /// 99th percentile, microseconds.
    pub(super) p99_us: Option<u64>,
    /// Attempts that failed at a backend or were slow.
    pub(super) bad_attempts: usize,
    /// Attempts refused by a verdict.
    pub(super) shed_attempts: usize,
}

impl ClientCall {
    /// Whether the client got an answer in the end.
    pub(super) fn is_answered(&self) -> bool {
        self.attempts.last().is_some_and(|attempt| attempt.outcome.is_answer())
    }
}

impl Outcome {
    pub(super) const fn is_answer(self) -> bool {
        matches!(self, Self::Answered | Self::Slow)
    }

    const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Slow)
    }
}

impl Summary {
    pub(super) fn of<'a>(calls: impl Iterator<Item = &'a ClientCall>) -> Self {
        let (mut answered, mut bad_attempts, mut shed_attempts) = (0, 0, 0);
        let mut latencies = Vec::new();
        for call in calls {
            latencies.push(u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX));
            answered += usize::from(call.is_answered());
            for attempt in &call.attempts {
                bad_attempts += usize::from(attempt.outcome.is_bad());
                shed_attempts += usize::from(attempt.outcome == Outcome::Shed);
            }
        }
        latencies.sort_unstable();
        Self {
            calls: latencies.len(),
            answered,
            answered_share: (!latencies.is_empty()).then(|| ratio(answered, latencies.len())),
            p50_us: quantile(&latencies, 50),
            p99_us: quantile(&latencies, 99),
            bad_attempts,
            shed_attempts,
        }
    }

    /// Answered calls for each second of the `span` in which there were these calls.
    #[expect(clippy::cast_precision_loss, reason = "counts of a demo are far below 2^53")]
    pub(super) fn answered_per_second(&self, span: Duration) -> f64 {
        self.answered as f64 / span.as_secs_f64()
    }
}

/// The smallest value that at least `percent` of the sorted values do not exceed.
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a demo are far below 2^53")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    fn call(milliseconds: u64, outcomes: &[Outcome]) -> ClientCall {
        let (started, ended) = (now(), now());
        let attempt =
            |outcome: &Outcome| ClientAttempt { backend: 0, started, ended, outcome: *outcome };
        let took = Duration::from_millis(milliseconds);
        ClientCall { act: 0, ended, took, attempts: outcomes.iter().map(attempt).collect() }
    }

    #[test]
    fn a_call_is_answered_by_its_last_attempt_and_every_attempt_counts() {
        let calls = [
            call(1, &[Outcome::Answered]),
            call(2, &[Outcome::Shed, Outcome::Failed, Outcome::Answered]),
            call(2000, &[Outcome::Slow]),
            call(2500, &[Outcome::Shed, Outcome::Failed]),
        ];
        let summary = Summary::of(calls.iter());
        assert_eq!((summary.calls, summary.answered, summary.answered_share), (4, 3, Some(0.75)));
        assert_eq!((summary.p50_us, summary.p99_us), (Some(2_000), Some(2_500_000)));
        assert_eq!((summary.bad_attempts, summary.shed_attempts), (3, 2));
    }

    #[test]
    fn without_calls_there_are_no_shares() {
        let summary = Summary::of([].iter());
        assert_eq!((summary.answered_share, summary.p50_us), (None, None));
    }
}
