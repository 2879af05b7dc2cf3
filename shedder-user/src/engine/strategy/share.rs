//! Strategies about counts: runs, shares and rates.

use super::super::window::Span;
use super::late::{late, late_in_a_row};
use super::{Evidence, Reason, Remembered, Strategy};

/// Failures in a row.
pub(super) fn consecutive(limit: u32, evidence: &Evidence<'_>) -> Option<Reason> {
    let sample = evidence.sample;
    let run = sample.failure_run.saturating_add(late_in_a_row(evidence));
    // A run that reached the limit may have ended between two looks.
    let failures = if sample.failure_bursts > 0 { run.max(limit.into()) } else { run };
    let needed = if evidence.is_alert { limit.div_ceil(2).max(2).min(limit) } else { limit };
    let is_run = failures >= u64::from(needed) && !is_chance(failures, evidence);
    is_run.then_some(Reason::Consecutive { failures, limit: needed })
}

/// Whether so many attempts with such a share of failures would have such a run by chance.
///
/// Of a million connects that fail at random once in ten, nine runs of five are expected. Where
/// there are many attempts the run must be long enough to mean something, or the share decides.
fn is_chance(failures: u64, evidence: &Evidence<'_>) -> bool {
    let counts = evidence.windows.longest().counts(evidence.now);
    if counts.attempts() < MANY_ATTEMPTS {
        return false;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let (attempts, failed, run) =
        (counts.attempts() as f64, counts.failures() as f64, failures as f64);
    attempts * (failed / attempts).powf(run) > CHANCE
}

/// Too large a share of failures.
pub(super) fn failure_share(strategy: &Strategy, evidence: &Evidence<'_>) -> Option<Reason> {
    let &Strategy::FailureShare {
        at_least,
        strictly,
        z,
        min_attempts,
        min_failures,
        window,
        shrunk,
    } = strategy
    else {
        return None;
    };
    let window = shrunk.filter(|_| evidence.level >= SHRINK_LEVEL).unwrap_or(window);
    let held = evidence.windows.of(window);
    let late = late(evidence);
    // With confidence instead of a minimum, little traffic is judged by what there is.
    let counts =
        if z > 0.0 { held.stretched_counts(late, evidence.now) } else { held.counts(evidence.now) };
    let (failures, attempts) =
        (counts.failures().saturating_add(late), counts.attempts().saturating_add(late));
    let bound = lower_bound(failures, attempts, z, evidence.is_alert);
    let is_enough =
        attempts >= evidence.enough(min_attempts) && failures >= evidence.enough(min_failures);
    let is_over = if strictly { bound > at_least } else { bound >= at_least };
    (is_enough && is_over).then_some(Reason::FailureShare {
        failures,
        attempts,
        bound,
        at_least,
        z,
        window,
    })
}

/// Too many segments sent again.
pub(super) fn retransmit_share(strategy: &Strategy, evidence: &Evidence<'_>) -> Option<Reason> {
    let &Strategy::RetransmitShare { over, min_segments, window } = strategy else { return None };
    let counts = evidence.windows.of(window).counts(evidence.now);
    let (retransmits, segments) = (counts.retransmits, counts.segments);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let share = if segments == 0 { 0.0 } else { retransmits as f64 / segments as f64 };
    (segments >= evidence.enough(min_segments) && share > over).then_some(Reason::RetransmitShare {
        retransmits,
        segments,
        over,
        window,
    })
}

/// Failures far more often than usual.
pub(super) fn surge(
    strategy: &Strategy,
    evidence: &Evidence<'_>,
    memory: &mut Remembered,
) -> Option<Reason> {
    let &Strategy::Surge { times, min_failures, learn, window } = strategy else { return None };
    let counts = evidence.windows.of(window).counts(evidence.now);
    let failures = counts.failures();
    let Span::Time(span) = window else { return None };
    let seconds = span.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let rate = failures as f64 / seconds.max(f64::MIN_POSITIVE);
    let baseline = memory.baseline(evidence.now);
    let usual = baseline.usual(&learn, evidence.now);
    let is_surge = usual.is_some_and(|usual| rate >= usual * times);
    if evidence.is_healthy() && !(is_surge && failures > 0) {
        baseline.learn(rate, evidence.sample.counts.attempts(), &learn, evidence.now);
    }
    let usual = usual.filter(|_| is_surge && failures >= evidence.enough(min_failures).max(1))?;
    Some(Reason::Surge { failures, per_second: rate, usual_per_second: usual, times, window })
}

impl Evidence<'_> {
    /// The least sample, halved while traffic returns, and never none.
    pub(super) const fn enough(&self, least: u64) -> u64 {
        let needed = if self.is_alert { least.div_ceil(2) } else { least };
        if needed == 0 { 1 } else { needed }
    }
}

