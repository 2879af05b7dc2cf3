//! A validated policy: after `Policy::try_new` nothing is checked again.

use std::time::Duration;

use shedder_common::errno::Errno;

use super::strategy::Strategy;

/// Whether verdicts act or are only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Count what enforcing would have shed.
    Observe,
    /// Shed.
    Enforce,
}

/// What happens to a connect that is shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShedAction {
    /// `connect()` fails at once with this error.
    Deny(Errno),
    /// The SYN is held this many milliseconds.
    Delay(u16),
    /// The connect goes to a healthy sibling; where there is none it is denied with this error.
    Redirect(Errno),
}

/// How long a trip lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRule {
    /// After the first trip.
    pub base: Duration,
    /// After any number of trips.
    pub max: Duration,
    /// The share of it, in thousandths, that chance may take away.
    pub jitter_permille: u16,
}

/// How an open breaker finds out whether the endpoint is back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfOpenRule {
    /// Probes admitted, at least one.
    pub tokens: u32,
    /// Probes that must end well, between one and `tokens`.
    pub successes: u32,
    /// How long the probes may take, from the first one admitted.
    pub deadline: Duration,
}

/// How traffic returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RampRule {
    /// Time from `start_permille` to everything; zero closes at once.
    pub duration: Duration,
    /// Share admitted at the start, in thousandths, at least one.
    pub start_permille: u16,
}

/// Everything that decides about one breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// As people know it.
    pub name: String,
    /// Whether verdicts act.
    pub mode: Mode,
    /// Any of these trips the breaker.
    pub trip: Vec<Strategy>,
    /// What happens to connects while it is open.
    pub shed: ShedAction,
    /// How long it stays open.
    pub open: OpenRule,
    /// How it probes.
    pub half_open: HalfOpenRule,
    /// How it recovers.
    pub ramp: RampRule,
    /// An attempt or turn the caller gives up after at least this long counts as timed out.
    pub caller_timeout: Duration,
    /// Turns at the start of each connection left unmeasured.
    pub turns_to_skip: u8,
}

/// Why a set of rules is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Without a strategy it would never trip.
    #[error("no trip rule: set at least one of consecutive, failure_share or latency")]
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
    /// The cap lies below the start.
    #[error("open.max is {max:?}, less than open.base, which is {base:?}")]
    MaxBelowBase {
        /// The cap.
        max: Duration,
        /// The start.
        base: Duration,
    },
}

impl Policy {
    /// Checks the ranges and that the rules can work together.
    pub fn try_new(self) -> Result<Self, InvalidPolicy> {
        if self.trip.is_empty() {
            return Err(InvalidPolicy::NoTrip);
        }
        for strategy in &self.trip {
            strategy.check()?;
        }
        let OpenRule { base, max, jitter_permille } = &self.open;
        duration("open.base", *base, "10ms to 1h", MIN_OPEN..=HOUR)?;
        duration("open.max", *max, "10ms to 24h", MIN_OPEN..=24 * HOUR)?;
        if max < base {
            return Err(InvalidPolicy::MaxBelowBase { max: *max, base: *base });
        }
        range(
            "open.jitter",
            *jitter_permille <= 1000,
            f64::from(*jitter_permille) / 1000.0,
            "0 to 1",
        )?;
        let HalfOpenRule { tokens, successes, deadline } = &self.half_open;
        range("half_open.tokens", (1..=10_000).contains(tokens), tokens, "1 to 10000")?;
        range("half_open.successes", *successes >= 1, successes, "1 to half_open.tokens")?;
        if successes > tokens {
            return Err(InvalidPolicy::Unreachable { successes: *successes, tokens: *tokens });
        }
        duration("half_open.deadline", *deadline, "10ms to 1h", MIN_OPEN..=HOUR)?;
        let RampRule { duration: ramp, start_permille } = &self.ramp;
        duration("recovery.ramp", *ramp, "0s to 1h", Duration::ZERO..=HOUR)?;
        range(
            "recovery.from",
            (1..=1000).contains(start_permille),
            f64::from(*start_permille) / 1000.0,
            "0.001 to 1",
        )?;
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

    /// The fewest consecutive failures that trip; nothing when no strategy counts them.
    pub fn failure_run_limit(&self) -> Option<u32> {
        self.trip.iter().filter_map(Strategy::failure_run_limit).min()
    }

    /// The response time over which a probe fails; nothing when no strategy limits it.
    pub fn slow_after(&self) -> Option<Duration> {
        self.trip.iter().filter_map(Strategy::slow_after).min()
    }
}

pub(super) fn duration(
    field: &'static str,
    value: Duration,
    range_text: &'static str,
    allowed: std::ops::RangeInclusive<Duration>,
) -> Result<(), InvalidPolicy> {
    range(field, allowed.contains(&value), format!("{value:?}"), range_text)
}

pub(super) fn range(
    field: &'static str,
    is_inside: bool,
    value: impl std::fmt::Display,
    range: &'static str,
) -> Result<(), InvalidPolicy> {
    if is_inside {
        Ok(())
    } else {
        Err(InvalidPolicy::Range { field, value: value.to_string(), range })
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const MIN_OPEN: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_hours(1);
const MAX_DELAY_MS: u16 = 10_000;
