//! Whether the rules of a policy are in range and can work together.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::rule::TripRule;
use super::super::strategy::{Signal, Strategy};
use super::{
    Admission, CloseGate, Growth, HalfOpenRule, OpenRule, Policy, RampRule, SafetyRule, ShedAction,
    ThrottleRule,
};

/// Why a set of rules is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Without a strategy it would never trip.
    #[error("no trip rule: set at least one, such as consecutive, failure_share or latency")]
    NoTrip,
    /// A field is outside its range.
    #[error("{field} is {value}, outside {range}")]
    Range {
        /// Its path in the policy.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// More successes asked for than probes admitted.
    #[error(
        "half_open.successes is {successes}, more than the {tokens} tokens: the breaker could never close"
    )]
    Unreachable {
        /// Asked for.
        successes: u32,
        /// Admitted.
        tokens: u32,
    },
    /// More than one rule compares endpoints.
    #[error("a second outlier rule: endpoints can be compared by one measure only; remove one")]
    SecondOutlier,
    /// A rule looks at answers, and the policy does not.
    #[error("{field} looks at answers, which answers = false leaves out: remove one of them")]
    NeedsAnswers {
        /// The rule.
        field: &'static str,
    },
    /// One bound lies on the wrong side of another.
    #[error("{greater} is {value}, less than {lesser}, which is {bound}")]
    Crossed {
        /// The field that must not be less.
        greater: &'static str,
        /// What it is.
        value: String,
        /// The field it must not be less than.
        lesser: &'static str,
        /// What that is.
        bound: String,
    },
}

impl Policy {
    /// Checks the ranges and that the rules can work together.
    pub fn try_new(self) -> Result<Self, InvalidPolicy> {
        if self.trip.is_empty() {
            return Err(InvalidPolicy::NoTrip);
        }
        self.trip.iter().try_for_each(TripRule::check)?;
        let compares = |strategy: &&Strategy| matches!(strategy, Strategy::Outlier { .. });
        if self.strategies().filter(compares).count() > 1 {
            return Err(InvalidPolicy::SecondOutlier);
        }
        if !self.answers {
            self.needs_no_answers()?;
        }
        open(&self.open)?;
        half_open(&self.half_open)?;
        ramp(&self.ramp)?;
        throttle(&self.throttle)?;
        safety(&self.safety)?;
        if let ShedAction::Delay(milliseconds) = self.shed {
            range(
                "open.delay",
                (1..=MAX_DELAY_MS).contains(&milliseconds),
                milliseconds,
                "1ms to 10s",
            )?;
        }
        duration("caller_timeout", self.caller_timeout, "1ms to 1h", MILLISECOND..=HOUR)?;
        Ok(self)
    }

    fn needs_no_answers(&self) -> Result<(), InvalidPolicy> {
        let of_answers = |strategy: &&Strategy| strategy.signal() == Some(Signal::Response);
        let rule = self.strategies().find(of_answers).map(Strategy::field);
        let gate = self.half_open.gate.as_ref().map(|_| "half_open.at_most");
        rule.or(gate).map_or(Ok(()), |field| Err(InvalidPolicy::NeedsAnswers { field }))
    }

    /// Every strategy of every rule.
    pub fn strategies(&self) -> impl Iterator<Item = &Strategy> {
        self.trip.iter().flat_map(|trip| trip.rule.strategies())
    }
}

fn open(rule: &OpenRule) -> Result<(), InvalidPolicy> {
    let OpenRule { base, max, growth, jitter_permille } = rule;
    duration("open.base", *base, "10ms to 1h", MIN_OPEN..=HOUR)?;
    duration("open.max", *max, "10ms to 24h", MIN_OPEN..=24 * HOUR)?;
    not_less("open.max", max, "open.base", base)?;
    if let Growth::Exponential(factor) = growth {
        range("open.factor", (1.0..=10.0).contains(factor), factor, "1 to 10")?;
    }
    permille("open.jitter", *jitter_permille, 0)
}

