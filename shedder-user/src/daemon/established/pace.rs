//! How fast connections are ended, and which of them first.
//!
//! Invariant: pure. Callers that lose a connection make another one elsewhere, so they lose them one
//! by one, at moments that differ from breaker to breaker.

use std::cmp::Reverse;
use std::time::Duration;

use shedder_common::time::Monotonic;

use crate::engine::{Chance, Established};
use crate::kernel::connections::Activity;

/// When the next connection may be ended.
#[derive(Debug)]
pub(super) struct Pace {
    mean: Duration,
    next: Monotonic,
    chance: Chance,
}

impl Pace {
    /// For so many connections, from `now` on. Chance comes from `seed`.
    pub(super) fn new(connections: usize, seed: u64, now: Monotonic) -> Self {
        let mean = Duration::from_secs_f64(per_second(connections).recip());
        let mut chance = Chance::new(seed);
        let next = now.plus(share(mean, &mut chance));
        Self { mean, next, chance }
    }

    /// How many may be ended now. What is not made use of is lost; after a pause of the daemon no
    /// more than a second is made up for.
    pub(super) fn due(&mut self, now: Monotonic) -> usize {
        self.next = self.next.max(now.minus(SECOND));
        let mut due = 0;
        while self.next <= now {
            due += 1;
            let wait = self.mean / 2 + share(self.mean, &mut self.chance);
            self.next = self.next.plus(wait);
        }
        due
    }
}

/// How many of so many connections are ended in a second, in the mean: a tenth, at least one.
pub(super) fn per_second(connections: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let tenth = connections as f64 / 10.0;
    tenth.clamp(1.0, FASTEST)
}

/// Which connections are to be ended, by their place in the list: at most so many, the ones silent
/// for longest first. A drain ends those on which nothing is under way and that have been silent for
/// as long as a caller would wait for an answer.
pub(super) fn choose(
    connections: &[Activity],
    fate: Established,
    patience: Duration,
    at_most: usize,
) -> Vec<usize> {
    let is_ripe = |activity: &Activity| match fate {
        Established::Keep => false,
        Established::Drain => !activity.is_under_way && activity.silent >= patience,
        Established::Reset => true,
    };
    let ripe = connections.iter().enumerate().filter(|(_, activity)| is_ripe(activity));
    let mut ripe: Vec<(usize, Duration)> =
        ripe.map(|(place, activity)| (place, activity.silent)).collect();
    ripe.sort_by_key(|(_, silent)| Reverse(*silent));
    ripe.truncate(at_most);
    ripe.into_iter().map(|(place, _)| place).collect()
}

/// A part of `whole`, by chance.
fn share(whole: Duration, chance: &mut Chance) -> Duration {
    whole.mul_f64(f64::from(u32::try_from(chance.next() >> 32).expect("32 bits")) / TWO_TO_THE_32)
}

const SECOND: Duration = Duration::from_secs(1);
/// So that even a million connections take turns.
const FASTEST: f64 = 10_000.0;
const TWO_TO_THE_32: f64 = 4_294_967_296.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_nanos(milliseconds * 1_000_000)
    }

    /// How many are due within ten seconds, looked at ten times a second.
    fn ended(connections: usize, seed: u64) -> usize {
        let mut pace = Pace::new(connections, seed, at(0));
        (1..=100).map(|tick| pace.due(at(tick * 100))).sum()
    }

    #[test]
    fn a_tenth_a_second_and_at_least_one() {
        for seed in 0..100 {
            for (connections, least, most) in
                [(1, 7, 13), (10, 7, 13), (100, 88, 112), (5000, 4900, 5100)]
            {
                let ended = ended(connections, seed);
                assert!((least..=most).contains(&ended), "{ended} of {connections}, seed {seed}");
            }
        }
    }

    #[test]
    fn no_two_at_once_where_there_are_few() {
        for seed in 0..100 {
            let mut pace = Pace::new(10, seed, at(0));
            for tick in 0..100 {
                assert!(pace.due(at(tick * 100)) <= 1, "tick {tick}, seed {seed}");
            }
        }
    }

    #[test]
    fn nodes_do_not_march_in_step() {
        let first = |seed| {
            let mut pace = Pace::new(10, seed, at(0));
            (0..20).find(|tick| pace.due(at(tick * 50)) > 0)
        };
        let moments: std::collections::BTreeSet<_> = (0..50).map(first).collect();
        assert!(moments.len() > 10, "{moments:?}");
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(100, 1, at(0));
        let due = pace.due(at(60_000));
        assert!((7..=21).contains(&due), "{due}");
        assert!(pace.due(at(60_000)) == 0);
    }

    #[test]
    fn a_drain_takes_what_is_idle_and_a_reset_takes_all_the_longest_silent_first() {
        let activity = |milliseconds, is_under_way| Activity {
            silent: Duration::from_millis(milliseconds),
            is_under_way,
        };
        let connections = [
            activity(999, false),
            activity(5000, true),
            activity(1000, false),
            activity(3000, false),
        ];
        let chosen = |fate, at_most| choose(&connections, fate, SECOND, at_most);
        assert_eq!(chosen(Established::Keep, 9), [0; 0]);
        assert_eq!(chosen(Established::Drain, 9), [3, 2]);
        assert_eq!(chosen(Established::Drain, 1), [3]);
        assert_eq!(chosen(Established::Reset, 9), [1, 3, 2, 0]);
        assert_eq!(chosen(Established::Reset, 2), [1, 3]);
    }
}
