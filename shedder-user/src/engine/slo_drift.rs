//! A latency threshold that follows a high quantile slowly, between an objective and a ceiling.

use std::time::Duration;

use shedder_common::time::Monotonic;

/// How the threshold follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftRule {
    /// The weight of the newest quantile, in `(0, 1]`.
    pub alpha: f64,
    /// The objective: the threshold is never less.
    pub objective: Duration,
    /// The threshold is never more than so many times the greatest latency of the window, unless
    /// that is less than the objective.
    pub ceiling: f64,
    /// How often the quantile is compared with what it was.
    pub recalibrate: Duration,
    /// The relative change that is no fault: one that is greater by the next comparison starts the
    /// threshold afresh, and a quantile may be over the threshold by so much.
    pub drift: f64,
}

impl Default for DriftRule {
    fn default() -> Self {
        Self {
            alpha: 0.2,
            objective: Duration::from_millis(200),
            ceiling: 1.5,
            recalibrate: Duration::from_mins(1),
            drift: 0.15,
        }
    }
}

/// The threshold of one breaker. Latencies are in any one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct SloDrift {
    smoothed: Option<f64>,
    /// The quantile when it was last compared, and when that was.
    compared: Option<(f64, Monotonic)>,
    followed: Option<Monotonic>,
}

impl SloDrift {
    /// What a quantile must not exceed now: the threshold, and the drift besides, because a
    /// threshold that follows lags behind every rise.
    pub(super) fn limit(&self, objective: f64, max: f64, rule: &DriftRule) -> Option<f64> {
        let threshold =
            self.smoothed.map(|smoothed| objective.max(smoothed.min(rule.ceiling * max)));
        threshold.map(|threshold| threshold * (1.0 + rule.drift))
    }

    /// Takes a quantile in; the threshold that follows from it and from the greatest latency:
    /// `max(objective, min(alpha · quantile + (1 - alpha) · before, ceiling · max))`.
    pub(super) fn follow(
        &mut self,
        quantile: f64,
        max: f64,
        objective: f64,
        rule: &DriftRule,
    ) -> f64 {
        let smoothed = match self.smoothed {
            None => quantile,
            Some(before) => rule.alpha * quantile + (1.0 - rule.alpha) * before,
        };
        self.smoothed = Some(smoothed);
        objective.max(smoothed.min(rule.ceiling * max))
    }

    /// Whether it is time to follow again: at most once in each second.
    pub(super) fn is_due(&mut self, now: Monotonic) -> bool {
        let is_due = self.followed.is_none_or(|followed| now.since(followed) >= PERIOD);
        if is_due {
            self.followed = Some(now);
        }
        is_due
    }

    /// Starts afresh from `quantile` when it has moved by more than the drift since the last
    /// comparison; whether it did.
    pub(super) fn recalibrate(&mut self, quantile: f64, rule: &DriftRule, now: Monotonic) -> bool {
        let Some((before, at)) = self.compared else {
            self.compared = Some((quantile, now));
            return false;
        };
        if now.since(at) < rule.recalibrate {
            return false;
        }
        self.compared = Some((quantile, now));
        let has_drifted = before > 0.0 && (quantile - before).abs() / before > rule.drift;
        if has_drifted {
            self.smoothed = Some(quantile);
        }
        has_drifted
    }
}

const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// AT-27: by exact rational arithmetic, with alpha 0.2, objective 200 and ceiling 1.5.
    #[test]
    fn the_threshold_follows_its_golden_vectors() {
        let golden = [
            (180.0, 200.0, 200.0),
            (210.0, 260.0, 200.0),
            (250.0, 300.0, 200.0),
            (900.0, 1000.0, 339.04),
            (120.0, 150.0, 225.0),
            (119.0, 121.0, 200.0),
            (500.0, 520.0, 307.98848),
            (500.0, 505.0, 346.390_784),
            (480.0, 500.0, 373.112_627_2),
            (1000.0, 1000.0, 498.490_101_76),
            (1500.0, 4000.0, 698.792_081_408),
            (90.0, 95.0, 200.0),
            (200.0, 210.0, 315.0),
        ];
        let mut drift = SloDrift::default();
        for (step, (quantile, max, expected)) in golden.into_iter().enumerate() {
            let threshold = drift.follow(quantile, max, 200.0, &DriftRule::default());
            assert!((threshold - expected).abs() < 1e-9, "step {step}: {threshold}");
        }
    }

    /// S3.22: two breakers do not share a threshold.
    #[test]
    fn each_has_its_own() {
        let (mut one, mut other) = (SloDrift::default(), SloDrift::default());
        let rule = DriftRule::default();
        one.follow(900.0, 900.0, 200.0, &rule);
        let fresh = other.follow(300.0, 900.0, 200.0, &rule);
        assert!((fresh - 300.0).abs() < 1e-9);
    }

    /// The greatest latency caps it, and a drift comes on top.
    #[test]
    fn the_limit_is_the_threshold_and_the_drift() {
        let rule = DriftRule::default();
        let mut drift = SloDrift::default();
        assert_eq!(drift.limit(200.0, 180.0, &rule), None);
        drift.follow(300.0, 900.0, 200.0, &rule);
        let limits = [180.0, 100.0].map(|max| drift.limit(200.0, max, &rule));
        let near = |limit: Option<f64>, wanted: f64| (limit.unwrap() - wanted).abs() < 1e-9;
        assert!(near(limits[0], 270.0 * 1.15) && near(limits[1], 200.0 * 1.15), "{limits:?}");
    }

    #[test]
    fn from_nothing_nothing_drifts() {
        let rule = DriftRule::default();
        let at = |minutes| Monotonic::default().plus(rule.recalibrate * minutes);
        let mut drift = SloDrift::default();
        assert!(!drift.recalibrate(0.0, &rule, at(0)));
        assert!(!drift.recalibrate(5.0, &rule, at(1)));
        assert!(drift.recalibrate(9.0, &rule, at(2)));
    }

    #[test]
    fn it_follows_once_a_second() {
        let mut drift = SloDrift::default();
        let at = |milliseconds: u64| Monotonic::from_nanos(milliseconds * 1_000_000);
        let is_due = [0, 999, 1_000, 1_999, 2_000].map(|time| drift.is_due(at(time)));
        assert_eq!(is_due, [true, false, true, false, true]);
    }

    /// S3.24: a change of more than 15 % within a minute starts afresh.
    #[test]
    fn a_drift_recalibrates() {
        let at = |seconds: u64| Monotonic::from_nanos(seconds * 1_000_000_000);
        let rule = DriftRule::default();
        let mut drift = SloDrift::default();
        drift.follow(300.0, 1000.0, 200.0, &rule);
        assert!(!drift.recalibrate(300.0, &rule, at(0)));
        assert!(!drift.recalibrate(900.0, &rule, at(59)));
        assert!(!drift.recalibrate(340.0, &rule, at(60)));
        assert!(drift.recalibrate(400.0, &rule, at(120)));
        let limit = drift.limit(200.0, 1000.0, &rule);
        assert!(limit.is_some_and(|limit| (limit - 460.0).abs() < 1e-9));
    }
}
