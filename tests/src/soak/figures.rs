//! What was counted and measured, before anybody judges it.
//!
//! Invariant: plain numbers, so that judging them can be tested without a soak.

use std::collections::BTreeMap;

use serde::Serialize;

use super::faults::Illness;
use super::in_flight::InFlight;
use super::ledger::Ledger;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) seconds: f64,
    pub(super) calls: Ledger,
    pub(super) faults: Vec<FaultFigures>,
    /// Breakers that tripped while their endpoint was well, in words.
    pub(super) trips_while_well: Vec<String>,
    /// By map, when all breakers had seen calls, and after the last call.
    pub(super) map_entries: [BTreeMap<String, usize>; 2],
    /// The fewest in the first half, and after the last call.
    pub(super) descriptors: [usize; 2],
    /// The most in the first half, and in the second.
    pub(super) resident_kib: [u64; 2],
    /// None where the daemon does not show it.
    pub(super) in_flight: Option<InFlight>,
    /// What the daemon counted of things that went wrong with it.
    pub(super) events_lost: u64,
    pub(super) untagged: u64,
    pub(super) actions_failed: u64,
}

/// One fault and what followed from it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FaultFigures {
    pub(super) endpoint: String,
    pub(super) illness: Illness,
    /// None when it was never healed.
    pub(super) lasted_ms: Option<u64>,
    /// Breakers that left `closed` over it.
    pub(super) breakers_opened: u32,
    /// From its beginning until the first of them did.
    pub(super) opened_after_ms: Option<u64>,
    /// From the healing until all breakers of the endpoint were closed; none when they never were.
    pub(super) closed_after_ms: Option<u64>,
}

impl Figures {
    /// How many faults there were of each kind.
    pub(super) fn kinds(&self) -> BTreeMap<Illness, usize> {
        let mut kinds = BTreeMap::new();
        for fault in &self.faults {
            *kinds.entry(fault.illness).or_default() += 1;
        }
        kinds
    }
}
