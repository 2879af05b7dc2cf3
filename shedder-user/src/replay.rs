//! A recording, played to the engine under policies of one's choice.
//!
//! Invariant: as pure as the engine. Frames go in, a report comes out, and the same recording and
//! policies give the same report.

mod faults;
mod guarded;
mod play;
mod report;
mod svg;
mod tape;
mod terms;

#[cfg(test)]
mod tests;

pub use self::faults::Fault;
pub use self::report::{FaultReport, PolicyReport, Report};
pub use self::svg::picture;
pub use self::tape::Replay;
pub use self::terms::Terms;
