//! The policy everything is measured with: the product's default, and a rule for slow answers.
//!
//! Invariant: it says nothing about the machine, so figures of different machines compare.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use shedder_common::errno::Errno;
use shedder_user::engine::{
    Admission, Established, Growth, HalfOpenRule, Limit, Lone, Mode, OnFailure, OpenRule, Policy,
    RampRule, Rule, SafetyRule, ScopeRule, ShedAction, Signal, Span, Strategy, ThrottleRule,
    TripRule,
};

/// Five failures in a row; half of the outcomes of ten seconds, with confidence; half of the
/// answers of ten seconds over [`SLOW`], with confidence.
pub(super) fn policy() -> Result<Arc<Policy>> {
    let strategies = [
        Strategy::Consecutive { failures: 5 },
        Strategy::FailureShare {
            at_least: 0.5,
            strictly: false,
            z: Z_95,
            min_attempts: 1,
            min_failures: 1,
            window: TEN_SECONDS,
            shrunk: None,
        },
        Strategy::SlowShare {
            signal: Signal::Response,
            over: Limit::Fixed(SLOW),
            at_least: 0.5,
            z: Z_95,
            min_samples: 5,
            window: TEN_SECONDS,
        },
    ];
    let policy = Policy {
        name: "bench".to_owned(),
        generation: 1,
        mode: Mode::Enforce,
        enforce_percent: 100,
        trip: strategies.map(|strategy| TripRule::opens(Rule::One(strategy))).into(),
        shed: ShedAction::Deny(Errno::ConnectionRefused),
        delay_jitter_ms: 0,
        established: Established::Keep,
        open: OpenRule {
            base: Duration::from_secs(1),
            max: Duration::from_mins(1),
            growth: Growth::Exponential(2.0),
            jitter_permille: 500,
        },
        half_open: HalfOpenRule {
            admission: Admission::Tokens(3),
            successes: 2,
            on_failure: OnFailure::Reopen,
            refill: None,
            gate: None,
            deadline: Duration::from_secs(5),
        },
        ramp: RampRule {
            duration: Duration::from_secs(10),
            start_permille: 100,
            freeze_permille: 200,
            reopen_permille: 500,
        },
        throttle: ThrottleRule {
            multiplier: 2.0,
            window: Duration::from_secs(30),
            max_shed_permille: 900,
            calm: Duration::from_secs(10),
        },
        safety: SafetyRule {
            max_open_percent: 100,
            lone: Lone::Open,
            panic_percent: None,
            scope: ScopeRule::Endpoint,
            false_refusals_permille: None,
        },
        caller_timeout: CALLER_TIMEOUT,
        turns_to_skip: 0,
        answers: true,
    };
    Ok(Arc::new(policy.try_new().context("the policy of the bench is invalid")?))
}

/// An answer that takes longer is slow.
pub(super) const SLOW: Duration = Duration::from_millis(500);
/// A call given up after at least this long has timed out.
pub(super) const CALLER_TIMEOUT: Duration = Duration::from_secs(1);
const TEN_SECONDS: Span = Span::Time(Duration::from_secs(10));
/// Standard deviations of a two-sided confidence of 95 %.
const Z_95: f64 = 1.96;
