//! Flap damping: a penalty for every trip that fades, as routers damp routes that come and go
//! (RFC 2439).

use std::time::Duration;

use shedder_common::time::Monotonic;

/// How much a breaker has gone back and forth lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flaps {
    penalty: f32,
    at: Monotonic,
    is_flapping: bool,
}

impl Flaps {
    /// Counts a trip.
    pub(super) fn trip(&mut self, now: Monotonic) {
        let was_flapping = self.is_flapping(now);
        self.penalty = self.penalty(now) + PER_TRIP;
        self.at = now;
        self.is_flapping = was_flapping || self.penalty > SUPPRESS;
    }

    /// Whether trips have come so often that the breaker is to be kept open for longer.
    pub(super) fn is_flapping(&self, now: Monotonic) -> bool {
        self.is_flapping && self.penalty(now) >= REUSE
    }

    /// Penalty, of when it is, and whether it was too much.
    pub(super) const fn parts(&self) -> (f32, u64, bool) {
        (self.penalty, self.at.as_nanos(), self.is_flapping)
    }

    pub(super) const fn of_parts(penalty: f32, at: Monotonic, is_flapping: bool) -> Self {
        Self { penalty, at, is_flapping }
    }

    fn penalty(&self, now: Monotonic) -> f32 {
        self.penalty * (-now.since(self.at).as_secs_f32() / HALF_LIFE.as_secs_f32()).exp2()
    }
}

const PER_TRIP: f32 = 1000.0;
const SUPPRESS: f32 = 3000.0;
const REUSE: f32 = 750.0;
const HALF_LIFE: Duration = Duration::from_mins(5);
/// A flapping breaker stays open for at least this long.
pub(super) const MIN_OPEN: Duration = Duration::from_secs(30);
/// And its traffic returns over at least this long.
pub(super) const MIN_RAMP: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_fourth_trip_in_a_row_is_flapping_and_it_fades() {
        let mut flaps = Flaps::default();
        for second in [0, 10, 20] {
            flaps.trip(at(second));
            assert!(!flaps.is_flapping(at(second)));
        }
        flaps.trip(at(30));
        assert!(flaps.is_flapping(at(30)));
        // Less than four half-lives of slightly less than 4000 down to 750.
        assert!(flaps.is_flapping(at(600)));
        assert!(!flaps.is_flapping(at(800)));
        // What has faded is over: one more trip is not flapping yet.
        flaps.trip(at(900));
        assert!(!flaps.is_flapping(at(900)));
    }

    #[test]
    fn rare_trips_are_no_flapping() {
        let mut flaps = Flaps::default();
        for trip in 0..20 {
            flaps.trip(at(trip * 600));
        }
        assert!(!flaps.is_flapping(at(20 * 600)));
    }

    #[test]
    fn three_trips_at_once_are_not_yet_flapping() {
        let mut flaps = Flaps::default();
        (0..3).for_each(|_| flaps.trip(at(0)));
        assert!(!flaps.is_flapping(at(0)));
        flaps.trip(at(0));
        assert!(flaps.is_flapping(at(0)));
    }
}
