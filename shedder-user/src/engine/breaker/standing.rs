//! What others need to know of a breaker to tell how far a fault reaches.

use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::super::policy::Policy;
use super::super::strategy::Strategy;
use super::{Breaker, Stage};

impl Breaker {
    pub(in crate::engine) const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// How bad the reason of the last trip was.
    pub(in crate::engine) fn severity(&self) -> f64 {
        self.severity.into()
    }

    /// Whether it was called within `span`, or is not closed.
    pub(in crate::engine) fn is_in_use(&self, span: Duration, now: Monotonic) -> bool {
        !matches!(self.stage, Stage::Closed)
            || self.last_traffic.is_some_and(|at| now.since(at) <= span)
    }

    /// Whether it has seen enough to know that the endpoint serves it well.
    pub(in crate::engine) fn is_served_well(&self, now: Monotonic) -> bool {
        let counts = self.windows.longest().counts(now);
        matches!(self.stage, Stage::Closed) && counts.successes >= WELL_SERVED && counts.is_well()
    }

    /// The rule by which the endpoints of the service are compared, and this one's measure.
    pub(in crate::engine) fn outlier_rule(&self) -> Option<&Strategy> {
        let is_outlier = |strategy: &Strategy| matches!(strategy, Strategy::Outlier { .. });
        self.policy.trip.iter().find_map(|trip| trip.rule.find(is_outlier))
    }

    pub(in crate::engine) fn measure(&self, now: Monotonic) -> Option<f64> {
        self.outlier_rule().and_then(|rule| rule.measure(&self.windows, now))
    }

    /// Whether an alarm may be raised: the last one was long ago.
    pub(in crate::engine) fn may_alarm(&mut self, now: Monotonic) -> bool {
        let may = self.last_alarm.is_none_or(|last| now.since(last) >= ALARM_PAUSE);
        if may {
            self.last_alarm = Some(now);
        }
        may
    }
}

/// Successes that show that an endpoint serves a caller.
const WELL_SERVED: u64 = 4;
/// An alarm that goes on is repeated this often.
const ALARM_PAUSE: Duration = Duration::from_mins(5);
