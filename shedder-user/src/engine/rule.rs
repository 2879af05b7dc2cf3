//! Rules: strategies, combined, and what they do when they hold.

use std::time::Duration;

use shedder_common::time::Monotonic;

use super::policy::{InvalidPolicy, duration, range};
use super::strategy::{Evidence, Reason, Remembered, Strategy};

/// A rule of a policy and what happens when it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct TripRule {
    /// When it holds.
    pub rule: Rule,
    /// What happens then.
    pub response: Response,
}

/// What a rule that holds does to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    /// People are told.
    Alarm,
    /// A share is shed, by how much goes wrong.
    Throttle,
    /// It opens.
    Open,
}

/// A strategy, or several combined.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// One by itself.
    One(Strategy),
    /// Holds when any of them does.
    Any(Vec<Self>),
    /// Holds when all of them do.
    All(Vec<Self>),
    /// Holds when the rule has held so many times in a row.
    Lasting {
        /// The rule.
        rule: Box<Self>,
        /// How many times, at least one.
        evaluations: u32,
        /// How far apart they are counted; zero counts every look.
        every: Duration,
    },
}

/// What the rules of one breaker remember between two looks: one entry for each strategy and each
/// [`Rule::Lasting`], in the order in which they are visited. Empty until something is seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Vec<Remembered>);

/// How often in a row a rule has held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streak {
    held: u32,
    counted: Monotonic,
}

impl TripRule {
    /// A rule that opens the breaker.
    pub const fn opens(rule: Rule) -> Self {
        Self { rule, response: Response::Open }
    }

    pub(super) fn check(&self) -> Result<(), InvalidPolicy> {
        self.rule.check()
    }
}

impl Response {
    /// The name in policy files and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Throttle => "throttle",
            Self::Open => "open",
        }
    }
}

impl Rule {
    /// Every strategy in it.
    pub fn strategies(&self) -> Box<dyn Iterator<Item = &Strategy> + '_> {
        match self {
            Self::One(strategy) => Box::new(std::iter::once(strategy)),
            Self::Any(rules) | Self::All(rules) => {
                Box::new(rules.iter().flat_map(|rule| rule.strategies()))
            }
            Self::Lasting { rule, .. } => rule.strategies(),
        }
    }

    /// The least of what its strategies have, of those that have any. Asked for at every look, so
    /// that it must not allocate.
    pub(super) fn least<T: Ord>(&self, of: &impl Fn(&Strategy) -> Option<T>) -> Option<T> {
        match self {
            Self::One(strategy) => of(strategy),
            Self::Any(rules) | Self::All(rules) => {
                rules.iter().filter_map(|rule| rule.least(of)).min()
            }
            Self::Lasting { rule, .. } => rule.least(of),
        }
    }

    /// As [`Strategy::patience`], of all of them. What is to hold several times in a row is looked at as often.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::One(strategy) => strategy.patience(),
            Self::Any(rules) | Self::All(rules) => {
                rules.iter().map(Self::patience).min().unwrap_or(Duration::MAX)
            }
            Self::Lasting { rule, every, .. } => rule.patience().min(*every),
        }
    }

    /// The first strategy that `is_wanted`, without allocating.
    pub(super) fn find(&self, is_wanted: fn(&Strategy) -> bool) -> Option<&Strategy> {
        match self {
            Self::One(strategy) => Some(strategy).filter(|strategy| is_wanted(strategy)),
            Self::Any(rules) | Self::All(rules) => {
                rules.iter().find_map(|rule| rule.find(is_wanted))
            }
            Self::Lasting { rule, .. } => rule.find(is_wanted),
        }
    }

    /// Whether the rule holds. Every part is looked at each time, because some of them learn.
    fn assess(
        &self,
        evidence: &Evidence<'_>,
        memory: &mut Memory,
        at: &mut usize,
    ) -> Option<Reason> {
        match self {
            Self::One(strategy) => strategy.assess(evidence, memory.entry(at)),
            Self::Any(rules) => {
                let mut held = None;
                for rule in rules {
                    let reason = rule.assess(evidence, memory, at);
                    held = held.or(reason);
                }
                held
            }
            Self::All(rules) => {
                let mut reasons = Vec::new();
                for rule in rules {
                    reasons.extend(rule.assess(evidence, memory, at));
                }
                (reasons.len() == rules.len() && !reasons.is_empty())
                    .then_some(Reason::All(reasons))
            }
            Self::Lasting { rule, evaluations, every } => {
                let own = *at;
                *at += 1;
                let reason = rule.assess(evidence, memory, at);
                let streak = Streak::entry(memory, own);
                streak.count(reason.is_some(), *every, evidence.now);
                (streak.held >= *evaluations).then_some(())?;
                let reason = Box::new(reason?);
                Some(Reason::Lasting { reason, evaluations: *evaluations, every: *every })
            }
        }
    }

    fn check(&self) -> Result<(), InvalidPolicy> {
        match self {
            Self::One(strategy) => strategy.check(),
            Self::Any(rules) | Self::All(rules) => {
                if rules.is_empty() {
                    return Err(InvalidPolicy::NoTrip);
                }
                rules.iter().try_for_each(Self::check)
            }
            Self::Lasting { rule, evaluations, every } => {
                range("trip.for", (1..=1000).contains(evaluations), evaluations, "1 to 1000")?;
                duration("trip.every", *every, "0s to 10m", Duration::ZERO..=MAX_EVERY)?;
                rule.check()
            }
        }
    }
}

