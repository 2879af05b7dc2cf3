//! What a trial amounts to.
//!
//! Invariant: all of it is what callers and backends saw; nothing is asked of the guard.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::play::{STEP, Seen};
use super::rows::Row;
use crate::bench::peers::generator::{Call, Fate};
use crate::bench::peers::guard::Guard;
use crate::statistics::{figure, percentile};

/// One fault under one guard.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(in super::super) struct Trial {
    /// Which fault.
    pub(in super::super) row: String,
    /// Which guard.
    pub(in super::super) guard: Guard,
    /// Calls that became due.
    pub(super) calls: u64,
    /// Those that ended without an answer.
    pub(super) failed: u64,
    /// Those that were answered after more than [`SLOW_NS`].
    pub(super) slow: u64,
    /// Those that failed while nothing was wrong.
    pub(super) failed_in_health: u64,
    /// Seconds from the beginning of the fault to the first stretch without a bad call; none where there
    /// was no such stretch before it ended.
    pub(super) shed_after_s: Option<f64>,
    /// Seconds from the end of the fault until those who were ill answer nine tenths of their share; none
    /// where they did not.
    pub(super) recovered_after_s: Option<f64>,
    /// The most by which their traffic rose from one second to the next after that, as a part of their share.
    pub(super) largest_rise: f64,
    /// Of all calls, in milliseconds.
    pub(super) p50_ms: f64,
    /// Of all calls, in milliseconds.
    pub(super) p99_ms: f64,
    /// How the calls ended.
    pub(super) ends: BTreeMap<String, u64>,
    /// Bad calls, by the second in which they were due.
    pub(super) bad_each_second: Vec<u64>,
    /// What those who fall ill answered in each second, as a part of their share.
    pub(super) share_each_second: Vec<f64>,
}

/// Sums a trial up.
pub(super) fn score(guard: Guard, row: &Row, seen: &Seen) -> Trial {
    let calls = &seen.calls;
    let count = |wanted: &dyn Fn(&Call) -> bool| {
        u64::try_from(calls.iter().filter(|call| wanted(call)).count()).unwrap_or(u64::MAX)
    };
    let mut took: Vec<u64> = calls.iter().map(|call| call.took_ns).collect();
    took.sort_unstable();
    let millis = |percent| figure(percentile(&took, percent).unwrap_or_default()) / 1e6;
    let (from, until) = row.fault;
    let mut ends = BTreeMap::new();
    for call in calls {
        *ends.entry(format!("{:?}", call.fate)).or_default() += 1;
    }
    let share = share_each_second(row, &seen.answered);
    Trial {
        row: row.id.to_owned(),
        guard,
        calls: count(&|_| true),
        failed: count(&|call| call.fate != Fate::Answered),
        slow: count(&is_slow),
        failed_in_health: count(&|call| {
            let due = seconds(call.due_us);
            call.fate != Fate::Answered && (due < from - SLACK_S || due >= until + SLACK_S)
        }),
        shed_after_s: shed_after(row, calls),
        recovered_after_s: recovered_after(&share, until),
        largest_rise: largest_rise(&share, until),
        p50_ms: millis(50),
        p99_ms: millis(99),
        ends,
        bad_each_second: bad_each_second(row, calls),
        share_each_second: share,
    }
}

/// The first moment of the fault from which on no call was bad for as long as the row demands.
fn shed_after(row: &Row, calls: &[Call]) -> Option<f64> {
    let (from, until) = row.fault;
    let mut bad: Vec<f64> =
        calls.iter().filter(|call| is_bad(call)).map(|it| seconds(it.due_us)).collect();
    bad.retain(|due| (from - SLACK_S..until).contains(due));
    bad.sort_by(f64::total_cmp);
    let Some(first) = bad.first().copied() else { return Some(0.0) };
    let ends = bad.iter().copied().skip(1).chain([until]);
    let mut last = first;
    for next in ends {
        if next - last >= row.calm {
            return Some((last - from).max(0.0));
        }
        last = next;
    }
    None
}

