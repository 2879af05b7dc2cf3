//! What can be wrong with an endpoint, and what is wrong next.
//!
//! Invariant: the choices are made by the seed alone; what is not free when its turn comes waits for its
//! next turn.

use std::time::Duration;

use serde::Serialize;

use crate::backend::Behaviour;
use crate::chance::Chance;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Illness {
    /// Nobody listens.
    Refuses,
    /// Connects, and never answers.
    Hangs,
    /// Answers, but later than the policy allows.
    Slow,
    /// Answers after its callers have gone.
    TooLate,
    /// Resets where an answer is due.
    Resets,
    /// Resets each connection at once.
    ResetsAtOnce,
    /// Closes in good order where an answer is due.
    Closes,
    /// Swallows SYNs.
    Swallows,
    /// Is there and gone in turn, faster than anybody can follow.
    ComesAndGoes,
}

/// One fault to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) endpoint: usize,
    pub(super) illness: Illness,
    pub(super) lasts: Duration,
}

/// Chooses fault after fault.
#[derive(Debug)]
pub(super) struct Faults {
    chance: Chance,
    /// Endpoints still to fall ill before any does again, so that none seems to flap.
    deck: Vec<usize>,
    endpoints: usize,
    mean_gap: Duration,
}

impl Illness {
    /// What the backend does.
    pub(super) const fn behaviour(self) -> Behaviour {
        match self {
            Self::Refuses | Self::ComesAndGoes => Behaviour::Refuse,
            Self::Hangs => Behaviour::Hang,
            Self::Slow => Behaviour::Slow(Duration::from_millis(800)),
            Self::TooLate => Behaviour::Slow(Duration::from_secs(3)),
            Self::Resets => Behaviour::ResetAfterAccept,
            Self::ResetsAtOnce => Behaviour::ResetOnAccept,
            Self::Closes => Behaviour::CloseAfterAccept,
            Self::Swallows => Behaviour::Blackhole,
        }
    }

    /// Whether it lasts long enough in one piece that a breaker must open.
    pub(super) const fn must_open(self) -> bool {
        !matches!(self, Self::ComesAndGoes)
    }
}

impl Faults {
    /// For a soak of this length: short ones have their faults in quicker succession.
    pub(super) fn new(seed: u64, endpoints: usize, length: Duration) -> Self {
        let mean_gap = (length / 100).clamp(SHORTEST_MEAN_GAP, LONGEST_MEAN_GAP);
        Self { chance: Chance::of_part(seed, FAULTS_PART), deck: Vec::new(), endpoints, mean_gap }
    }

    /// How long to wait for the next fault.
    pub(super) fn gap(&mut self) -> Duration {
        self.between(self.mean_gap / 2, self.mean_gap * 3 / 2)
    }

    /// The next fault, if any of the endpoints whose turn it is can fall ill.
    pub(super) fn next(&mut self, is_free: impl Fn(usize) -> bool) -> Option<Fault> {
        if self.deck.is_empty() {
            self.deck.extend(0..self.endpoints);
        }
        let free: Vec<usize> =
            (0..self.deck.len()).filter(|position| is_free(self.deck[*position])).collect();
        let chosen = free.get(self.below(free.len())?)?;
        let endpoint = self.deck.swap_remove(*chosen);
        let illness = ILLNESSES[self.below(ILLNESSES.len())?];
        let lasts = self.between(SHORTEST_FAULT, LONGEST_FAULT);
        Some(Fault { endpoint, illness, lasts })
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let range = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.chance.below(range.max(1)))
    }

    /// Nothing below nothing.
    fn below(&mut self, limit: usize) -> Option<usize> {
        let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0)?;
        usize::try_from(self.chance.below(limit)).ok()
    }
}

const ILLNESSES: [Illness; 9] = [
    Illness::Refuses,
    Illness::Hangs,
    Illness::Slow,
    Illness::TooLate,
    Illness::Resets,
    Illness::ResetsAtOnce,
    Illness::Closes,
    Illness::Swallows,
    Illness::ComesAndGoes,
];
const SHORTEST_MEAN_GAP: Duration = Duration::from_millis(700);
const LONGEST_MEAN_GAP: Duration = Duration::from_secs(4);
/// Long enough that the callers of a breaker meet it several times.
const SHORTEST_FAULT: Duration = Duration::from_secs(4);
const LONGEST_FAULT: Duration = Duration::from_secs(7);
/// After those of the callers.
const FAULTS_PART: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_endpoints_fall_ill_before_any_does_again() {
        let mut faults = Faults::new(7, 50, Duration::from_mins(10));
        let mut ill: Vec<usize> =
            (0..50).map(|_| faults.next(|_| true).expect("all are free").endpoint).collect();
        ill.sort_unstable();
        assert_eq!(ill, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_free_keeps_its_turn() {
        let mut faults = Faults::new(7, 3, Duration::from_mins(10));
        let first: Vec<usize> =
            (0..2).map(|_| faults.next(|endpoint| endpoint != 1).expect("free").endpoint).collect();
        assert!(!first.contains(&1));
        assert!(faults.next(|endpoint| endpoint != 1).is_none());
        assert_eq!(faults.next(|_| true).map(|fault| fault.endpoint), Some(1));
    }

    #[test]
    fn the_seed_decides() {
        let choices = |seed| {
            let mut faults = Faults::new(seed, 50, Duration::from_mins(10));
            (0..20).filter_map(|_| faults.next(|_| true)).map(|fault| fault.endpoint).collect()
        };
        let (first, again, other): (Vec<usize>, Vec<usize>, Vec<usize>) =
            (choices(1), choices(1), choices(2));
        assert_eq!(first, again);
        assert_ne!(first, other);
    }
}
