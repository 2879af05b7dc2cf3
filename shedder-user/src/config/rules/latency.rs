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
        signal: At<Signal>,
        quantile: At<f64>,
        over: Time,
        over_mean: OverMean,
        over_usual: OverUsual,
        min_samples: At<u64>,
        window: Time,
        last: At<u32>,
    }
    either { over, over_mean, over_usual }
    either { window, last }
}

rule_table! {
    /// `trip.slow_share`
    pub(super) struct SlowShare {
        signal: At<Signal>,
        over: Time,
        over_mean: OverMean,
        over_usual: OverUsual,
        at_least: At<f64>,
        confidence: At<f64>,
        min_samples: At<u64>,
        window: Time,
        last: At<u32>,
    }
    either { over, over_mean, over_usual }
    either { window, last }
}

rule_table! {
    /// `trip.apdex`
    pub(super) struct Apdex {
        within: Time,
        at_least: At<f64>,
        min_samples: At<u64>,
        window: Time,
        last: At<u32>,
    }
    either { window, last }
}

rule_table! {
    /// `trip.slo_drift`
    pub(super) struct SloDrift {
        quantile: At<f64>,
        objective: Time,
        alpha: At<f64>,
        ceiling: At<f64>,
        recalibrate: Time,
        drift: At<f64>,
        min_samples: At<u64>,
        window: Time,
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
