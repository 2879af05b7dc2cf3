//! Whether the rules of a policy are in range and can work together.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::rule::TripRule;
use super::super::strategy::Strategy;
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
