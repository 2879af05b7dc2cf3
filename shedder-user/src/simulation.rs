//! A model of callers, endpoints and faults around the same engine and the same decision about a
//! connect that run on a node.
//!
//! Invariant: as pure as the engine. Time is virtual, chance comes from a seed, and the same
//! scenario, policy and seed give the same report, byte for byte.

mod fate;
mod kernel;
mod luck;
mod node;
mod queue;
mod record;
mod report;
mod scenario;
mod svg;
mod world;

#[cfg(test)]
mod tests;

pub use self::report::{Bound, FaultReport, PolicyReport, Report, Success, TransitionReport};
pub use self::scenario::Scenario;
pub use self::svg::picture;
pub use self::world::Simulation;