fn half_open(rule: &HalfOpenRule) -> Result<(), InvalidPolicy> {
    let HalfOpenRule { admission, successes, on_failure: _, refill, gate, deadline } = rule;
    range("half_open.successes", *successes >= 1, successes, "1 to half_open.tokens")?;
    if let Admission::Tokens(tokens) = *admission {
        range("half_open.tokens", (1..=10_000).contains(&tokens), tokens, "1 to 10000")?;
        if *successes > tokens && refill.is_none() {
            return Err(InvalidPolicy::Unreachable { successes: *successes, tokens });
        }
    }
    if let Some(refill) = refill {
        duration("half_open.refill", *refill, "10ms to 1h", MIN_OPEN..=HOUR)?;
    }
    if let Some(CloseGate { success_permille, quantile_permille, at_most }) = gate {
        permille("half_open.success_share", *success_permille, 0)?;
        permille("half_open.quantile", *quantile_permille, 1)?;
        duration("half_open.at_most", *at_most, "1ms to 1m", MILLISECOND..=MINUTE)?;
    }
    duration("half_open.deadline", *deadline, "10ms to 1h", MIN_OPEN..=HOUR)
}

fn ramp(rule: &RampRule) -> Result<(), InvalidPolicy> {
    let RampRule { duration: ramp, start_permille, freeze_permille, reopen_permille } = rule;
    duration("recovery.ramp", *ramp, "0s to 1h", Duration::ZERO..=HOUR)?;
    permille("recovery.from", *start_permille, 1)?;
    permille("recovery.freeze", *freeze_permille, 1)?;
    permille("recovery.reopen", *reopen_permille, 1)?;
    let share = |permille: u16| f64::from(permille) / 1000.0;
    let (reopen, freeze) = (share(*reopen_permille), share(*freeze_permille));
    not_less("recovery.reopen", &reopen, "recovery.freeze", &freeze)
}

fn throttle(rule: &ThrottleRule) -> Result<(), InvalidPolicy> {
    let ThrottleRule { multiplier, window, max_shed_permille, calm } = rule;
    range("throttle.multiplier", (1.0..=100.0).contains(multiplier), multiplier, "1 to 100")?;
    duration("throttle.window", *window, "1s to 1h", SECOND..=HOUR)?;
    range(
        "throttle.max_shed",
        (1..=990).contains(max_shed_permille),
        f64::from(*max_shed_permille) / 1000.0,
        "0.001 to 0.99: somebody must get through",
    )?;
    duration("throttle.calm", *calm, "100ms to 1h", SECOND / 10..=HOUR)
}

fn safety(rule: &SafetyRule) -> Result<(), InvalidPolicy> {
    let percent = |field, value: u8| range(field, (1..=100).contains(&value), value, "1 to 100");
    percent("safety.max_open_percent", rule.max_open_percent)?;
    if let Some(panic_percent) = rule.panic_percent {
        percent("safety.panic_percent", panic_percent)?;
    }
    rule.false_refusals_permille
        .map_or(Ok(()), |permille_| permille("safety.false_refusals", permille_, 1))
}

pub(in crate::engine) fn duration(
    field: &'static str,
    value: Duration,
    range_text: &'static str,
    allowed: RangeInclusive<Duration>,
) -> Result<(), InvalidPolicy> {
    range(field, allowed.contains(&value), format!("{value:?}"), range_text)
}

pub(in crate::engine) fn range(
    field: &'static str,
    is_inside: bool,
    value: impl Display,
    range: &'static str,
) -> Result<(), InvalidPolicy> {
    if is_inside {
        Ok(())
    } else {
        Err(InvalidPolicy::Range { field, value: value.to_string(), range })
    }
}

fn permille(field: &'static str, value: u16, least: u16) -> Result<(), InvalidPolicy> {
    let text = if least == 0 { "0 to 1" } else { "0.001 to 1" };
    range(field, (least..=1000).contains(&value), f64::from(value) / 1000.0, text)
}