fn bad_each_second(row: &Row, calls: &[Call]) -> Vec<u64> {
    let mut bad = vec![0; whole(row.seconds)];
    for call in calls.iter().filter(|call| is_bad(call)) {
        if let Some(count) = bad.get_mut(whole(seconds(call.due_us))) {
            *count += 1;
        }
    }
    bad
}

/// A second at a time; the share is what the rate gives to so many of the backends.
fn share_each_second(row: &Row, answered: &[u64]) -> Vec<f64> {
    let fair = row.rate * f64::from(row.ill) / f64::from(row.backends);
    let steps = usize::try_from(1000 / STEP.as_millis()).unwrap_or(1);
    let seconds: Vec<u64> = answered.iter().copied().step_by(steps).collect();
    if fair <= 0.0 {
        return Vec::new();
    }
    seconds.windows(2).map(|two| figure(two[1].saturating_sub(two[0])) / fair).collect()
}

fn recovered_after(share: &[f64], until: f64) -> Option<f64> {
    let after = share.iter().skip(whole(until));
    let seconds = after.take_while(|share| **share < ENOUGH).count();
    (whole(until) + seconds < share.len()).then(|| figure(u64::try_from(seconds).unwrap_or(0)))
}

fn largest_rise(share: &[f64], until: f64) -> f64 {
    let from = whole(until).saturating_sub(1);
    let rises = share.get(from..).unwrap_or_default().windows(2).map(|two| two[1] - two[0]);
    rises.fold(0.0, f64::max)
}

fn is_bad(call: &Call) -> bool {
    call.fate != Fate::Answered || is_slow(call)
}

fn is_slow(call: &Call) -> bool {
    call.fate == Fate::Answered && call.took_ns > SLOW_NS
}

fn seconds(microseconds: u64) -> f64 {
    figure(microseconds) / 1e6
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a trial, of which there are few"
)]
const fn whole(seconds: f64) -> usize {
    seconds as usize
}

/// An answer later than this is slow.
pub(super) const SLOW_NS: u64 = 500_000_000;
/// How exactly the script is followed.
const SLACK_S: f64 = 0.1;
/// Nine tenths: a share is never met exactly.
const ENOUGH: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    fn call(due_us: u64, fate: Fate) -> Call {
        Call { due_us, took_ns: 1_000_000, fate, attempts: 1 }
    }

    /// Each tenth of a second a call; those due within the times given fail.
    fn calls(failing: &[(u64, u64)]) -> Vec<Call> {
        let fails = |due: u64| failing.iter().any(|(from, until)| (*from..*until).contains(&due));
        (0..350_u64)
            .map(|number| number * 100)
            .map(|ms| call(ms * 1000, if fails(ms) { Fate::Lost(104) } else { Fate::Answered }))
            .collect()
    }

    #[test]
    fn a_fault_is_shed_with_its_last_bad_call_before_a_calm() {
        let row = &ROWS[0];
        assert_eq!(shed_after(row, &calls(&[])), Some(0.0), "nothing was seen of it");
        assert_eq!(shed_after(row, &calls(&[(3000, 4000)])), Some(3.9 - 3.0));
        assert_eq!(shed_after(row, &calls(&[(3000, 15_000)])), None);
    }

    #[test]
    fn what_fails_outside_the_fault_is_counted_apart() {
        let seen = Seen {
            calls: calls(&[(1000, 1300), (3000, 4000), (20_000, 20_200)]),
            answered: (0..=350).map(|step| step * 2).collect(),
        };
        let trial = score(Guard::None, &ROWS[0], &seen);
        assert_eq!((trial.failed, trial.failed_in_health, trial.slow), (15, 5, 0));
        assert_eq!(trial.bad_each_second[3], 10);
        assert_eq!(trial.recovered_after_s, Some(0.0), "it always had its share");
    }

    #[test]
    fn a_recovery_has_an_end_and_a_largest_rise() {
        let share = [1.0, 0.0, 0.0, 0.1, 0.5, 0.95, 1.0];
        assert_eq!(recovered_after(&share, 2.0), Some(3.0));
        assert!((largest_rise(&share, 2.0) - 0.45).abs() < 1e-9);
        assert_eq!(recovered_after(&[1.0, 0.0, 0.2], 1.0), None);
    }
}
