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
    /// What the rule is called in a policy file.
    pub(in crate::engine) const fn field(&self) -> &'static str {
        match self {
            Self::Consecutive { .. } => "trip.consecutive",
            Self::FailureShare { .. } => "trip.failure_share",
            Self::Latency { .. } => "trip.latency",
            Self::SlowShare { .. } => "trip.slow_share",
            Self::Apdex { .. } => "trip.apdex",
            Self::SloDrift { .. } => "trip.slo_drift",
            Self::RetransmitShare { .. } => "trip.retransmit_share",
            Self::Outlier { .. } => "trip.outlier",
            Self::Surge { .. } => "trip.surge",
            Self::InFlight { .. } => "trip.in_flight",
        }
    }

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

#[cfg(test)]
mod tests {
    use super::super::Signal;
    use super::*;

    /// A field, a strategy in which it is a number in its own unit, the least and the greatest it
    /// may be.
    type Limits = (&'static str, fn(u32) -> Strategy, u32, u32);

    const LIMITS: &[Limits] = &[
        ("trip.consecutive", |failures| Strategy::Consecutive { failures }, 1, 100_000),
        ("trip.in_flight.over", |over| Strategy::InFlight { over: over.into() }, 1, 10_000_000),
        (
            "trip.failure_share.window",
            |ms| failures(1.0, 0.0, Span::Time(time(ms))),
            100,
            3_600_000,
        ),
        ("trip.failure_share.last", |count| failures(1.0, 0.0, Span::Count(count)), 10, 1_000_000),
        ("trip.failure_share.at_least", |n| failures(thousandths(n), 0.0, WINDOW), 1, 1_000),
        ("trip.failure_share.confidence", |n| failures(1.0, thousandths(n), WINDOW), 0, 5_000),
        ("trip.latency.quantile", |n| latency(n, Limit::Fixed(SECOND)), 1, 999),
        ("trip.latency.over", |us| latency(500, Limit::Fixed(micros(us))), 1, 60_000_000),
        ("trip.latency.over", |us| latency(500, mean(1_000, 0, us)), 1, 60_000_000),
        ("trip.latency.over", |us| latency(500, mean(1_000, us, 7)), 0, 7),
        ("trip.latency.over", |n| latency(500, mean(n, 0, 1)), 1_000, 1_000_000),
        ("trip.slow_share.over", |us| slow(us, 1, 0), 1, 60_000_000),
        ("trip.slow_share.at_least", |n| slow(1, n, 0), 1, 1_000),
        ("trip.slow_share.confidence", |n| slow(1, 1, n), 0, 5_000),
        ("trip.apdex.within", |us| apdex(us, 1), 1, 60_000_000),
        ("trip.apdex.at_least", |n| apdex(1, n), 1, 1_000),
        ("trip.slo_drift.quantile", |n| drifting(n, |_| {}), 1, 999),
        ("trip.slo_drift.alpha", |n| drifting(1, |rule| rule.alpha = thousandths(n)), 1, 1_000),
        (
            "trip.slo_drift.objective",
            |n| drifting(1, |rule| rule.objective = micros(n)),
            1,
            60_000_000,
        ),
        (
            "trip.slo_drift.ceiling",
            |n| drifting(1, |rule| rule.ceiling = thousandths(n)),
            1_000,
            1_000_000,
        ),
        (
            "trip.slo_drift.recalibrate",
            |n| drifting(1, |rule| rule.recalibrate = time(n)),
            1_000,
            DAY_MS,
        ),
        ("trip.slo_drift.drift", |n| drifting(1, |rule| rule.drift = thousandths(n)), 1, 10_000),
        ("trip.retransmit_share.over", retransmits, 1, 1_000),
        ("trip.outlier.quantile", |n| outlier(n, [0, 0, 0]), 1, 999),
        ("trip.outlier.deviations", |n| outlier(1, [n, 0, 0]), 0, 100_000),
        ("trip.outlier.times", |n| outlier(1, [0, n, 0]), 0, 1_000_000),
        ("trip.outlier.floor", |n| outlier(1, [0, 0, n]), 0, 3_600_000),
        ("trip.surge.times", |n| surge(n, |_| {}), 1_000, 1_000_000),
        ("learn.half_life", |ms| surge(1_000, |rule| rule.half_life = time(ms)), 1_000, DAY_MS),
        ("learn.warm_up", |ms| surge(1_000, |rule| rule.warm_up = time(ms)), 0, DAY_MS),
        (
            "learn.max_rise",
            |n| surge(1_000, |rule| rule.max_rise = thousandths(n)),
            1_000,
            1_000_000,
        ),
        ("learn.max_rise", |n| latency(1, usual(n)), 1_000, 1_000_000),
    ];

    const WINDOW: Span = Span::Time(SECOND);
    const DAY_MS: u32 = 86_400_000;

    fn time(milliseconds: u32) -> Duration {
        Duration::from_millis(milliseconds.into())
    }

    fn micros(microseconds: u32) -> Duration {
        Duration::from_micros(microseconds.into())
    }

    fn thousandths(number: u32) -> f64 {
        f64::from(number) / 1000.0
    }

    fn failures(at_least: f64, z: f64, window: Span) -> Strategy {
        Strategy::FailureShare {
            at_least,
            strictly: false,
            z,
            min_attempts: 1,
            min_failures: 1,
            window: WINDOW,
            shrunk: Some(window),
        }
    }

    fn latency(permille: u32, over: Limit) -> Strategy {
        Strategy::Latency {
            signal: Signal::Response,
            quantile_permille: u16::try_from(permille).unwrap(),
            over,
            min_samples: 1,
            window: WINDOW,
        }
    }

    fn mean(times: u32, floor: u32, cap: u32) -> Limit {
        Limit::Mean { times: thousandths(times), floor: micros(floor), cap: micros(cap) }
    }

    fn usual(max_rise: u32) -> Limit {
        let learn = LearnRule { max_rise: thousandths(max_rise), ..LearnRule::default() };
        Limit::Baseline { times: 2.0, floor: Duration::ZERO, cap: SECOND, learn }
    }

    fn slow(over: u32, at_least: u32, z: u32) -> Strategy {
        Strategy::SlowShare {
            signal: Signal::Response,
            over: Limit::Fixed(micros(over)),
            at_least: thousandths(at_least),
            z: thousandths(z),
            min_samples: 1,
            window: WINDOW,
        }
    }

    fn apdex(within: u32, at_least: u32) -> Strategy {
        let (within, at_least) = (micros(within), thousandths(at_least));
        Strategy::Apdex { within, at_least, min_samples: 1, window: WINDOW }
    }

    fn drifting(permille: u32, set: impl Fn(&mut DriftRule)) -> Strategy {
        let mut rule = DriftRule::default();
        set(&mut rule);
        let quantile_permille = u16::try_from(permille).unwrap();
        Strategy::SloDrift { rule, quantile_permille, min_samples: 1, window: WINDOW }
    }

    fn retransmits(over: u32) -> Strategy {
        Strategy::RetransmitShare { over: thousandths(over), min_segments: 1, window: WINDOW }
    }

    fn outlier(permille: u32, numbers: [u32; 3]) -> Strategy {
        let [deviations, times, floor] = numbers.map(thousandths);
        let measure = Measure::Latency(Signal::Rtt, u16::try_from(permille).unwrap());
        Strategy::Outlier { measure, deviations, times, floor, min_attempts: 1, window: WINDOW }
    }

    fn surge(times: u32, set: impl Fn(&mut LearnRule)) -> Strategy {
        let mut learn = LearnRule::default();
        set(&mut learn);
        Strategy::Surge { times: thousandths(times), min_failures: 1, learn, window: WINDOW }
    }

    #[test]
    fn every_range_ends_where_it_says() {
        for (field, strategy, least, greatest) in LIMITS {
            let check = |value| strategy(value).check();
            assert_eq!([check(*least), check(*greatest)], [Ok(()), Ok(())], "{field}");
            for beyond in least.checked_sub(1).into_iter().chain([greatest + 1]) {
                let Err(InvalidPolicy::Range { field: refused, .. }) = check(beyond) else {
                    panic!("{field} may be {beyond}");
                };
                assert_eq!(refused, *field);
            }
        }
    }

    /// As people write it.
    #[test]
    fn a_quantile_is_named_as_a_share() {
        let refused = latency(1_000, Limit::Fixed(SECOND)).check().expect_err("over its range");
        assert_eq!(refused.to_string(), "trip.latency.quantile is 1, outside 0.001 to 0.999");
    }

    #[test]
    fn what_is_no_number_is_in_no_range() {
        assert!(failures(f64::NAN, 0.0, WINDOW).check().is_err());
        assert!(failures(0.5, f64::NAN, WINDOW).check().is_err());
        assert!(drifting(1, |rule| rule.drift = f64::NAN).check().is_err());
        assert!(drifting(1, |rule| rule.ceiling = f64::NAN).check().is_err());
    }

    #[test]
    fn rates_need_a_window_of_time() {
        let Strategy::Surge { times, min_failures, learn, .. } = surge(2_000, |_| {}) else {
            unreachable!("it is one")
        };
        let counted = Strategy::Surge { times, min_failures, learn, window: Span::Count(100) };
        assert!(matches!(
            counted.check(),
            Err(InvalidPolicy::Range { field: "trip.surge.last", .. })
        ));
    }
}