fn not_less<T: PartialOrd + std::fmt::Debug>(
    greater: &'static str,
    value: &T,
    lesser: &'static str,
    bound: &T,
) -> Result<(), InvalidPolicy> {
    if value >= bound {
        return Ok(());
    }
    let (value, bound) = (format!("{value:?}"), format!("{bound:?}"));
    Err(InvalidPolicy::Crossed { greater, value, lesser, bound })
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const MIN_OPEN: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_hours(1);
const MAX_DELAY_MS: u16 = 10_000;

#[cfg(test)]
mod tests {
    use super::super::super::rule::Rule;
    use super::super::super::scenarios;
    use super::*;

    /// A field, how it is set to a number in its own unit, the least and the greatest it may be.
    type Limits = (&'static str, fn(&mut Policy, u32), u32, u32);

    const LIMITS: &[Limits] = &[
        ("trip.for", |policy, times| policy.trip = lasting(times, 0), 1, 1_000),
        ("trip.every", |policy, ms| policy.trip = lasting(1, ms), 0, 600_000),
        ("open.base", |policy, ms| policy.open.base = milliseconds(ms), 10, 3_600_000),
        ("open.max", |policy, ms| policy.open.max = milliseconds(ms), 10, 86_400_000),
        ("open.factor", |policy, n| policy.open.growth = exponential(n), 1_000, 10_000),
        ("open.jitter", |policy, n| policy.open.jitter_permille = small(n), 0, 1_000),
        ("open.delay", |policy, ms| policy.shed = ShedAction::Delay(small(ms)), 1, 10_000),
        ("half_open.tokens", |policy, n| policy.half_open.admission = tokens(n), 1, 10_000),
        ("half_open.refill", |policy, ms| policy.half_open.refill = some(ms), 10, 3_600_000),
        ("half_open.success_share", |policy, n| policy.half_open.gate = gate(n, 1, 1), 0, 1_000),
        ("half_open.quantile", |policy, n| policy.half_open.gate = gate(0, n, 1), 1, 1_000),
        ("half_open.at_most", |policy, ms| policy.half_open.gate = gate(0, 1, ms), 1, 60_000),
        (
            "half_open.deadline",
            |policy, n| policy.half_open.deadline = milliseconds(n),
            10,
            3_600_000,
        ),
        ("recovery.ramp", |policy, ms| policy.ramp.duration = milliseconds(ms), 0, 3_600_000),
        ("recovery.from", |policy, n| policy.ramp.start_permille = small(n), 1, 1_000),
        ("recovery.freeze", |policy, n| policy.ramp.freeze_permille = small(n), 1, 1_000),
        ("recovery.reopen", |policy, n| policy.ramp.reopen_permille = small(n), 1, 1_000),
        ("throttle.multiplier", |policy, n| policy.throttle.multiplier = n.into(), 1, 100),
        (
            "throttle.window",
            |policy, ms| policy.throttle.window = milliseconds(ms),
            1_000,
            3_600_000,
        ),
        ("throttle.max_shed", |policy, n| policy.throttle.max_shed_permille = small(n), 1, 990),
        ("throttle.calm", |policy, ms| policy.throttle.calm = milliseconds(ms), 100, 3_600_000),
        ("safety.max_open_percent", |policy, n| policy.safety.max_open_percent = tiny(n), 1, 100),
        ("safety.panic_percent", |policy, n| policy.safety.panic_percent = Some(tiny(n)), 1, 100),
        (
            "safety.false_refusals",
            |policy, n| policy.safety.false_refusals_permille = Some(small(n)),
            1,
            1_000,
        ),
        ("caller_timeout", |policy, ms| policy.caller_timeout = milliseconds(ms), 1, 3_600_000),
    ];

    fn milliseconds(ms: u32) -> Duration {
        Duration::from_millis(ms.into())
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the field wants it")]
    fn some(ms: u32) -> Option<Duration> {
        Some(milliseconds(ms))
    }

    fn small(number: u32) -> u16 {
        u16::try_from(number).unwrap()
    }

    fn tiny(number: u32) -> u8 {
        u8::try_from(number).unwrap()
    }

    fn exponential(permille: u32) -> Growth {
        Growth::Exponential(f64::from(permille) / 1000.0)
    }

    const fn tokens(tokens: u32) -> Admission {
        Admission::Tokens(tokens)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the field wants it")]
    fn gate(success: u32, quantile: u32, ms: u32) -> Option<CloseGate> {
        let at_most = milliseconds(ms);
        let (success_permille, quantile_permille) = (small(success), small(quantile));
        Some(CloseGate { success_permille, quantile_permille, at_most })
    }

    fn lasting(evaluations: u32, every_ms: u32) -> Vec<TripRule> {
        let rule = Box::new(Rule::One(Strategy::Consecutive { failures: 5 }));
        let every = milliseconds(every_ms);
        vec![TripRule::opens(Rule::Lasting { rule, evaluations, every })]
    }

    /// A policy whose bounds leave each other room.
    fn policy() -> Policy {
        let mut policy = scenarios::policy(vec![Strategy::Consecutive { failures: 5 }]);
        policy.open.base = MIN_OPEN;
        policy.open.max = HOUR;
        policy.half_open.successes = 1;
        policy.ramp.freeze_permille = 1;
        policy.ramp.reopen_permille = 1_000;
        policy
    }

    #[test]
    fn every_range_ends_where_it_says() {
        for (field, set, least, greatest) in LIMITS {
            let check = |value| {
                let mut policy = policy();
                set(&mut policy, value);
                policy.try_new().map(drop)
            };
            assert_eq!([check(*least), check(*greatest)], [Ok(()), Ok(())], "{field}");
            for beyond in least.checked_sub(1).into_iter().chain([greatest + 1]) {
                let Err(InvalidPolicy::Range { field: refused, .. }) = check(beyond) else {
                    panic!("{field} may be {beyond}");
                };
                assert_eq!(refused, *field);
            }
        }
    }

    #[test]
    fn shares_are_shown_as_people_write_them() {
        let error = |set: fn(&mut Policy)| {
            let mut policy = policy();
            set(&mut policy);
            policy.try_new().expect_err("it is out of range").to_string()
        };
        assert_eq!(
            error(|policy| policy.throttle.max_shed_permille = 991),
            "throttle.max_shed is 0.991, outside 0.001 to 0.99: somebody must get through"
        );
        assert_eq!(
            error(|policy| policy.open.jitter_permille = 1_001),
            "open.jitter is 1.001, outside 0 to 1"
        );
        assert_eq!(
            error(|policy| policy.ramp.start_permille = 0),
            "recovery.from is 0, outside 0.001 to 1"
        );
        assert_eq!(
            error(|policy| {
                (policy.ramp.freeze_permille, policy.ramp.reopen_permille) = (500, 250);
            }),
            "recovery.reopen is 0.25, less than recovery.freeze, which is 0.5"
        );
    }

    #[test]
    fn no_more_successes_than_tokens_unless_they_are_granted_anew() {
        let check = |successes, refill| {
            let mut policy = policy();
            policy.half_open.admission = tokens(3);
            policy.half_open.successes = successes;
            policy.half_open.refill = refill;
            policy.try_new().map(drop)
        };
        assert_eq!(check(3, None), Ok(()));
        assert_eq!(check(4, None), Err(InvalidPolicy::Unreachable { successes: 4, tokens: 3 }));
        assert_eq!(check(4, some(1_000)), Ok(()));
        assert!(check(0, None).is_err());
    }

    #[test]
    fn bounds_may_meet_but_not_cross() {
        let check = |set: fn(&mut Policy)| {
            let mut policy = policy();
            policy.open.base = SECOND;
            set(&mut policy);
            match policy.try_new() {
                Err(InvalidPolicy::Crossed { greater, .. }) => greater,
                other => other.map_or("another error", |_| "fine"),
            }
        };
        assert_eq!(check(|policy| policy.open.max = policy.open.base), "fine");
        assert_eq!(check(|policy| policy.open.max = Duration::from_millis(999)), "open.max");
        assert_eq!(check(|policy| policy.ramp.freeze_permille = 1_000), "fine");
        let cross = |policy: &mut Policy| {
            (policy.ramp.freeze_permille, policy.ramp.reopen_permille) = (500, 499);
        };
        assert_eq!(check(cross), "recovery.reopen");
    }

    /// What only some rules need is asked of the kernel only for them.
    #[test]
    fn a_policy_says_what_it_needs() {
        let signals = [Signal::Connect, Signal::Response, Signal::Rtt];
        let policies = signals.map(|signal| {
            let second = Duration::from_secs(1);
            scenarios::policy(vec![scenarios::quantile(signal, 990, second, 10)])
        });
        assert_eq!(policies.each_ref().map(Policy::needs_round_trips), [false, false, true]);
        let refused = policies.map(|policy| Policy { answers: false, ..policy }.try_new().err());
        let needs = InvalidPolicy::NeedsAnswers { field: "trip.latency" };
        assert_eq!(refused, [None, Some(needs), None]);
    }

    #[test]
    fn a_policy_needs_rules_and_compares_endpoints_by_one_of_them() {
        let check = |trip| Policy { trip, ..policy() }.try_new().map(drop);
        let outlier = || {
            TripRule::opens(Rule::One(Strategy::Outlier {
                measure: super::super::super::Measure::FailureShare,
                deviations: 3.0,
                times: 2.0,
                floor: 0.1,
                min_attempts: 10,
                window: scenarios::TEN_SECONDS,
            }))
        };
        assert_eq!(check(vec![]), Err(InvalidPolicy::NoTrip));
        assert_eq!(check(vec![TripRule::opens(Rule::All(vec![]))]), Err(InvalidPolicy::NoTrip));
        assert_eq!(check(vec![outlier()]), Ok(()));
        assert_eq!(check(vec![outlier(), outlier()]), Err(InvalidPolicy::SecondOutlier));
    }
}
