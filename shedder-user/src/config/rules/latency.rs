//! Trip rules about latency.

use std::time::Duration;

use super::super::error::Complaint;
use super::super::value::{At, Time, permille};
use super::confidence::deviations;
use super::layer::layer;
use super::limit::{OverMean, OverUsual, TEN_SECONDS, limit, span};
use super::required;
use super::share::number;
use super::trip::{TripTable, rule_table};
use crate::engine::{DriftRule, Response, Signal, Span, Strategy};

rule_table! {
    /// `trip.latency`
    pub(super) struct Latency {
        /// What is timed: `response` is from the last byte of a request to the first byte of its
        /// answer, `connect` the handshake, `rtt` the round trip.
        #[schemars(extend("default" = "response"))]
        signal: At<Signal>,
        /// Which quantile: 0.99 is the slowest of a hundred.
        #[schemars(extend("minimum" = 0.001, "maximum" = 0.999, "default" = 0.99))]
        quantile: At<f64>,
        /// The limit, as a time. Excludes `over_mean` and `over_usual`; one of the three is needed.
        #[schemars(extend("x-minimum" = "1us", "x-maximum" = "1m"))]
        over: Time,
        /// The limit, as so many times the mean of the window.
        over_mean: OverMean,
        /// The limit, as so many times what was learned to be usual.
        over_usual: OverUsual,
        /// Latencies there must be.
        #[schemars(extend("minimum" = 0, "default" = 20))]
        min_samples: At<u64>,
        /// How far back it looks, by time. Excludes `last`.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h", "default" = "10s"))]
        window: Time,
        /// How far back it looks, by count of outcomes. Excludes `window`.
        #[schemars(extend("minimum" = 10, "maximum" = 1_000_000))]
        last: At<u32>,
    }
    either { over, over_mean, over_usual }
    either { window, last }
}

rule_table! {
    /// `trip.slow_share`
    pub(super) struct SlowShare {
        /// What is timed: `response` is from the last byte of a request to the first byte of its
        /// answer, `connect` the handshake, `rtt` the round trip.
        #[schemars(extend("default" = "response"))]
        signal: At<Signal>,
        /// The limit, as a time. Excludes `over_mean` and `over_usual`; one of the three is needed.
        #[schemars(extend("x-minimum" = "1us", "x-maximum" = "1m"))]
        over: Time,
        /// The limit, as so many times the mean of the window.
        over_mean: OverMean,
        /// The limit, as so many times what was learned to be usual.
        over_usual: OverUsual,
        /// The share of latencies over the limit from which on it acts.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.5))]
        at_least: At<f64>,
        /// How sure the lower end of the share must be, as a confidence level; 0 takes the plain
        /// share.
        #[schemars(extend("enum" = [0.0, 0.8, 0.9, 0.95, 0.99, 0.999], "default" = 0.95))]
        confidence: At<f64>,
        /// Latencies there must be.
        #[schemars(extend("minimum" = 0, "default" = 20))]
        min_samples: At<u64>,
        /// How far back it looks, by time. Excludes `last`.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h", "default" = "10s"))]
        window: Time,
        /// How far back it looks, by count of outcomes. Excludes `window`.
        #[schemars(extend("minimum" = 10, "maximum" = 1_000_000))]
        last: At<u32>,
    }
    either { over, over_mean, over_usual }
    either { window, last }
}

rule_table! {
    /// `trip.apdex`
    pub(super) struct Apdex {
        /// The time that satisfies; needed.
        #[schemars(extend("x-minimum" = "1us", "x-maximum" = "1m"))]
        within: Time,
        /// The share of answers that must come within it.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.85))]
        at_least: At<f64>,
        /// Latencies there must be.
        #[schemars(extend("minimum" = 0, "default" = 100))]
        min_samples: At<u64>,
        /// How far back it looks, by time. Excludes `last`.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h", "default" = "5m"))]
        window: Time,
        /// How far back it looks, by count of outcomes. Excludes `window`.
        #[schemars(extend("minimum" = 10, "maximum" = 1_000_000))]
        last: At<u32>,
    }
    either { window, last }
}

