//! What a breaker weighs.
//!
//! Invariant: the engine's own count is checked against the allocator's, which also sees what the
//! engine keeps besides its breakers.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::fleet::{Fleet, Load};
use super::ticks::FULL;
use crate::bench::machine::heap_bytes;

/// Bytes a breaker takes in one condition, on average.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Weight {
    pub(super) condition: &'static str,
    /// By the engine's count.
    pub(super) counted: usize,
    /// By the allocator's, with what the engine keeps about places and timers.
    pub(super) allocated: usize,
}

/// Weighs a node full of breakers.
pub(super) fn weigh() -> Result<[Weight; 3]> {
    let before = heap_bytes();
    let mut fleet = Fleet::new(FULL)?;
    let fresh = weight("idle, fresh", &fleet, before);
    fleet.fill(Load::All);
    let busy = weight("busy, windows full", &fleet, before);
    fleet.rest(Duration::from_mins(2));
    let rested = weight("idle for two minutes", &fleet, before);
    Ok([fresh, busy, rested])
}

fn weight(condition: &'static str, fleet: &Fleet, before: usize) -> Weight {
    let size = FULL as usize;
    let allocated = heap_bytes().saturating_sub(before) / size;
    Weight { condition, counted: fleet.bytes() / size, allocated }
}
