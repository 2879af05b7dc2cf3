//! A change of state as a value: what the shell logs, counts and publishes, and tests compare.

use std::fmt;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::strategy::Reason;
use super::window::Summary;
use super::{CellId, Force, State};

/// Why a breaker changed state.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// A strategy tripped it.
    Trip(Reason),
    /// The open time has passed.
    OpenTimePassed,
    /// Enough probes ended well.
    ProbesSucceeded {
        /// How many did.
        successes: u64,
        /// How many were admitted.
        probes: u64,
    },
    /// Too many probes ended badly, or had no result in time.
    ProbesFailed {
        /// How many ended badly.
        failures: u64,
        /// How many had no result when the deadline came.
        unanswered: u64,
        /// How many were admitted.
        probes: u64,
    },
    /// Everything is admitted again.
    RampComplete,
    /// An operator's order.
    Forced(Force, Duration),
    /// The operator's order ended.
    ForceEnded,
    /// An operator wiped the breaker's memory.
    Reset,
}

/// The next state that time alone will bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The state.
    pub state: State,
    /// When.
    pub at: Monotonic,
}

/// A breaker changed state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Which breaker.
    pub cell: CellId,
    /// When.
    pub at: Monotonic,
    /// From this state.
    pub from: State,
    /// To this one.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// Trips the breaker remembers; each doubles the open time.
    pub level: u32,
    /// What time alone will bring next.
    pub next: Option<Next>,
    /// The evidence at that moment.
    pub window: Summary,
}

/// A transition before the engine has put its breaker's name to it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) at: Monotonic,
    pub(super) from: State,
    pub(super) to: State,
    pub(super) cause: Cause,
    pub(super) level: u32,
    pub(super) next: Option<Next>,
    pub(super) window: Summary,
}

impl Change {
    pub(super) fn of(self, cell: CellId) -> Transition {
        let Self { at, from, to, cause, level, next, window } = self;
        Transition { cell, at, from, to, cause, level, next, window }
    }
}

impl Cause {
    /// The kind of cause in JSON; a trip is named by its strategy.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Trip(reason) => reason.strategy(),
            Self::OpenTimePassed => "open_time_passed",
            Self::ProbesSucceeded { .. } => "probes_succeeded",
            Self::ProbesFailed { .. } => "probes_failed",
            Self::RampComplete => "ramp_complete",
            Self::Forced(..) => "forced",
            Self::ForceEnded => "force_ended",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trip(reason) => reason.fmt(f),
            Self::OpenTimePassed => f.write_str("the open time has passed; probing"),
            Self::ProbesSucceeded { successes, probes } => {
                write!(f, "{successes} of {probes} probes succeeded")
            }
            Self::ProbesFailed { failures, unanswered, probes } => {
                write!(f, "of {probes} probes {failures} failed and {unanswered} had no answer")
            }
            Self::RampComplete => f.write_str("all traffic is admitted again"),
            Self::Forced(Force::Open, ttl) => write!(f, "forced open by an operator for {ttl:?}"),
            Self::Forced(Force::Closed, ttl) => write!(f, "held closed by an operator for {ttl:?}"),
            Self::ForceEnded => f.write_str("the operator's override ended"),
            Self::Reset => f.write_str("reset by an operator"),
        }
    }
}
