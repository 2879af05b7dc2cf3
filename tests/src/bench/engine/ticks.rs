//! What one tick of the daemon's loop costs in the engine.
//!
//! Invariant: windows are full before anything is measured, since a tick is never cheaper later.

use anyhow::{Context, Result};
use serde::Serialize;

use super::fleet::{Fleet, Load, TICK, TickCost};
use crate::statistics::{Extent, figure};

/// The cost of a tick for one number of breakers and one load.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TickFigures {
    pub(super) breakers: u32,
    pub(super) load: Load,
    /// All of it, microseconds.
    pub(super) total_us: Extent,
    /// Of that: what to publish, for every breaker, microseconds.
    pub(super) directives_us: Extent,
    /// Evidence taken in and judged, nanoseconds for each busy breaker; nothing where none is.
    pub(super) busy_ns: Option<Extent>,
}

/// Measures every size and load.
pub(super) fn measure(rounds: u32) -> Result<Vec<TickFigures>> {
    let cases = SIZES.into_iter().flat_map(|size| LOADS.map(|load| (size, load)));
    cases.map(|(size, load)| one(size, load, rounds)).collect()
}

fn one(breakers: u32, load: Load, rounds: u32) -> Result<TickFigures> {
    let mut fleet = Fleet::new(breakers)?;
    fleet.fill(load);
    let costs: Vec<TickCost> = (0..rounds).map(|_| fleet.tick(load, TICK)).collect();
    let extent = |of: &dyn Fn(&TickCost) -> f64| {
        Extent::of(costs.iter().map(of).collect()).context("there are no rounds")
    };
    let busy = load.busy(breakers);
    Ok(TickFigures {
        breakers,
        load,
        total_us: extent(&|cost| figure(cost.total()) / 1e3)?,
        directives_us: extent(&|cost| figure(cost.directives) / 1e3)?,
        busy_ns: (busy > 0)
            .then(|| extent(&|cost| figure(cost.observe) / figure(busy)))
            .transpose()?,
    })
}

/// A node full of breakers.
pub(super) const FULL: u32 = 65_536;
const SIZES: [u32; 3] = [1, 1_000, FULL];
const LOADS: [Load; 3] = [Load::Idle, Load::OnePercent, Load::All];
