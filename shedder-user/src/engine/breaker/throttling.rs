//! Throttled: a share is shed by how much goes wrong, so that somebody always gets through and
//! finds out when it is over.
//!
//! The share is that of client-side throttling (Site Reliability Engineering, chapter 21):
//! `(requests - K · accepts) / (requests + 1)`.

use std::time::Duration;

use shedder_common::time::Monotonic;

use super::super::evidence::Sample;
use super::super::latencies::Latencies;
use super::super::policy::ThrottleRule;
use super::super::tally::Tally;

#[derive(Clone, Debug)]
pub(super) struct Throttling {
    /// Connects, and attempts that went well.
    tally: Tally,
    /// Over this an answer does not count as going well.
    slow_after: Option<Duration>,
    /// Since when nothing has gone wrong.
    calm_since: Option<Monotonic>,
    shed_permille: u16,
}

impl Throttling {
    pub(super) fn new(rule: &ThrottleRule, slow_after: Option<Duration>) -> Self {
        Self { tally: Tally::new(rule.window), slow_after, calm_since: None, shed_permille: 0 }
    }

    /// Goes on where an earlier one was; what it had counted is gone.
    pub(super) fn resume(rule: &ThrottleRule, shed_permille: u16) -> Self {
        let shed_permille = shed_permille.min(rule.max_shed_permille);
        Self { shed_permille, ..Self::new(rule, None) }
    }

    /// Goes on under another rule. The share stays until the next sample; what was counted stays if
    /// the window does.
    pub(super) fn adopt(&mut self, old: &ThrottleRule, rule: &ThrottleRule) {
        if old.window != rule.window {
            self.tally = Tally::new(rule.window);
        }
        self.shed_permille = self.shed_permille.min(rule.max_shed_permille);
    }

    /// Takes a sample in. `is_asked` says whether a rule still holds.
    pub(super) fn observe(
        &mut self,
        sample: &Sample,
        is_asked: bool,
        rule: &ThrottleRule,
        now: Monotonic,
    ) {
        let slow = self.slow_after.map_or(0, |limit| {
            let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
            Latencies::of(std::iter::once(&sample.response)).slower_than(limit_us)
        });
        let counts = &sample.counts;
        // An attempt on a kept connection asks without a connect.
        let asked = counts.connects.max(counts.attempts().saturating_add(counts.shed));
        self.tally.add([asked, counts.successes.saturating_sub(slow)], now);
        self.reckon(rule, now);
        let is_calm = !is_asked && self.shed_permille <= CALM_PERMILLE;
        self.calm_since = is_calm.then(|| self.calm_since.unwrap_or(now));
    }

    /// When it has been calm for long enough, if nothing happens.
    pub(super) fn deadline(&self, rule: &ThrottleRule) -> Option<Monotonic> {
        self.calm_since.map(|since| since.plus(rule.calm))
    }

    /// The share let through, in thousandths.
    pub(super) const fn admit_permille(&self) -> u16 {
        1000 - self.shed_permille
    }

    fn reckon(&mut self, rule: &ThrottleRule, now: Monotonic) {
        let [asked, good] = self.tally.sums(now);
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let (asked, good) = (asked as f64, good as f64);
        let share = ((asked - rule.multiplier * good) / (asked + 1.0)).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 1000"
        )]
        let permille = (share * 1000.0) as u16;
        self.shed_permille = permille.min(rule.max_shed_permille);
    }
}

/// Shedding no more than this is as good as nothing.
const CALM_PERMILLE: u16 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::evidence::Counts;

    const RULE: ThrottleRule = ThrottleRule {
        multiplier: 2.0,
        window: Duration::from_secs(30),
        max_shed_permille: 900,
        calm: Duration::from_secs(10),
    };

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000)
    }

    fn admitted(connects: u64, successes: u64) -> u16 {
        let mut throttling = Throttling::new(&RULE, None);
        let counts = Counts { connects, successes, ..Counts::default() };
        throttling.observe(&Sample { counts, ..Sample::default() }, true, &RULE, at(1));
        throttling.admit_permille()
    }

    #[test]
    fn the_share_follows_what_goes_wrong() {
        assert_eq!(admitted(100, 100), 1000);
        assert_eq!(admitted(100, 50), 1000);
        // (100 - 2 · 25) / 101
        assert_eq!(admitted(100, 25), 505);
        assert_eq!(admitted(1_000_000, 0), 100);
    }

    #[test]
    fn it_is_calm_only_without_a_rule_that_holds() {
        let mut throttling = Throttling::new(&RULE, None);
        let counts = Counts { connects: 9, successes: 9, ..Counts::default() };
        let sample = Sample { counts, ..Sample::default() };
        throttling.observe(&sample, true, &RULE, at(1));
        assert_eq!(throttling.deadline(&RULE), None);
        throttling.observe(&sample, false, &RULE, at(2));
        throttling.observe(&sample, false, &RULE, at(5));
        assert_eq!(throttling.deadline(&RULE), Some(at(12)));
    }

    #[test]
    fn a_twentieth_is_as_good_as_nothing() {
        let is_calm = |connects, successes| {
            let mut throttling = Throttling::new(&RULE, None);
            let counts = Counts { connects, successes, ..Counts::default() };
            throttling.observe(&Sample { counts, ..Sample::default() }, false, &RULE, at(1));
            throttling.deadline(&RULE).is_some()
        };
        // (19 - 2 · 9) / 20 and (17 - 2 · 8) / 18
        assert!(is_calm(19, 9));
        assert!(!is_calm(17, 8));
    }
}
