//! `failsafe`: a moving average of successes, or failures in a row; half-open lets everyone through
//! until the first outcome.
//!
//! Invariant: as for the parent.

use std::time::Duration;

use ::failsafe::backoff::{EqualJittered, equal_jittered};
use ::failsafe::failure_policy::{
    ConsecutiveFailures, FailurePolicy, OrElse, SuccessRateOverTimeWindow, consecutive_failures,
    success_rate_over_time_window,
};
use ::failsafe::{Config, StateMachine};

use super::{Pace, Tuning};
use crate::bench::engine::replay::{Ended, Subject};

/// One of its breakers.
pub(in crate::bench::engine) type Breaker =
    StateMachine<OrElse<SuccessRateOverTimeWindow<Waits>, ConsecutiveFailures<Waits>>, ()>;

/// Open times: the library's own, which it counts in whole seconds, divided.
#[derive(Clone, Debug)]
pub(in crate::bench::engine) struct Waits {
    waits: EqualJittered,
    divisor: u32,
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.waits.next().map(|wait| wait / self.divisor)
    }
}

/// A breaker. Default: 80 % of the successes of 30 s after at least 5 calls, or 5 failures in a
/// row; open for 10 s to 5 min. Tuned: 50 % of 10 s, and 1 s to 1 min.
pub(in crate::bench::engine) fn breaker(tuning: Tuning, pace: Pace) -> Breaker {
    let second = Duration::from_secs(1);
    let (rate, window, waits) = match tuning {
        Tuning::Default => {
            let waits = equal_jittered(10 * second, 300 * second);
            (0.8, pace.seconds(30), Waits { waits, divisor: pace.0 })
        }
        Tuning::LikeOurs | Tuning::Runs => {
            let waits = equal_jittered(10 * second, 600 * second);
            (0.5, pace.seconds(10), Waits { waits, divisor: 10 * pace.0 })
        }
    };
    let rate = success_rate_over_time_window(rate, 5, window, waits.clone());
    Config::new().failure_policy(rate.or_else(consecutive_failures(5, waits))).build()
}

impl Subject for Breaker {
    type Ticket = ();

    fn ask(&mut self, _at_ns: u64) -> Option<()> {
        self.is_call_permitted().then_some(())
    }

    fn tell(&mut self, (): (), ended: &Ended) {
        if ended.is_ok { self.on_success() } else { self.on_error() }
    }
}