/// [`wilson_lower_bound`], where half the evidence is enough if `is_alert`.
pub(super) fn lower_bound(failures: u64, attempts: u64, z: f64, is_alert: bool) -> f64 {
    let z = if is_alert { z * std::f64::consts::FRAC_1_SQRT_2 } else { z };
    wilson_lower_bound(failures, attempts, z)
}

/// The lower end of the Wilson score interval of `failures` among `attempts`, `z` standard
/// deviations wide; the plain share when `z` is zero, and zero without attempts.
///
/// With z = 1.96 four failures of four reach 0.5 and three of three do not, so the rule neither
/// fires on a pair of unlucky calls nor waits for a hundred.
pub(in crate::engine) fn wilson_lower_bound(failures: u64, attempts: u64, z: f64) -> f64 {
    if attempts == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let (failures, attempts) = (failures as f64, attempts as f64);
    let share = failures / attempts;
    let z2 = z * z;
    let centre = share + z2 / (2.0 * attempts);
    let spread = z * ((share * (1.0 - share) + z2 / (4.0 * attempts)) / attempts).max(0.0).sqrt();
    ((centre - spread) / (1.0 + z2 / attempts)).clamp(0.0, 1.0)
}

/// From here on a run must be too long for chance.
pub(in crate::engine) const MANY_ATTEMPTS: u64 = 1_000;
/// Runs expected by chance in the window from which on one says nothing.
const CHANCE: f64 = 0.01;
/// Trips remembered from which on the shrunk window is looked at.
const SHRINK_LEVEL: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wilson_bound_replaces_a_minimum_sample() {
        let bound = |failures, attempts| wilson_lower_bound(failures, attempts, 1.96);
        assert!(bound(4, 4) >= 0.5, "{}", bound(4, 4));
        assert!(bound(3, 3) < 0.5, "{}", bound(3, 3));
        assert!(bound(9, 11) >= 0.5, "{}", bound(9, 11));
        assert!(bound(60, 100) >= 0.5, "{}", bound(60, 100));
        assert!(bound(52, 100) < 0.5, "{}", bound(52, 100));
    }

    #[test]
    fn the_bound_is_that_of_the_score_interval() {
        let bound = wilson_lower_bound(8, 10, 1.96);
        // (0.8 + 0.19208 - 1.96 · √0.025604) / 1.38416
        assert!((bound - 0.490_157).abs() < 1e-6, "{bound}");
    }

    #[test]
    fn alert_half_the_evidence_is_enough() {
        assert!(lower_bound(2, 2, 1.96, true) >= 0.5);
        assert!(lower_bound(2, 2, 1.96, false) < 0.5);
        assert!(lower_bound(1, 1, 1.96, true) < 0.5);
    }

    #[test]
    fn without_confidence_the_bound_is_the_share() {
        assert!((wilson_lower_bound(1, 4, 0.0) - 0.25).abs() < 1e-12);
        assert!(wilson_lower_bound(0, 0, 1.96).abs() < 1e-12);
    }
}
