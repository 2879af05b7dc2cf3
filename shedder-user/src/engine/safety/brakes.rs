//! Limits to what the node sheds, and what each caller has taken of them.
//!
//! Invariant: what one caller does takes at most half of a limit from the others, so that nobody who trips
//! breakers or is refused on purpose keeps the breakers of others from opening.

use std::mem::discriminant;

use shedder_common::time::Monotonic;

use super::{FEW_REFUSALS, MINUTE, Place, SECOND, Safety};
use crate::engine::notice::{Brake, Notice};
use crate::engine::tally::Tally;

/// What one caller has asked for, was refused, and tripped.
#[derive(Debug)]
pub(super) struct Usage {
    /// Connects within a minute, and how many of them were refused.
    connects: Tally,
    /// Refusals within five seconds, and zero.
    refusals: Tally,
    /// Trips within a minute, and zero.
    trips: Tally,
}

/// What all callers took of the limits, each at most half.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    trips: u64,
    refusals: u64,
}

impl Default for Usage {
    fn default() -> Self {
        let [connects, refusals, trips] = [MINUTE, REFUSALS, MINUTE].map(Tally::new);
        Self { connects, refusals, trips }
    }
}

impl Usage {
    pub(super) fn asked(&mut self, connects: u64, refused: u64, now: Monotonic) {
        self.connects.add([connects, refused], now);
        self.refusals.add([refused, 0], now);
    }

    pub(super) fn tripped(&mut self, now: Monotonic) {
        self.trips.add([1, 0], now);
    }
}

impl Safety {
    /// Whether so much is shed that nothing more is opened for a caller.
    pub(super) fn brake(
        &mut self,
        place: Place,
        now: Monotonic,
        notices: &mut Vec<Notice>,
    ) -> bool {
        let load = self.load(now);
        let brake = self.brake_of(place.caller, load, now);
        let before = match brake {
            Some(brake) => self.braking.insert(place.caller, brake),
            None => self.braking.remove(&place.caller),
        };
        if before.as_ref().map(discriminant) == brake.as_ref().map(discriminant) {
            return brake.is_some();
        }
        // What holds for several callers is told once.
        let holds_for_others = |brake: &Brake| {
            self.braking.iter().any(|(other, theirs)| {
                let now = self.brake_of(*other, load, now);
                *other != place.caller
                    && discriminant(theirs) == discriminant(brake)
                    && now.as_ref().map(discriminant) == Some(discriminant(brake))
                    && !matches!(brake, Brake::Caller { .. })
            })
        };
        match (brake, before) {
            (Some(brake), _) if !holds_for_others(&brake) => {
                notices.push(Notice::Brake { brake, is_over: false, at: now });
            }
            (None, Some(was)) if !holds_for_others(&was) => {
                notices.push(Notice::Brake { brake: was, is_over: true, at: now });
            }
            _ => {}
        }
        brake.is_some()
    }

    /// What all callers took of the limits.
    pub(super) fn load(&self, now: Monotonic) -> Load {
        let most = self.most_of_one();
        let all = self.callers.values().map(|usage| usage.load(now));
        all.fold(Load { trips: 0, refusals: 0 }, |sum, one| Load {
            trips: sum.trips.saturating_add(one.trips.min(most.trips)),
            refusals: sum.refusals.saturating_add(one.refusals.min(most.refusals)),
        })
    }

    /// What too much is shed of for a caller to open more, where it is.
    pub(super) fn brake_of(&self, caller: u32, load: Load, now: Monotonic) -> Option<Brake> {
        let usage = self.callers.get(&caller);
        let own = usage.map_or(Load { trips: 0, refusals: 0 }, |usage| usage.load(now));
        let most = self.most_of_one();
        // All of its own besides.
        let beyond = |own: u64, most: u64| own.saturating_sub(most);
        let trips = load.trips.saturating_add(beyond(own.trips, most.trips));
        let refusals = load.refusals.saturating_add(beyond(own.refusals, most.refusals));
        let per_second = refusals / REFUSALS.as_secs();
        let [connects, refused] = usage.map_or([0, 0], |usage| usage.connects.sums(now));
        let limit_permille = self.rules.caller_refused_permille;
        if trips >= self.rules.trips_per_minute.into() {
            Some(Brake::Trips { trips, limit: self.rules.trips_per_minute })
        } else if per_second > self.rules.refusals_per_second {
            Some(Brake::Refusals { per_second, limit: self.rules.refusals_per_second })
        } else if refused >= FEW_REFUSALS
            && refused.saturating_mul(1000) > connects.saturating_mul(limit_permille.into())
        {
            Some(Brake::Caller { caller, refused, connects, limit_permille })
        } else {
            None
        }
    }

    /// So much of what one caller does is held against others.
    fn most_of_one(&self) -> Load {
        Load {
            trips: u64::from(self.rules.trips_per_minute) / 2,
            refusals: self.rules.refusals_per_second.saturating_mul(REFUSALS.as_secs()) / 2,
        }
    }
}

impl Usage {
    fn load(&self, now: Monotonic) -> Load {
        let ([trips, _], [refusals, _]) = (self.trips.sums(now), self.refusals.sums(now));
        Load { trips, refusals }
    }
}

/// Over this time refusals are counted.
const REFUSALS: std::time::Duration = SECOND.saturating_mul(5);
