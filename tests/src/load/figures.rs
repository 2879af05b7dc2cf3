//! What was counted and measured, before anybody judges it.
//!
//! Invariant: plain numbers, so that judging them can be tested without a load.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) idle: Usage,
    pub(super) loaded: Usage,
    pub(super) connects: Connects,
    /// Cgroups that came and went, and endpoints that were called by these alone.
    pub(super) cgroups: u64,
    pub(super) endpoints: u64,
    /// The most the daemon knew at a time, of those endpoints and the others.
    pub(super) endpoints_at_once: u64,
    /// The most memory the daemon had in the first half of the load, and in the second.
    pub(super) resident_kib: [u64; 2],
    /// Before the load, and when it was over and had been forgotten.
    pub(super) descriptors: [usize; 2],
    pub(super) pins: [usize; 2],
    /// By map.
    pub(super) map_entries: [BTreeMap<String, usize>; 2],
    /// Breakers there were not before the load.
    pub(super) left: Vec<String>,
    /// What the daemon counted of things that went wrong with it.
    pub(super) events_lost: u64,
    pub(super) untagged: u64,
    /// Whether the daemon was built with optimisation.
    pub(super) is_release: bool,
}

/// What the daemon took of the machine for a while.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Usage {
    pub(super) seconds: f64,
    /// Processor time of all its threads.
    pub(super) busy_seconds: f64,
    /// The most memory it had.
    pub(super) resident_kib: u64,
}

/// What the connects came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Connects {
    pub(super) made: u64,
    /// By a verdict, which is due for ill endpoints only.
    pub(super) shed: u64,
    /// By an ill endpoint.
    pub(super) refused: u64,
    /// To endpoints that are well.
    pub(super) well: u64,
    /// Of these, by error number.
    pub(super) lost: BTreeMap<i32, u64>,
}

impl Usage {
    /// Of one processor, in percent.
    pub(super) fn percent(self) -> f64 {
        100.0 * self.busy_seconds / self.seconds
    }
}

impl Connects {
    /// All of them.
    pub(super) fn all(&self) -> u64 {
        self.made + self.shed + self.refused + self.lost.values().sum::<u64>()
    }
}