impl Memory {
    /// The strongest response any rule asks for, and why. Of equals the first.
    pub(super) fn assess(
        &mut self,
        rules: &[TripRule],
        evidence: &Evidence<'_>,
    ) -> Option<(Response, Reason)> {
        let mut at = 0;
        let mut strongest: Option<(Response, Reason)> = None;
        for TripRule { rule, response } in rules {
            if let Some(reason) = rule.assess(evidence, self, &mut at)
                && strongest.as_ref().is_none_or(|(known, _)| known < response)
            {
                strongest = Some((*response, reason));
            }
        }
        strongest
    }

    /// Forgets streaks. What was learned in health stays.
    pub(super) fn forget_streaks(&mut self) {
        for entry in &mut self.0 {
            if matches!(entry, Remembered::Streak(_)) {
                *entry = Remembered::Nothing;
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Remembered>()
    }

    fn entry(&mut self, at: &mut usize) -> &mut Remembered {
        let own = *at;
        *at += 1;
        self.nth(own)
    }

    fn nth(&mut self, index: usize) -> &mut Remembered {
        if self.0.len() <= index {
            self.0.reserve_exact(index + 1 - self.0.len());
            self.0.resize_with(index + 1, || Remembered::Nothing);
        }
        &mut self.0[index]
    }
}

impl Streak {
    fn entry(memory: &mut Memory, own: usize) -> &mut Self {
        let entry = memory.nth(own);
        if !matches!(entry, Remembered::Streak(_)) {
            *entry = Remembered::Streak(Self { held: 0, counted: Monotonic::default() });
        }
        let Remembered::Streak(streak) = entry else { unreachable!("it was made one above") };
        streak
    }

    fn count(&mut self, holds: bool, every: Duration, now: Monotonic) {
        let passed = now.since(self.counted);
        if self.held > 0 && passed > every.saturating_mul(3).max(GAP) {
            // Too long ago to be called "in a row".
            self.held = 0;
        } else if self.held > 0 && holds && passed < every {
            return;
        }
        self.held = if holds { self.held.saturating_add(1) } else { 0 };
        self.counted = now;
    }
}

const MAX_EVERY: Duration = Duration::from_mins(10);
/// Looks further apart than this are not in a row, however often they are counted.
const GAP: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Limit, Signal, Span};

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_nanos(milliseconds * 1_000_000)
    }

    fn held(looks: &[(u64, bool)], every: Duration) -> u32 {
        let mut streak = Streak { held: 0, counted: Monotonic::default() };
        for (time, holds) in looks {
            streak.count(*holds, every, at(*time));
        }
        streak.held
    }

    #[test]
    fn each_rule_has_a_place_in_the_memory() {
        let mut memory = Memory::default();
        let mut place = 0;
        *memory.entry(&mut place) = Remembered::Streak(Streak { held: 7, counted: at(0) });
        assert!(matches!(memory.entry(&mut place), Remembered::Nothing));
        assert_eq!((place, memory.heap_bytes()), (2, 2 * size_of::<Remembered>()));
        memory.clear();
        assert_eq!(memory.heap_bytes(), 0);
        assert!(matches!(memory.entry(&mut 0), Remembered::Nothing));
    }

    #[test]
    fn a_rule_has_the_patience_of_its_hastiest_strategy() {
        let (second, eighth) = (Duration::from_secs(1), Duration::from_millis(125));
        let failures = || Rule::One(Strategy::Consecutive { failures: 5 });
        let slow = |signal, window| {
            let over = Limit::Fixed(second);
            let (at_least, z, min_samples) = (0.5, 0.0, 1);
            Rule::One(Strategy::SlowShare { signal, over, at_least, z, min_samples, window })
        };
        let lasting = |every| Rule::Lasting { rule: Box::new(failures()), evaluations: 3, every };
        for (rule, patience) in [
            (failures(), Duration::MAX),
            (slow(Signal::Connect, Span::Time(10 * second)), second),
            (slow(Signal::Connect, Span::Time(second)), eighth),
            (slow(Signal::Rtt, Span::Count(9)), Duration::ZERO),
            (Rule::One(Strategy::InFlight { over: 9 }), Duration::ZERO),
            (Rule::Any(vec![failures(), slow(Signal::Response, Span::Count(9))]), second),
            (Rule::All(vec![]), Duration::MAX),
            (lasting(second), second),
            (lasting(Duration::ZERO), Duration::ZERO),
        ] {
            assert_eq!(rule.patience(), patience, "{rule:?}");
        }
    }

    #[test]
    fn responses_are_called_as_in_policy_files() {
        let all = [Response::Alarm, Response::Throttle, Response::Open];
        assert_eq!(all.map(Response::name), ["alarm", "throttle", "open"]);
    }

    #[test]
    fn looks_closer_than_the_period_count_once() {
        let second = Duration::from_secs(1);
        let looks: Vec<_> = (10..=30).map(|tenth| (tenth * 100, true)).collect();
        assert_eq!(held(&looks, second), 3);
        assert_eq!(held(&looks, Duration::ZERO), 21);
    }

    #[test]
    fn one_that_does_not_hold_starts_afresh() {
        let second = Duration::from_secs(1);
        assert_eq!(held(&[(1_000, true), (2_000, true), (2_500, false), (3_000, true)], second), 1);
    }

    #[test]
    fn a_long_silence_starts_afresh() {
        let second = Duration::from_secs(1);
        assert_eq!(held(&[(1_000, true), (2_000, true), (20_000, true)], second), 1);
    }

    #[test]
    fn in_a_row_is_up_to_three_periods_apart() {
        let looks = |gap: u64| [(1_000, true), (1_000 + gap, true)];
        let two = Duration::from_secs(2);
        assert_eq!([6_000, 6_001].map(|gap| held(&looks(gap), two)), [2, 1]);
        // Or three seconds, however short the period is.
        assert_eq!([3_000, 3_001].map(|gap| held(&looks(gap), Duration::ZERO)), [2, 1]);
    }
}
