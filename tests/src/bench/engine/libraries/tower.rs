//! `tower-resilience-circuitbreaker`: a share of failures or of slow calls; half-open admits exactly so
//! many, all of which must succeed.
//!
//! Invariant: as for the parent.

use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result};
use tower_resilience_circuitbreaker::{
    CircuitBreaker, CircuitBreakerError, CircuitBreakerLayer, DefaultClassifier, SlidingWindowType,
};
use tower_service::Service;

use super::pending::{Ending, Pending};
use super::{Pace, Tuning};
use crate::bench::engine::policy::SLOW;
use crate::bench::engine::replay::{Ended, Subject};

/// One of its breakers.
pub(in crate::bench::engine) type Breaker = CircuitBreaker<Endpoint, DefaultClassifier>;

/// What is guarded: a call ends as it is told to.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench::engine) struct Endpoint;

/// A breaker. Default: half of all calls since it closed, at least 100, open for 30 s, one probe.
/// Tuned: half of at least 5 calls of 10 s failed or slow, open for 1 s, three probes. It knows
/// either a share or a run of failures, which is the third tuning, and no growing open time.
pub(in crate::bench::engine) fn breaker(tuning: Tuning, pace: Pace) -> Result<Breaker> {
    let builder = CircuitBreakerLayer::builder();
    let builder = match tuning {
        Tuning::Default => builder.wait_duration_in_open(pace.seconds(30)),
        Tuning::LikeOurs | Tuning::Runs => builder
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(pace.seconds(10))
            .minimum_number_of_calls(5)
            .failure_rate_threshold(0.5)
            .slow_call_duration_threshold(pace.of(SLOW))
            .slow_call_rate_threshold(0.5)
            .wait_duration_in_open(pace.seconds(1))
            .permitted_calls_in_half_open(3),
    };
    let builder = if tuning == Tuning::Runs { builder.consecutive_failures(5) } else { builder };
    let layer = builder.build().context("tower-resilience refuses its configuration")?;
    Ok(layer.layer_fn(Endpoint))
}

/// One call of which the outcome is known, as fast as it goes; whether it was let through.
pub(in crate::bench::engine) fn call(breaker: &mut Breaker, is_ok: bool) -> bool {
    let mut ctx = Context::from_waker(Waker::noop());
    if Service::<Ending>::poll_ready(breaker, &mut ctx).is_pending() {
        return false;
    }
    let mut call = breaker.call(Ending::known(is_ok));
    matches!(
        call.as_mut().poll(&mut ctx),
        Poll::Ready(Ok(()) | Err(CircuitBreakerError::Inner(())))
    )
}

impl Service<Ending> for Endpoint {
    type Response = ();
    type Error = ();
    type Future = Ending;

    fn poll_ready(&mut self, _ctx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ending: Ending) -> Ending {
        ending
    }
}

impl Subject for Breaker {
    type Ticket = Pending;

    fn ask(&mut self, _at_ns: u64) -> Option<Pending> {
        let mut ctx = Context::from_waker(Waker::noop());
        if Service::<Ending>::poll_ready(self, &mut ctx).is_pending() {
            return None;
        }
        Pending::begin(|ending| {
            let call = self.call(ending);
            async { matches!(call.await, Err(CircuitBreakerError::OpenCircuit)) }
        })
    }

    fn tell(&mut self, ticket: Pending, ended: &Ended) {
        ticket.end(ended.is_ok);
    }
}
