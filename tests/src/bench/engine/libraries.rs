//! The circuit breakers of other people, as a caller uses them.
//!
//! Invariant: durations are divided by the pace and nothing else is changed, so that a trace
//! played that much faster gives the decisions it would give in real time.

use std::time::Duration;

mod pending;

pub(super) mod failsafe;
pub(super) mod recloser;
pub(super) mod tower;

pub(super) use self::pending::Pending;

/// How a library is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuning {
    /// As its authors ship it.
    Default,
    /// As near to our policy as its knobs allow.
    LikeOurs,
    /// The same with failures in a row in place of a share, where a breaker knows only one of them.
    Runs,
}

impl Tuning {
    /// As people read it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::LikeOurs => "tuned",
            Self::Runs => "runs",
        }
    }
}

/// How much faster than real time a trace is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace(pub(super) u32);

impl Pace {
    /// The time that takes this long in a trace.
    pub(super) fn of(self, time: Duration) -> Duration {
        time / self.0
    }

    fn seconds(self, seconds: u64) -> Duration {
        self.of(Duration::from_secs(seconds))
    }
}
