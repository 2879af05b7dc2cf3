//! States as spans tell them.
//!
//! Invariant: a word, once here, keeps its meaning; people search for it.

use crate::engine::State;

/// How much is shed, in order.
pub(super) const fn severity(state: State) -> u8 {
    match state {
        State::Closed | State::Observe | State::ForcedClosed => 0,
        State::Recovering => 1,
        State::Throttled => 2,
        State::HalfOpen => 3,
        State::Open | State::ForcedOpen => 4,
    }
}

/// As an attribute.
pub(super) const fn shouted(state: State) -> &'static str {
    match state {
        State::Observe => "OBSERVE",
        State::Closed => "CLOSED",
        State::Throttled => "THROTTLED",
        State::Open => "OPEN",
        State::HalfOpen => "HALF_OPEN",
        State::Recovering => "RECOVERING",
        State::ForcedOpen => "FORCED_OPEN",
        State::ForcedClosed => "FORCED_CLOSED",
    }
}

/// What is known of the endpoint: an operator's order says nothing against it.
pub(super) const fn health(state: State) -> &'static str {
    match state {
        State::Observe | State::Closed | State::ForcedClosed => "HEALTHY",
        State::Throttled | State::Open | State::HalfOpen | State::Recovering => "UNHEALTHY",
        State::ForcedOpen => "DRAINING",
    }
}

/// The event that begins it.
pub(super) const fn event(state: State) -> &'static str {
    match state {
        State::Observe => "CIRCUIT_OBSERVED",
        State::Closed => "CIRCUIT_CLOSED",
        State::Throttled => "CIRCUIT_THROTTLED",
        State::Open => "CIRCUIT_OPENED",
        State::HalfOpen => "CIRCUIT_HALF_OPENED",
        State::Recovering => "CIRCUIT_RECOVERING",
        State::ForcedOpen => "CIRCUIT_FORCED_OPEN",
        State::ForcedClosed => "CIRCUIT_FORCED_CLOSED",
    }
}
