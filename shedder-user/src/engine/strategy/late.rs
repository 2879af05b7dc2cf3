//! What has not ended and counts as failed already.
//!
//! Invariant: a request counts by its age only where answers are known to come sooner; a caller that
//! waits for news, as a queue's or a subscription's does, looks just like one whose backend hangs.

use std::time::Duration;

use super::{Evidence, Signal};
use crate::engine::evidence::Buckets;
use crate::engine::latencies::older_than;

/// All of it.
pub(super) fn late(evidence: &Evidence<'_>) -> u64 {
    of(evidence, Duration::MAX)
}

/// What has begun since the last success, so that it prolongs a run of failures.
pub(super) fn late_in_a_row(evidence: &Evidence<'_>) -> u64 {
    let since = evidence.last_success.map_or(Duration::MAX, |last| evidence.now.since(last));
    of(evidence, since)
}

/// What is late and has begun within `since`.
fn of(evidence: &Evidence<'_>, since: Duration) -> u64 {
    let unfinished = &evidence.sample.unfinished;
    let connecting = within(&unfinished.connecting, evidence.patience, since);
    let waiting = patience_for_answers(evidence)
        .map_or(0, |patience| within(&unfinished.waiting, patience, since));
    // A stall has no age of its own; it is one of those that wait.
    let stalled = |stalled: u64, ages| stalled.min(within(ages, Duration::ZERO, since));
    connecting.max(stalled(unfinished.stalled_connecting, &unfinished.connecting))
        + waiting.max(stalled(unfinished.stalled_waiting, &unfinished.waiting))
}

/// How long an answer may take: longer than a caller waits for one, and than any took lately. Where
/// none came lately nothing is known.
fn patience_for_answers(evidence: &Evidence<'_>) -> Option<Duration> {
    let answers = evidence.windows.longest().latencies(Signal::Response, evidence.now);
    let slowest = Duration::from_micros(answers.max()?);
    Some(evidence.patience.max(slowest.saturating_mul(SLOWER)))
}

/// How many are at least as old as `least` and at most as old as `most`, to within a bucket.
fn within(ages: &Buckets, least: Duration, most: Duration) -> u64 {
    let older = |limit: Duration| match u64::try_from(limit.as_micros()) {
        Ok(0) => ages.iter().map(|(_, count)| u64::from(*count)).sum(),
        Ok(limit_us) => older_than(ages, limit_us),
        Err(_) => 0,
    };
    older(least).saturating_sub(older(most))
}

/// Times the slowest answer of late.
const SLOWER: u32 = 3;
