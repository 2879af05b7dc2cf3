//! A scenario as data, and the list of all.
//!
//! Invariant: a scenario leaves nothing behind when its play returns, and says something about each of its
//! bounds.

use anyhow::Result;

use super::bound::{Bound, Finding};
use super::kit::Kit;

/// One disaster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    /// `CH-` or `AT-` and a number.
    pub(super) id: &'static str,
    /// What happens.
    pub(super) title: &'static str,
    /// The preset, and what is set besides.
    pub(super) policy: &'static str,
    /// Where the requirement comes from.
    pub(super) sources: &'static str,
    /// What must come of it.
    pub(super) bounds: &'static [Bound],
    /// Whether it is among the few that continuous integration plays.
    pub(super) is_short: bool,
    /// Plays it.
    pub(super) play: fn(&Kit) -> Result<Vec<Finding>>,
}