rule_table! {
    /// `trip.slo_drift`
    pub(super) struct SloDrift {
        /// Which quantile: 0.99 is the slowest of a hundred.
        #[schemars(extend("minimum" = 0.001, "maximum" = 0.999, "default" = 0.999))]
        quantile: At<f64>,
        /// The threshold is never below this.
        #[schemars(extend("x-minimum" = "1us", "x-maximum" = "1m", "default" = "200ms"))]
        objective: Time,
        /// How far the threshold follows the quantile at each step, as a share of the way.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.2))]
        alpha: At<f64>,
        /// The threshold is never above so many times the greatest latency of the window.
        #[schemars(extend("minimum" = 1.0, "maximum" = 1000.0, "default" = 1.5))]
        ceiling: At<f64>,
        /// How often it is looked whether the quantile has drifted.
        #[schemars(extend("x-minimum" = "1s", "x-maximum" = "24h", "default" = "1m"))]
        recalibrate: Time,
        /// By what share the quantile must have moved for the threshold to begin anew.
        #[schemars(extend("minimum" = 0.001, "maximum" = 10.0, "default" = 0.15))]
        drift: At<f64>,
        /// Latencies there must be.
        #[schemars(extend("minimum" = 0, "default" = 300))]
        min_samples: At<u64>,
        /// How far back it looks, by time. Excludes `last`.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h"))]
        window: Time,
        /// How far back it looks, by count of outcomes. Excludes `window`.
        #[schemars(extend("minimum" = 10, "maximum" = 1_000_000, "default" = 300))]
        last: At<u32>,
    }
    either { window, last }
}

impl TripTable for Latency {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        let over = (self.over.as_ref(), self.over_mean.as_ref(), self.over_usual.as_ref());
        Ok(Strategy::Latency {
            signal: number(self.signal.as_ref(), Signal::Response),
            quantile_permille: quantile("trip.latency.quantile", self.quantile.as_ref(), 990)?,
            over: limit("trip.latency", over.0, over.1, over.2)?,
            min_samples: number(self.min_samples.as_ref(), 20),
            window: span(self.window.as_ref(), self.last.as_ref(), TEN_SECONDS),
        })
    }
}

impl TripTable for SlowShare {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        let over = (self.over.as_ref(), self.over_mean.as_ref(), self.over_usual.as_ref());
        Ok(Strategy::SlowShare {
            signal: number(self.signal.as_ref(), Signal::Response),
            over: limit("trip.slow_share", over.0, over.1, over.2)?,
            at_least: number(self.at_least.as_ref(), 0.5),
            z: deviations(self.confidence.as_ref())?,
            min_samples: number(self.min_samples.as_ref(), 20),
            window: span(self.window.as_ref(), self.last.as_ref(), TEN_SECONDS),
        })
    }
}

impl TripTable for Apdex {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        Ok(Strategy::Apdex {
            within: required("trip.apdex.within", self.within.as_ref())?.duration(),
            at_least: number(self.at_least.as_ref(), 0.85),
            min_samples: number(self.min_samples.as_ref(), 100),
            window: span(self.window.as_ref(), self.last.as_ref(), FIVE_MINUTES),
        })
    }
}

impl TripTable for SloDrift {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        let default = DriftRule::default();
        let time = |time: &Option<Time>, default| time.as_ref().map_or(default, Time::duration);
        Ok(Strategy::SloDrift {
            rule: DriftRule {
                alpha: number(self.alpha.as_ref(), default.alpha),
                objective: time(&self.objective, default.objective),
                ceiling: number(self.ceiling.as_ref(), default.ceiling),
                recalibrate: time(&self.recalibrate, default.recalibrate),
                drift: number(self.drift.as_ref(), default.drift),
            },
            quantile_permille: quantile("trip.slo_drift.quantile", self.quantile.as_ref(), 999)?,
            min_samples: number(self.min_samples.as_ref(), 300),
            window: span(self.window.as_ref(), self.last.as_ref(), Span::Count(300)),
        })
    }
}

fn quantile(field: &str, given: Option<&At<f64>>, default: u16) -> Result<u16, Complaint> {
    given.map_or(Ok(default), |given| permille(field, given))
}

const FIVE_MINUTES: Span = Span::Time(Duration::from_mins(5));
