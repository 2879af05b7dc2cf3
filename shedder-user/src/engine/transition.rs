//! A change of state as a value: what the shell logs, counts and publishes, and tests compare.

use std::fmt;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::strategy::{Reason, time};
use super::window::Summary;
use super::{CellId, Force, State};

/// Why a breaker changed state.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// A rule held.
    Trip(Reason),
    /// Other callers of the endpoint tripped, and this one has seen nothing to the contrary.
    Endpoint {
        /// How many did.
        callers: u32,
        /// Why the last of them did.
        reason: Reason,
    },
    /// Another endpoint of the service is worse, and only so many may be open.
    Yielded,
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
    /// The probes ended well, but too slowly.
    ProbesSlow {
        /// The quantile looked at, in thousandths.
        quantile_permille: u16,
        /// What it was.
        value: Duration,
        /// What it may be at most.
        at_most: Duration,
    },
    /// Too much went wrong while traffic returned.
    RampFailed {
        /// Outcomes that failed.
        failures: u64,
        /// All outcomes.
        attempts: u64,
    },
    /// Everything is admitted again.
    RampComplete,
    /// A throttled endpoint has served well for long enough.
    Calm(Duration),
    /// An operator's order.
    Forced(Force, Duration),
    /// The operator's order ended.
    ForceEnded,
    /// An operator wiped the breaker's memory.
    Reset,
    /// What an earlier daemon said.
    Earlier(Box<str>),
}

/// How far a trip reaches, and by what evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nobody else calls the endpoint.
    OnlyCaller,
    /// Others call it and are served well: the fault is this caller's.
    Cell {
        /// How many.
        fine: u32,
    },
    /// Several callers see it fail.
    Endpoint {
        /// How many, this one included.
        callers: u32,
    },
}

/// Why a breaker that would open only throttles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restraint {
    /// Its rule asks for no more.
    Rule,
    /// No other endpoint of the service is in use.
    Lone,
    /// So many endpoints of the service are open already.
    Cap {
        /// How many.
        open: u32,
        /// Of how many in use.
        active: u32,
        /// The cap, in percent.
        percent: u8,
    },
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
    /// What changed.
    pub change: Change,
}

/// A change of state and everything that explains it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When.
    pub at: Monotonic,
    /// From this state.
    pub from: State,
    /// To this one.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// For a trip: how far it reaches.
    pub scope: Option<Scope>,
    /// For a trip that only throttles: why it does not open.
    pub restraint: Option<Restraint>,
    /// Trips the breaker remembers.
    pub level: u32,
    /// Whether it changes back and forth, so that it is kept open for longer.
    pub is_flapping: bool,
    /// What time alone will bring next.
    pub next: Option<Next>,
    /// The evidence at that moment.
    pub window: Summary,
    /// The generation of the policy that decided.
    pub generation: u32,
}

impl Change {
    pub(super) const fn of(self, cell: CellId) -> Transition {
        Transition { cell, change: self }
    }
}

impl Cause {
    /// The rule that held, for a trip.
    pub const fn reason(&self) -> Option<&Reason> {
        if let Self::Trip(reason) | Self::Endpoint { reason, .. } = self {
            Some(reason)
        } else {
            None
        }
    }

    /// The kind of cause in JSON; a trip is named by its strategy.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Trip(reason) | Self::Endpoint { reason, .. } => reason.strategy(),
            Self::Yielded => "yielded",
            Self::OpenTimePassed => "open_time_passed",
            Self::ProbesSucceeded { .. } => "probes_succeeded",
            Self::ProbesFailed { .. } => "probes_failed",
            Self::ProbesSlow { .. } => "probes_slow",
            Self::RampFailed { .. } => "ramp_failed",
            Self::RampComplete => "ramp_complete",
            Self::Calm(_) => "calm",
            Self::Forced(..) => "forced",
            Self::ForceEnded => "force_ended",
            Self::Reset => "reset",
            Self::Earlier(_) => "earlier",
        }
    }
}

