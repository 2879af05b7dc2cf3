//! What people are told that is no change of one breaker's state.

use std::fmt;

use shedder_common::time::Monotonic;

use super::CellId;
use super::strategy::Reason;

/// Something people should know.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A rule that only raises an alarm holds.
    Alarm {
        /// Whose.
        cell: CellId,
        /// Why.
        reason: Reason,
        /// When.
        at: Monotonic,
    },
    /// Most services go bad at once, so nothing new is shed; or no longer.
    NodeSuspect {
        /// Whether it has ended.
        is_over: bool,
        /// Services going bad.
        degraded: usize,
        /// Services in use.
        active: usize,
        /// When.
        at: Monotonic,
    },
    /// The node has shed as much as it may, so nothing new is shed; or it may again.
    Brake {
        /// Which limit.
        brake: Brake,
        /// Whether it has ended.
        is_over: bool,
        /// When.
        at: Monotonic,
    },
    /// A policy refused too much wrongly, by what its probes found, and only observes from now on.
    Suspended {
        /// One of its breakers.
        cell: CellId,
        /// Refused wrongly within ten minutes.
        refused: u64,
        /// Connects within ten minutes.
        connects: u64,
        /// When.
        at: Monotonic,
    },
    /// So much of a service fails that shedding protects nobody, so everything goes through; or no
    /// longer.
    Panic {
        /// One of its breakers.
        cell: CellId,
        /// Whether it has ended.
        is_over: bool,
        /// Endpoints failing.
        failing: usize,
        /// Endpoints in use.
        active: usize,
        /// When.
        at: Monotonic,
    },
}

/// A limit for the node as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// New trips within a minute.
    Trips {
        /// So many.
        trips: u64,
        /// Allowed.
        limit: u32,
    },
    /// Refusals.
    Refusals {
        /// A second.
        per_second: u64,
        /// Allowed.
        limit: u64,
    },
    /// The share of one caller's connects.
    Caller {
        /// The caller.
        caller: u32,
        /// Refused within a minute.
        refused: u64,
        /// Asked for within a minute.
        connects: u64,
        /// Allowed, in thousandths.
        limit_permille: u16,
    },
}

impl Notice {
    /// The kind in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Alarm { .. } => "alarm",
            Self::NodeSuspect { .. } => "node_suspect",
            Self::Brake { .. } => "brake",
            Self::Suspended { .. } => "suspended",
            Self::Panic { .. } => "panic",
        }
    }

    /// The breaker it is about, if it is about one.
    pub const fn cell(&self) -> Option<CellId> {
        match self {
            Self::Alarm { cell, .. } | Self::Suspended { cell, .. } | Self::Panic { cell, .. } => {
                Some(*cell)
            }
            Self::NodeSuspect { .. } | Self::Brake { .. } => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alarm { reason, .. } => write!(f, "alarm: {reason}"),
            Self::NodeSuspect { is_over: false, degraded, active, .. } => write!(
                f,
                "{degraded} of {active} services go bad at once: this node or its network is at fault, so no breaker trips"
            ),
            Self::NodeSuspect { is_over: true, .. } => {
                f.write_str("services no longer go bad all at once: breakers trip again")
            }
            Self::Brake { brake, is_over: false, .. } => write!(f, "{brake}, so no breaker trips"),
            Self::Brake { is_over: true, .. } => {
                f.write_str("the node is within its limits: breakers trip again")
            }
            Self::Suspended { refused, connects, .. } => write!(
                f,
                "of {connects} connects in ten minutes about {refused} were refused although they would have succeeded: the policy only observes until it is reset"
            ),
            Self::Panic { is_over: false, failing, active, .. } => write!(
                f,
                "{failing} of {active} endpoints fail: shedding protects nobody, so everything goes through"
            ),
            Self::Panic { is_over: true, .. } => {
                f.write_str("enough endpoints are well: failing ones are shed again")
            }
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trips { trips, limit } => {
                write!(f, "{trips} breakers tripped within a minute (limit {limit})")
            }
            Self::Refusals { per_second, limit } => {
                write!(f, "{per_second} connects a second are refused (limit {limit})")
            }
            Self::Caller { refused, connects, limit_permille, .. } => write!(
                f,
                "{refused} of {connects} connects of one caller were refused within a minute (limit {} %)",
                f64::from(*limit_permille) / 10.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_name_and_some_a_breaker() {
        let (cell, at) = (CellId(7), Monotonic::default());
        let (is_over, failing, active) = (false, 4, 5);
        let reason = Reason::InFlight { in_flight: 30, limit: 20 };
        let brake = Brake::Trips { trips: 10, limit: 10 };
        let notices = [
            Notice::Alarm { cell, reason, at },
            Notice::NodeSuspect { is_over, degraded: failing, active, at },
            Notice::Brake { brake, is_over, at },
            Notice::Suspended { cell, refused: 20, connects: 30, at },
            Notice::Panic { cell, is_over, failing, active, at },
        ];
        assert_eq!(
            notices.map(|notice| (notice.name(), notice.cell())),
            [
                ("alarm", Some(cell)),
                ("node_suspect", None),
                ("brake", None),
                ("suspended", Some(cell)),
                ("panic", Some(cell)),
            ]
        );
    }
}
