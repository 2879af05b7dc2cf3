//! One endpoint against all of its service.

use shedder_common::time::Monotonic;

use super::super::peers::Peers;
use super::super::window::Windows;
use super::{Evidence, Measure, Reason, Strategy};

/// Far worse than the others.
pub(super) fn outlier(strategy: &Strategy, evidence: &Evidence<'_>) -> Option<Reason> {
    let &Strategy::Outlier { measure, deviations, times, floor, .. } = strategy else {
        return None;
    };
    let value = strategy.measure(evidence.windows, evidence.now)?;
    let &Peers { count, median, deviation } = evidence.peers?;
    if count < MIN_ENDPOINTS {
        return None;
    }
    let limit = (median + deviations * deviation).max(times * median).max(median + floor);
    (value > limit).then_some(Reason::Outlier { measure, value, median, limit, peers: count })
}

impl Strategy {
    /// What an endpoint is compared by: a share, or seconds; nothing for other strategies and
    /// where too little was seen.
    pub(in crate::engine) fn measure(&self, windows: &Windows, now: Monotonic) -> Option<f64> {
        let &Self::Outlier { measure, min_attempts, window, .. } = self else { return None };
        let window = windows.of(window);
        match measure {
            Measure::FailureShare => {
                let counts = window.counts(now);
                #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
                let share = counts.failures() as f64 / counts.attempts().max(1) as f64;
                (counts.attempts() >= min_attempts.max(1)).then_some(share)
            }
            Measure::Latency(signal, permille) => {
                let latencies = window.latencies(signal, now);
                let value = latencies.quantile_permille(permille)?;
                #[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 µs")]
                let seconds = value as f64 / 1e6;
                (latencies.samples >= min_attempts.max(1)).then_some(seconds)
            }
        }
    }
}

/// With fewer endpoints than this there is no telling who is odd.
const MIN_ENDPOINTS: usize = 3;