/// One sentence without the names, which the shell knows: what happens now, why, how far it
/// reaches and what comes next.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}, because {}", self.from, self.to, self.cause)?;
        if let Some(scope) = self.scope.filter(|scope| *scope != Scope::OnlyCaller) {
            write!(f, "; {scope}")?;
        }
        if let Some(restraint) = self.restraint {
            write!(f, "; {restraint}")?;
        }
        if self.is_flapping {
            f.write_str("; it keeps changing, so it stays open for longer")?;
        }
        if let Some(next) = self.next {
            let wait = next.at.since(self.at);
            write!(f, "; {} in {}", next.state, time(wait))?;
        }
        Ok(())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Nothing that needs saying.
            Self::OnlyCaller => Ok(()),
            Self::Cell { fine: 1 } => {
                f.write_str("its other caller is served well, so only this one is affected")
            }
            Self::Cell { fine } => {
                write!(f, "its {fine} other callers are served well, so only this one is affected")
            }
            Self::Endpoint { callers } => write!(f, "{callers} callers see it fail"),
        }
    }
}

impl fmt::Display for Restraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule => f.write_str("the rule asks to throttle only"),
            Self::Lone => f.write_str(
                "no other endpoint of the service is in use, so a share still gets through",
            ),
            Self::Cap { open, active, percent } => write!(
                f,
                "{open} of {active} endpoints are open already and at most {percent} % may be, so a share still gets through"
            ),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trip(reason) => reason.fmt(f),
            Self::Endpoint { callers, reason } => {
                write!(f, "{callers} other callers see the endpoint fail: {reason}")
            }
            Self::Yielded => f.write_str("another endpoint of the service is worse"),
            Self::OpenTimePassed => f.write_str("the open time has passed; probing"),
            Self::ProbesSucceeded { successes, probes } => {
                write!(f, "{successes} of {probes} probes succeeded")
            }
            Self::ProbesFailed { probes: 0, .. } => {
                f.write_str("no probe came to a result in time")
            }
            Self::ProbesFailed { failures, unanswered, probes } => {
                write!(f, "of {probes} probes {failures} failed and {unanswered} had no answer")
            }
            Self::ProbesSlow { quantile_permille, value, at_most } => write!(
                f,
                "p{} of the probes took {} (limit {})",
                f64::from(*quantile_permille) / 10.0,
                time(*value),
                time(*at_most),
            ),
            Self::RampFailed { failures, attempts } => {
                write!(f, "{failures} of {attempts} attempts failed while traffic returned")
            }
            Self::RampComplete => f.write_str("all traffic is admitted again"),
            Self::Calm(calm) => write!(f, "it has served well for {calm:?}"),
            Self::Forced(Force::Open, ttl) => write!(f, "forced open by an operator for {ttl:?}"),
            Self::Forced(Force::Closed, ttl) => write!(f, "held closed by an operator for {ttl:?}"),
            Self::ForceEnded => f.write_str("the operator's override ended"),
            Self::Reset => f.write_str("reset by an operator"),
            Self::Earlier(sentence) => f.write_str(sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_as_one_sentence() {
        let at = Monotonic::from_nanos(5_000_000_000);
        let mut change = Change {
            at,
            from: State::Closed,
            to: State::Throttled,
            cause: Cause::Trip(Reason::Consecutive { failures: 6, limit: 5 }),
            scope: Some(Scope::Endpoint { callers: 2 }),
            restraint: Some(Restraint::Cap { open: 1, active: 2, percent: 50 }),
            level: 1,
            is_flapping: true,
            next: Some(Next { state: State::Closed, at: at.plus(Duration::from_millis(1_500)) }),
            window: Summary::default(),
            generation: 1,
        };
        assert_eq!(
            change.to_string(),
            "closed -> throttled, because 6 failures in a row (limit 5); 2 callers see it fail; \
             1 of 2 endpoints are open already and at most 50 % may be, so a share still gets through; \
             it keeps changing, so it stays open for longer; closed in 1.5s"
        );
        change.scope = Some(Scope::OnlyCaller);
        (change.restraint, change.is_flapping, change.next) = (None, false, None);
        assert_eq!(
            change.to_string(),
            "closed -> throttled, because 6 failures in a row (limit 5)"
        );
    }
}
