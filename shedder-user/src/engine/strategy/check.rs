//! Whether the constants of a strategy are in range.

use std::time::Duration;

use super::super::baseline::LearnRule;
use super::super::policy::{InvalidPolicy, duration, range};
use super::super::slo_drift::DriftRule;
use super::super::window::Span;
use super::{Limit, Measure, Strategy};

impl Strategy {
    pub(in crate::engine) fn check(&self) -> Result<(), InvalidPolicy> {
        for span in self.spans() {
            check_span(self.window_fields(), span)?;
        }
        match self {
            Self::Consecutive { failures } => {
                range("trip.consecutive", (1..=100_000).contains(failures), failures, "1 to 100000")
            }
            Self::FailureShare { at_least, z, .. } => {
                share("trip.failure_share.at_least", *at_least)?;
                confidence("trip.failure_share.confidence", *z)
            }
            Self::Latency { quantile_permille, over, .. } => {
                quantile("trip.latency.quantile", *quantile_permille)?;
                limit("trip.latency.over", over)
            }
            Self::SlowShare { over, at_least, z, .. } => {
                limit("trip.slow_share.over", over)?;
                share("trip.slow_share.at_least", *at_least)?;
                confidence("trip.slow_share.confidence", *z)
            }
            Self::Apdex { within, at_least, .. } => {
                duration("trip.apdex.within", *within, LATENCY_TEXT, MIN_LATENCY..=MAX_LATENCY)?;
                share("trip.apdex.at_least", *at_least)
            }
            Self::SloDrift { rule, quantile_permille, .. } => {
                quantile("trip.slo_drift.quantile", *quantile_permille)?;
                drift(rule)
            }
            Self::RetransmitShare { over, .. } => share("trip.retransmit_share.over", *over),
            Self::Outlier { measure, deviations, times, floor, .. } => {
                if let Measure::Latency(_, permille) = measure {
                    quantile("trip.outlier.quantile", *permille)?;
                }
                let inside =
                    |value: &f64, most: f64| value.is_finite() && (0.0..=most).contains(value);
                range(
                    "trip.outlier.deviations",
                    inside(deviations, 100.0),
                    deviations,
                    "0 to 100",
                )?;
                range("trip.outlier.times", inside(times, 1000.0), times, "0 to 1000")?;
                range("trip.outlier.floor", inside(floor, 3600.0), floor, "0 to 3600")
            }
            Self::Surge { times, learn: rule, window, .. } => {
                if let Span::Count(count) = window {
                    let field = "trip.surge.last";
                    return range(field, false, count, "a window of time: it compares rates");
                }
                factor("trip.surge.times", *times)?;
                learn(rule)
            }
            Self::InFlight { over } => {
                range("trip.in_flight.over", (1..=10_000_000).contains(over), over, "1 to 10000000")
            }
        }
    }
}

impl Strategy {
    /// What the span is called in a policy file: one of time, one of count.
    const fn window_fields(&self) -> (&'static str, &'static str) {
        match self {
            Self::Consecutive { .. } | Self::InFlight { .. } => ("trip.window", "trip.last"),
            Self::FailureShare { .. } => ("trip.failure_share.window", "trip.failure_share.last"),
            Self::Latency { .. } => ("trip.latency.window", "trip.latency.last"),
            Self::SlowShare { .. } => ("trip.slow_share.window", "trip.slow_share.last"),
            Self::Apdex { .. } => ("trip.apdex.window", "trip.apdex.last"),
            Self::SloDrift { .. } => ("trip.slo_drift.window", "trip.slo_drift.last"),
            Self::RetransmitShare { .. } => {
                ("trip.retransmit_share.window", "trip.retransmit_share.last")
            }
            Self::Outlier { .. } => ("trip.outlier.window", "trip.outlier.last"),
            Self::Surge { .. } => ("trip.surge.window", "trip.surge.last"),
        }
    }
}

fn limit(field: &'static str, limit: &Limit) -> Result<(), InvalidPolicy> {
    match limit {
        Limit::Fixed(over) => duration(field, *over, LATENCY_TEXT, MIN_LATENCY..=MAX_LATENCY),
        Limit::Mean { times, floor, cap } | Limit::Baseline { times, floor, cap, .. } => {
            factor(field, *times)?;
            duration(field, *cap, LATENCY_TEXT, MIN_LATENCY..=MAX_LATENCY)?;
            duration(field, *floor, "up to its cap", Duration::ZERO..=*cap)?;
            if let Limit::Baseline { learn: rule, .. } = limit { learn(rule) } else { Ok(()) }
        }
    }
}

fn learn(rule: &LearnRule) -> Result<(), InvalidPolicy> {
    duration("learn.half_life", rule.half_life, "1s to 24h", SECOND..=DAY)?;
    duration("learn.warm_up", rule.warm_up, "0s to 24h", Duration::ZERO..=DAY)?;
    factor("learn.max_rise", rule.max_rise)
}

fn drift(rule: &DriftRule) -> Result<(), InvalidPolicy> {
    share("trip.slo_drift.alpha", rule.alpha)?;
    let objective = rule.objective;
    duration("trip.slo_drift.objective", objective, LATENCY_TEXT, MIN_LATENCY..=MAX_LATENCY)?;
    factor("trip.slo_drift.ceiling", rule.ceiling)?;
    duration("trip.slo_drift.recalibrate", rule.recalibrate, "1s to 24h", SECOND..=DAY)?;
    range(
        "trip.slo_drift.drift",
        rule.drift > 0.0 && rule.drift <= 10.0,
        rule.drift,
        "above 0, up to 10",
    )
}

fn check_span(
    (window_field, last_field): (&'static str, &'static str),
    span: Span,
) -> Result<(), InvalidPolicy> {
    match span {
        Span::Time(window) => {
            duration(window_field, window, "100ms to 1h", MIN_WINDOW..=MAX_WINDOW)
        }
        Span::Count(count) => {
            range(last_field, (10..=1_000_000).contains(&count), count, "10 to 1000000 outcomes")
        }
    }
}

fn share(field: &'static str, value: f64) -> Result<(), InvalidPolicy> {
    range(field, value > 0.0 && value <= 1.0, value, "above 0, up to 1")
}

fn confidence(field: &'static str, z: f64) -> Result<(), InvalidPolicy> {
    range(field, (0.0..=5.0).contains(&z), z, "0 to 0.9999")
}

fn quantile(field: &'static str, permille: u16) -> Result<(), InvalidPolicy> {
    let value = f64::from(permille) / 1000.0;
    range(field, (1..=999).contains(&permille), value, "0.001 to 0.999")
}

fn factor(field: &'static str, value: f64) -> Result<(), InvalidPolicy> {
    range(field, (1.0..=1000.0).contains(&value), value, "1 to 1000")
}

const LATENCY_TEXT: &str = "1us to 60s";
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);
const MIN_WINDOW: Duration = Duration::from_millis(100);
const MAX_WINDOW: Duration = Duration::from_hours(1);
const MIN_LATENCY: Duration = Duration::from_micros(1);
const MAX_LATENCY: Duration = Duration::from_mins(1);
