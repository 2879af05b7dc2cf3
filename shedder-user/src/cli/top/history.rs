//! What one breaker did at the last looks.
//!
//! Invariant: at most [`KEPT`] looks are kept, the oldest first.

use std::collections::VecDeque;
use std::time::Duration;

use crate::api::model::{Breaker, Outcomes};

/// One value for each look.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Connects a second.
    pub(super) connects: VecDeque<f64>,
    /// Failures a second.
    pub(super) failures: VecDeque<f64>,
    /// 99th percentile of the response times, microseconds; zero where there was none.
    pub(super) p99: VecDeque<f64>,
    failed: Option<u64>,
}

impl History {
    /// Adds a look, so long after the last one.
    pub(super) fn push(&mut self, breaker: &Breaker, after: Duration) {
        let failed = failed(&breaker.outcomes);
        let seconds = after.as_secs_f64();
        let new = self.failed.map_or(0, |before| failed.saturating_sub(before));
        self.failed = Some(failed);
        keep(&mut self.connects, breaker.connects_per_second);
        keep(&mut self.failures, if seconds > 0.0 { approximate(new) / seconds } else { 0.0 });
        keep(&mut self.p99, approximate(breaker.window.p99_us.unwrap_or(0)));
    }
}

/// Outcomes that were failures.
pub(super) const fn failed(outcomes: &Outcomes) -> u64 {
    let Outcomes { refused, timed_out, unreachable, reset, hung_up, errored, .. } = outcomes;
    *refused + *timed_out + *unreachable + *reset + *hung_up + *errored
}

fn keep(values: &mut VecDeque<f64>, value: f64) {
    if values.len() == KEPT {
        values.pop_front();
    }
    values.push_back(value);
}

#[expect(clippy::cast_precision_loss, reason = "only drawn")]
const fn approximate(value: u64) -> f64 {
    value as f64
}

/// As many as the widest screen shows.
const KEPT: usize = 240;
