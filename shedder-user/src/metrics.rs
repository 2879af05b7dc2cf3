//! What Prometheus reads and a collector is sent: all families that `docs/metrics.md` lists.
//!
//! Invariant: knows no map, clock or socket; what is told follows from a [`Snapshot`] alone, and the
//! number of its series from the policy file and `metrics_endpoints`, never from traffic.

mod delivered;
mod families;
mod form;
mod histogram;
mod page;
mod tally;
mod text;

#[cfg(test)]
mod tests;

pub use self::delivered::{Delivered, Fate};
pub use self::families::{Family, Kind, families};
pub use self::form::{Form, Labels, Value};
pub use self::histogram::Histogram;
pub use self::page::{ControlCounts, Endpoint, JournalCounts, Snapshot, page, tell};
pub use self::tally::{Calls, Tally};

/// The endpoint under which those without series of their own are added up.
pub const OTHER: &str = "other";
