//! The rules of a policy or preset, every field optional, so that one overrides another field by
//! field; and their resolution into a checked [`Policy`].

use serde::Deserialize;
use shedder_common::errno::Errno;

use super::error::Complaint;
use super::value::{Number, Text, Time, errno, permille};
use crate::engine::{HalfOpenRule, Mode, OpenRule, Policy, RampRule, ShedAction, Signal, Strategy};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    pub(super) trip: Option<Trip>,
    pub(super) open: Option<Open>,
    pub(super) half_open: Option<HalfOpen>,
    pub(super) recovery: Option<Recovery>,
    pub(super) caller_timeout: Option<Time>,
    pub(super) turns_to_skip: Option<Number<u8>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trip {
    consecutive: Option<Number<u32>>,
    failure_share: Option<FailureShare>,
    latency: Option<Latency>,
    /// Rules of the preset this policy does not want.
    #[serde(default)]
    without: Vec<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureShare {
    at_least: Option<Number<f64>>,
    confidence: Option<Number<f64>>,
    min_attempts: Option<u64>,
    window: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    signal: Option<Text>,
    quantile: Option<Number<f64>>,
    over: Option<Time>,
    min_samples: Option<u64>,
    window: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    action: Option<Text>,
    errno: Option<Text>,
    delay: Option<Time>,
    base: Option<Time>,
    max: Option<Time>,
    jitter: Option<Number<f64>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HalfOpen {
    tokens: Option<u32>,
    successes: Option<u32>,
    deadline: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recovery {
    ramp: Option<Time>,
    from: Option<Number<f64>>,
}

impl Rules {
    /// These rules where they say something, `base` where they do not.
    pub(super) fn over(self, base: Self) -> Self {
        Self {
            trip: merge(self.trip, base.trip, Trip::over),
            open: merge(self.open, base.open, Open::over),
            half_open: merge(self.half_open, base.half_open, HalfOpen::over),
            recovery: merge(self.recovery, base.recovery, Recovery::over),
            caller_timeout: self.caller_timeout.or(base.caller_timeout),
            turns_to_skip: self.turns_to_skip.or(base.turns_to_skip),
        }
    }

    /// The policy these rules, which the default preset has completed, make.
    pub(super) fn resolve(self, name: String, mode: Mode) -> Result<Policy, Complaint> {
        let Open { action, errno: errno_name, delay, base, max, jitter } =
            self.open.ok_or_else(|| missing("open"))?;
        let HalfOpen { tokens, successes, deadline } =
            self.half_open.ok_or_else(|| missing("half_open"))?;
        let Recovery { ramp, from } = self.recovery.ok_or_else(|| missing("recovery"))?;
        let errno = errno_name.as_ref().map_or_else(|| Ok(Errno::default()), errno)?;
        let policy = Policy {
            name,
            mode,
            trip: self.trip.ok_or_else(|| missing("trip"))?.resolve()?,
            shed: shed(action.as_ref(), errno, delay.as_ref())?,
            open: OpenRule {
                base: required("open.base", base)?.duration()?,
                max: required("open.max", max)?.duration()?,
                jitter_permille: permille("open.jitter", &required("open.jitter", jitter)?)?,
            },
            half_open: HalfOpenRule {
                tokens: required("half_open.tokens", tokens)?,
                successes: required("half_open.successes", successes)?,
                deadline: required("half_open.deadline", deadline)?.duration()?,
            },
            ramp: RampRule {
                duration: required("recovery.ramp", ramp)?.duration()?,
                start_permille: permille("recovery.from", &required("recovery.from", from)?)?,
            },
            caller_timeout: required("caller_timeout", self.caller_timeout)?.duration()?,
            turns_to_skip: *required("turns_to_skip", self.turns_to_skip)?.get_ref(),
        };
        policy.try_new().map_err(Complaint::whole)
    }
}

impl Trip {
    fn over(self, base: Self) -> Self {
        let dropped = |rule: &str| self.without.iter().any(|name| name.get_ref() == rule);
        Self {
            consecutive: self
                .consecutive
                .clone()
                .or_else(|| base.consecutive.filter(|_| !dropped("consecutive"))),
            failure_share: merge(
                self.failure_share.clone(),
                base.failure_share.filter(|_| !dropped("failure_share")),
                FailureShare::over,
            ),
            latency: merge(
                self.latency.clone(),
                base.latency.filter(|_| !dropped("latency")),
                Latency::over,
            ),
            without: self.without,
        }
    }

    fn resolve(self) -> Result<Vec<Strategy>, Complaint> {
        for name in &self.without {
            if !TRIP_RULES.contains(&name.get_ref().as_str()) {
                let (name, span) = (name.get_ref(), name.span());
                let known = TRIP_RULES.join(", ");
                return Err(Complaint::at(
                    span,
                    format!("{name:?} is no trip rule; there are {known}"),
                ));
            }
        }
        let mut strategies = Vec::new();
        if let Some(failures) = self.consecutive {
            strategies.push(Strategy::Consecutive { failures: *failures.get_ref() });
        }
        if let Some(rule) = self.failure_share {
            strategies.push(rule.resolve()?);
        }
        if let Some(rule) = self.latency {
            strategies.push(rule.resolve()?);
        }
        Ok(strategies)
    }
}

impl FailureShare {
    fn over(self, base: Self) -> Self {
        Self {
            at_least: self.at_least.or(base.at_least),
            confidence: self.confidence.or(base.confidence),
            min_attempts: self.min_attempts.or(base.min_attempts),
            window: self.window.or(base.window),
        }
    }

    fn resolve(self) -> Result<Strategy, Complaint> {
        Ok(Strategy::FailureShare {
            at_least: *required("trip.failure_share.at_least", self.at_least)?.get_ref(),
            z: self.confidence.map_or(Ok(DEFAULT_Z), |confidence| deviations(&confidence))?,
            min_attempts: self.min_attempts.unwrap_or(1),
            window: required("trip.failure_share.window", self.window)?.duration()?,
        })
    }
}

impl Latency {
    fn over(self, base: Self) -> Self {
        Self {
            signal: self.signal.or(base.signal),
            quantile: self.quantile.or(base.quantile),
            over: self.over.or(base.over),
            min_samples: self.min_samples.or(base.min_samples),
            window: self.window.or(base.window),
        }
    }

    fn resolve(self) -> Result<Strategy, Complaint> {
        let signal = match self.signal.as_ref().map(|text| text.get_ref().as_str()) {
            None | Some("response") => Signal::Response,
            Some("connect") => Signal::Connect,
            Some(other) => {
                let span = self.signal.as_ref().map_or(0..0, Text::span);
                let message = format!("{other:?} is no latency signal; use response or connect");
                return Err(Complaint::at(span, message));
            }
        };
        let quantile = required("trip.latency.quantile", self.quantile)?;
        Ok(Strategy::Latency {
            signal,
            quantile_permille: permille("trip.latency.quantile", &quantile)?,
            over: required("trip.latency.over", self.over)?.duration()?,
            min_samples: self.min_samples.unwrap_or(1),
            window: required("trip.latency.window", self.window)?.duration()?,
        })
    }
}

impl Open {
    fn over(self, base: Self) -> Self {
        Self {
            action: self.action.or(base.action),
            errno: self.errno.or(base.errno),
            delay: self.delay.or(base.delay),
            base: self.base.or(base.base),
            max: self.max.or(base.max),
            jitter: self.jitter.or(base.jitter),
        }
    }
}

impl HalfOpen {
    fn over(self, base: Self) -> Self {
        Self {
            tokens: self.tokens.or(base.tokens),
            successes: self.successes.or(base.successes),
            deadline: self.deadline.or(base.deadline),
        }
    }
}

impl Recovery {
    fn over(self, base: Self) -> Self {
        Self { ramp: self.ramp.or(base.ramp), from: self.from.or(base.from) }
    }
}

fn shed(
    action: Option<&Text>,
    errno: Errno,
    delay: Option<&Time>,
) -> Result<ShedAction, Complaint> {
    let Some(action) = action else { return Ok(ShedAction::Deny(errno)) };
    match action.get_ref().as_str() {
        "deny" => Ok(ShedAction::Deny(errno)),
        "redirect" => Ok(ShedAction::Redirect(errno)),
        "delay" => {
            let delay = delay.ok_or_else(|| {
                Complaint::at(
                    action.span(),
                    "action = \"delay\" needs delay, such as delay = \"100ms\"",
                )
            })?;
            let milliseconds = u16::try_from(delay.duration()?.as_millis());
            let milliseconds = milliseconds
                .map_err(|_too_long| Complaint::at(delay.span(), "a delay lasts 1ms to 10s"))?;
            Ok(ShedAction::Delay(milliseconds))
        }
        other => Err(Complaint::at(
            action.span(),
            format!("{other:?} is no action; use deny, delay or redirect"),
        )),
    }
}

/// Standard deviations of a two-sided confidence level.
fn deviations(confidence: &Number<f64>) -> Result<f64, Complaint> {
    let wanted = *confidence.get_ref();
    let found = CONFIDENCE_LEVELS.iter().find(|(level, _)| (level - wanted).abs() < 1e-9);
    found.map(|(_, z)| *z).ok_or_else(|| {
        let known: Vec<_> = CONFIDENCE_LEVELS.iter().map(|(level, _)| level.to_string()).collect();
        let message = format!("confidence {wanted} is not one of {}", known.join(", "));
        Complaint::at(confidence.span(), message)
    })
}

/// The confidence level whose interval is `z` standard deviations wide: the reverse of what a
/// policy file says. Zero for a width no file can ask for.
pub fn confidence(z: f64) -> f64 {
    let found = CONFIDENCE_LEVELS.iter().find(|(_, known)| (known - z).abs() < 1e-9);
    found.map_or(0.0, |(level, _)| *level)
}

fn merge<T>(over: Option<T>, base: Option<T>, both: impl FnOnce(T, T) -> T) -> Option<T> {
    match (over, base) {
        (Some(over), Some(base)) => Some(both(over, base)),
        (over, base) => over.or(base),
    }
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, Complaint> {
    value.ok_or_else(|| missing(field))
}

fn missing(field: &str) -> Complaint {
    Complaint::whole(format!("{field} is missing and no preset sets it"))
}

const TRIP_RULES: [&str; 3] = ["consecutive", "failure_share", "latency"];
const DEFAULT_Z: f64 = 1.96;
/// Zero takes the plain share.
const CONFIDENCE_LEVELS: [(f64, f64); 6] =
    [(0.0, 0.0), (0.8, 1.281_6), (0.9, 1.644_9), (0.95, 1.96), (0.99, 2.575_8), (0.999, 3.290_5)];
