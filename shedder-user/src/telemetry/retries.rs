//! When something is tried again that a collector did not take.
//!
//! Invariant: never more than three times, never sooner than the collector asked for.

use std::time::Duration;

use crate::engine::Chance;

/// What is left of the tries for one request.
#[derive(Clone, Debug, Default)]
pub struct Retries {
    made: usize,
}

impl Retries {
    /// How long to wait before the next try, if there is one: each wait is four times the one before
    /// it, and up to a fifth longer by chance, so that daemons of many nodes do not come at once. A
    /// collector that asks for a longer wait gets it.
    pub(crate) fn next(
        &mut self,
        asked: Option<Duration>,
        chance: &mut Chance,
    ) -> Option<Duration> {
        let wait = WAITS.get(self.made)?;
        self.made += 1;
        Some(jittered(*wait, chance).max(asked.unwrap_or_default().min(LONGEST_ASKED)))
    }
}

/// Up to a fifth longer.
pub(super) fn jittered(wait: Duration, chance: &mut Chance) -> Duration {
    let per_mille = u32::try_from(chance.next() % 201).unwrap_or_default();
    wait + wait * per_mille / 1000
}

const WAITS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1600)];
/// A collector cannot silence a daemon for longer than this.
pub(super) const LONGEST_ASKED: Duration = Duration::from_mins(5);
