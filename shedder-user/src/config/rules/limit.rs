//! What several trip rules share: what is slow, how far back to look, how long to hold, and what
//! to do then.

use std::time::Duration;

use super::super::error::Complaint;
use super::super::value::{At, Time, words};
use super::layer::layer;
use super::required;
use crate::engine::{LearnRule, Limit, Response, Rule, Signal, Span, TripRule};

layer! {
    /// So many times the mean of the window.
    pub(super) struct OverMean {
        /// How many times the mean of the window.
        #[schemars(extend("minimum" = 1.0, "maximum" = 1000.0, "default" = 3.0))]
        times: At<f64>,
        /// The limit is never below this; at most `cap`.
        #[schemars(extend("x-minimum" = "0s", "x-maximum" = "1m", "default" = "100ms"))]
        floor: Time,
        /// The limit is never above this.
        #[schemars(extend("x-minimum" = "1us", "x-maximum" = "1m", "default" = "5s"))]
        cap: Time,
    }
}

layer! {
    /// So many times what was learned to be usual.
    pub(super) struct OverUsual {
        /// How many times what is usual.
        #[schemars(extend("minimum" = 1.0, "maximum" = 1000.0, "default" = 3.0))]
        times: At<f64>,
        /// The limit is never below this; at most `cap`.
        #[schemars(extend("x-minimum" = "0s", "x-maximum" = "1m", "default" = "100ms"))]
        floor: Time,
        /// The limit is never above this.
        #[schemars(extend("x-minimum" = "1us", "x-maximum" = "1m", "default" = "5s"))]
        cap: Time,
        /// How what is usual is learned.
        learn: Learn,
    }
}

layer! {
    /// How what is usual is learned.
    pub(super) struct Learn {
        /// How long until half of what was learned is from since then.
        #[schemars(extend("x-minimum" = "1s", "x-maximum" = "24h", "default" = "30m"))]
        half_life: Time,
        /// What is usual rises by at most this factor in a half-life; it falls freely.
        #[schemars(extend("minimum" = 1.0, "maximum" = 1000.0, "default" = 1.5))]
        max_rise: At<f64>,
        /// Nothing is usual before this time has passed.
        #[schemars(extend("x-minimum" = "0s", "x-maximum" = "24h", "default" = "10m"))]
        warm_up: Time,
        /// Nor before so many samples.
        #[schemars(extend("minimum" = 0, "default" = 200))]
        min_samples: At<u64>,
    }
}

/// The keys every trip rule may have.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    pub(super) evaluations: Option<&'a At<u32>>,
    pub(super) every: Option<&'a Time>,
    pub(super) then: Option<&'a At<Response>>,
}

words!("latency signal", Signal {
    "response" => Self::Response,
    "connect" => Self::Connect,
    "rtt" => Self::Rtt,
});

words!("response", Response {
    "open" => Self::Open,
    "throttle" => Self::Throttle,
    "alarm" => Self::Alarm,
});

/// The limit one of these three sets.
pub(super) fn limit(
    field: &str,
    over: Option<&Time>,
    over_mean: Option<&OverMean>,
    over_usual: Option<&OverUsual>,
) -> Result<Limit, Complaint> {
    let time = |time: &Option<Time>, default| time.as_ref().map_or(default, Time::duration);
    if let Some(over) = over {
        return Ok(Limit::Fixed(over.duration()));
    }
    if let Some(OverMean { times, floor, cap }) = over_mean {
        return Ok(Limit::Mean {
            times: times.as_ref().map_or(TIMES, |times| times.value),
            floor: time(floor, FLOOR),
            cap: time(cap, CAP),
        });
    }
    if let Some(OverUsual { times, floor, cap, learn }) = over_usual {
        return Ok(Limit::Baseline {
            times: times.as_ref().map_or(TIMES, |times| times.value),
            floor: time(floor, FLOOR),
            cap: time(cap, CAP),
            learn: self::learn(learn.as_ref()),
        });
    }
    required::<Limit>(&format!("{field}.over"), None).copied()
}

/// The given settings over the usual ones.
pub(super) fn learn(learn: Option<&Learn>) -> LearnRule {
    let default = LearnRule::default();
    let Some(Learn { half_life, max_rise, warm_up, min_samples }) = learn else { return default };
    LearnRule {
        half_life: half_life.as_ref().map_or(default.half_life, Time::duration),
        max_rise: max_rise.as_ref().map_or(default.max_rise, |rise| rise.value),
        warm_up: warm_up.as_ref().map_or(default.warm_up, Time::duration),
        min_samples: min_samples.as_ref().map_or(default.min_samples, |least| least.value),
    }
}

/// How far back, by time or by count.
pub(super) fn span(window: Option<&Time>, last: Option<&At<u32>>, default: Span) -> Span {
    match (window, last) {
        (Some(window), _) => Span::Time(window.duration()),
        (None, Some(last)) => Span::Count(last.value),
        (None, None) => default,
    }
}

impl Terms<'_> {
    /// The rule as these terms have it.
    pub(super) fn rule(&self, rule: Rule) -> Result<Rule, Complaint> {
        let Some(evaluations) = self.evaluations else {
            return self.every.map_or(Ok(rule), |every| {
                Err(every.complaint("every needs for: how many times it must hold"))
            });
        };
        Ok(Rule::Lasting {
            rule: Box::new(rule),
            evaluations: evaluations.value,
            every: self.every.map_or(Duration::ZERO, Time::duration),
        })
    }

    /// The rule and what it does.
    pub(super) fn trip(&self, rule: Rule) -> Result<TripRule, Complaint> {
        let response = self.then.map_or(Response::Open, |then| then.value);
        Ok(TripRule { rule: self.rule(rule)?, response })
    }

    /// The rule as a part of others, which has nothing to do by itself.
    pub(super) fn part(&self, rule: Rule) -> Result<Rule, Complaint> {
        if let Some(then) = self.then {
            return Err(
                then.complaint("a part of trip.all does nothing by itself; put then into trip.all")
            );
        }
        self.rule(rule)
    }
}

/// How far back a rule looks unless told otherwise.
pub(super) const TEN_SECONDS: Span = Span::Time(Duration::from_secs(10));
const TIMES: f64 = 3.0;
const FLOOR: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(5);
