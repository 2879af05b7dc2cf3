//! The states of a breaker, by name.

use std::fmt;

/// What a breaker does at present, as people and programs are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The policy only watches; nothing is shed.
    Observe,
    /// Everything is let through.
    Closed,
    /// A share is shed, by how much goes wrong.
    Throttled,
    /// Everything is shed.
    Open,
    /// Only probes are let through.
    HalfOpen,
    /// A growing share is let through.
    Recovering,
    /// Shed by order of an operator.
    ForcedOpen,
    /// Let through by order of an operator.
    ForcedClosed,
}

impl State {
    /// Every state, in the order of the type.
    pub const ALL: [Self; 8] = [
        Self::Observe,
        Self::Closed,
        Self::Throttled,
        Self::Open,
        Self::HalfOpen,
        Self::Recovering,
        Self::ForcedOpen,
        Self::ForcedClosed,
    ];

    /// Whether neither time alone nor one more call that goes well changes it.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Closed | Self::Observe)
    }

    /// The name in JSON, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Closed => "closed",
            Self::Throttled => "throttled",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Recovering => "recovering",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
