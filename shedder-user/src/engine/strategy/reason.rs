//! Why a rule holds, with the numbers that decided, as a value and as a sentence.

use std::fmt;
use std::time::Duration;

use super::super::window::Span;
use super::{Measure, Signal};

/// Why a rule holds, with the numbers that decided. The variants are those of
/// [`super::Strategy`] and of [`super::super::rule::Rule`].
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// Failures in a row.
    Consecutive {
        /// Seen.
        failures: u64,
        /// Allowed.
        limit: u32,
    },
    /// Too large a share of failures.
    FailureShare {
        /// Failed outcomes, and those that have waited too long already.
        failures: u64,
        /// All outcomes.
        attempts: u64,
        /// The lower end of the interval that reached the threshold.
        bound: f64,
        /// The threshold.
        at_least: f64,
        /// The width of the interval.
        z: f64,
        /// The window looked at.
        window: Span,
    },
    /// A quantile over a limit.
    Latency {
        /// Which latency.
        signal: Signal,
        /// The quantile in thousandths.
        quantile_permille: u16,
        /// What it was.
        value: Duration,
        /// The limit.
        limit: Duration,
        /// Latencies looked at.
        samples: u64,
        /// Those besides that are not known yet but at least as old as they are.
        unfinished: u64,
        /// The window looked at.
        window: Span,
    },
    /// Too many over a limit.
    SlowShare {
        /// Which latency.
        signal: Signal,
        /// Over the limit.
        slow: u64,
        /// All.
        samples: u64,
        /// The limit.
        over: Duration,
        /// The lower end of the interval that reached the threshold.
        bound: f64,
        /// The threshold.
        at_least: f64,
        /// The window looked at.
        window: Span,
    },
    /// Too few within the time that satisfies.
    Apdex {
        /// Within it.
        satisfied: u64,
        /// All.
        samples: u64,
        /// The time.
        within: Duration,
        /// The threshold.
        at_least: f64,
        /// The window looked at.
        window: Span,
    },
    /// A quantile over a threshold that follows it.
    SloDrift {
        /// The quantile in thousandths.
        quantile_permille: u16,
        /// What it was.
        value: Duration,
        /// The threshold, and what it may be exceeded by.
        limit: Duration,
        /// Latencies looked at.
        samples: u64,
    },
    /// Too many segments sent again.
    RetransmitShare {
        /// Sent again.
        retransmits: u64,
        /// Sent.
        segments: u64,
        /// The threshold.
        over: f64,
        /// The window looked at.
        window: Span,
    },
    /// Far worse than the other endpoints.
    Outlier {
        /// By what.
        measure: Measure,
        /// What it was: a share, or seconds.
        value: f64,
        /// The median of all.
        median: f64,
        /// The limit that follows.
        limit: f64,
        /// How many endpoints were compared, this one included.
        peers: usize,
    },
    /// Failures far more often than usual.
    Surge {
        /// Seen.
        failures: u64,
        /// Their rate.
        per_second: f64,
        /// The usual rate.
        usual_per_second: f64,
        /// The limit, in usual rates.
        times: f64,
        /// The window looked at.
        window: Span,
    },
    /// Too many connections in use.
    InFlight {
        /// In use.
        in_flight: u64,
        /// Allowed.
        limit: u64,
    },
    /// Each of these.
    All(Vec<Self>),
    /// This, several times in a row.
    Lasting {
        /// This.
        reason: Box<Self>,
        /// How many times.
        evaluations: u32,
        /// How far apart.
        every: Duration,
    },
}

impl Reason {
    /// The strategy's name in policy files and JSON.
    pub fn strategy(&self) -> &'static str {
        match self {
            Self::Consecutive { .. } => "consecutive",
            Self::FailureShare { .. } => "failure_share",
            Self::Latency { .. } => "latency",
            Self::SlowShare { .. } => "slow_share",
            Self::Apdex { .. } => "apdex",
            Self::SloDrift { .. } => "slo_drift",
            Self::RetransmitShare { .. } => "retransmit_share",
            Self::Outlier { .. } => "outlier",
            Self::Surge { .. } => "surge",
            Self::InFlight { .. } => "in_flight",
            Self::All(_) => "all",
            Self::Lasting { reason, .. } => reason.strategy(),
        }
    }

    /// How bad it is, 0 to 1, to tell which endpoints are the worst of a service: how much goes
    /// wrong, not how certain that is.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn severity(&self) -> f64 {
        // How far a value has passed its limit: nothing at the limit, all at infinity.
        let excess = |value: f64, limit: f64| if value > 0.0 { 1.0 - limit / value } else { 0.0 };
        let severity = match self {
            Self::Consecutive { .. } => 1.0,
            Self::FailureShare { failures, attempts, .. } => {
                *failures as f64 / (*attempts).max(1) as f64
            }
            Self::SlowShare { slow, samples, .. } => *slow as f64 / (*samples).max(1) as f64,
            Self::Latency { value, limit, .. } | Self::SloDrift { value, limit, .. } => {
                excess(value.as_secs_f64(), limit.as_secs_f64())
            }
            Self::Apdex { satisfied, samples, .. } => {
                1.0 - *satisfied as f64 / (*samples).max(1) as f64
            }
            Self::RetransmitShare { retransmits, segments, .. } => {
                *retransmits as f64 / (*segments).max(1) as f64
            }
            Self::Outlier { value, limit, .. } => excess(*value, *limit),
            Self::Surge { per_second, usual_per_second, times, .. } => {
                excess(*per_second, usual_per_second * times)
            }
            Self::InFlight { in_flight, limit } => excess(*in_flight as f64, *limit as f64),
            Self::All(reasons) => reasons.iter().map(Self::severity).fold(0.0, f64::max),
            Self::Lasting { reason, .. } => reason.severity(),
        };
        severity.clamp(0.0, 1.0)
    }

    /// The latency over which answers do not count as going well, where that is the complaint.
    pub(in crate::engine) fn slow_after(&self) -> Option<Duration> {
        match self {
            Self::Latency { signal: Signal::Response, limit, .. }
            | Self::SloDrift { limit, .. } => Some(*limit),
            Self::SlowShare { signal: Signal::Response, over, .. } => Some(*over),
            Self::Apdex { within, .. } => Some(*within),
            Self::Outlier { measure: Measure::Latency(Signal::Response, _), limit, .. } => {
                Duration::try_from_secs_f64(*limit).ok()
            }
            Self::All(reasons) => reasons.iter().find_map(Self::slow_after),
            Self::Lasting { reason, .. } => reason.slow_after(),
            Self::Consecutive { .. }
            | Self::FailureShare { .. }
            | Self::Latency { .. }
            | Self::SlowShare { .. }
            | Self::RetransmitShare { .. }
            | Self::Outlier { .. }
            | Self::Surge { .. }
            | Self::InFlight { .. } => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive { failures, limit } => {
                write!(f, "{failures} failures in a row (limit {limit})")
            }
            Self::FailureShare { failures, attempts, bound, at_least, z, window } => {
                write!(f, "{failures} of {attempts} attempts failed in {window}: ")?;
                let with = if *z > 0.0 { "at least " } else { "" };
                let by = if *z > 0.0 { " with confidence" } else { "" };
                write!(f, "{with}{}{by} (limit {})", percent(*bound), percent(*at_least))
            }
            Self::Latency {
                signal,
                quantile_permille,
                value,
                limit,
                samples,
                unfinished,
                window,
            } => {
                let quantile = f64::from(*quantile_permille) / 10.0;
                let name = signal.name();
                write!(f, "p{quantile} of {samples} {name} times in {window}")?;
                if *unfinished > 0 {
                    write!(f, " and {unfinished} unfinished")?;
                }
                write!(f, " is {} (limit {})", time(*value), time(*limit))
            }
            Self::SlowShare { signal, slow, samples, over, bound, at_least, window } => write!(
                f,
                "{slow} of {samples} {} times in {window} were over {}: at least {} (limit {})",
                signal.name(),
                time(*over),
                percent(*bound),
                percent(*at_least),
            ),
            Self::Apdex { satisfied, samples, within, at_least, window } => write!(
                f,
                "only {satisfied} of {samples} answers in {window} came within {within:?} (limit {})",
                percent(*at_least),
            ),
            Self::SloDrift { quantile_permille, value, limit, samples } => write!(
                f,
                "p{} of the last {samples} response times is {}, over a limit that has followed it to {}",
                f64::from(*quantile_permille) / 10.0,
                time(*value),
                time(*limit),
            ),
            Self::RetransmitShare { retransmits, segments, over, window } => write!(
                f,
                "{retransmits} of {segments} segments in {window} were sent again (limit {})",
                percent(*over),
            ),
            Self::Outlier { measure, value, median, limit, peers } => write!(
                f,
                "{} is {}, while the median of the {peers} endpoints is {} (limit {})",
                measure,
                measure.show(*value),
                measure.show(*median),
                measure.show(*limit),
            ),
            Self::Surge { failures, per_second, usual_per_second, times, window } => write!(
                f,
                "{failures} failures in {window}: {per_second:.2} a second, usual are {usual_per_second:.2} (limit {times} times that)"
            ),
            Self::InFlight { in_flight, limit } => {
                write!(f, "{in_flight} connections in use (limit {limit})")
            }
            Self::All(reasons) => {
                for (index, reason) in reasons.iter().enumerate() {
                    let joint = if index == 0 { "" } else { ", and " };
                    write!(f, "{joint}{reason}")?;
                }
                Ok(())
            }
            Self::Lasting { reason, evaluations, every } => {
                write!(f, "{reason}, {evaluations} times in a row")?;
                if every.is_zero() { Ok(()) } else { write!(f, " {every:?} apart") }
            }
        }
    }
}

impl Measure {
    fn show(self, value: f64) -> String {
        match self {
            Self::FailureShare => percent(value),
            Self::Latency(..) => time(Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailureShare => f.write_str("the failure share"),
            Self::Latency(signal, permille) => {
                write!(f, "p{} of the {} times", f64::from(*permille) / 10.0, signal.name())
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(span) => write!(f, "{span:?}"),
            Self::Count(count) => write!(f, "the last {count}"),
        }
    }
}

/// To a tenth of its unit, without an empty one.
pub(in crate::engine) fn time(duration: Duration) -> String {
    format!("{duration:.1?}").replace(".0", "")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_called_as_in_policy_files() {
        let run = Reason::Consecutive { failures: 5, limit: 5 };
        let lasting = Reason::Lasting {
            reason: Box::new(run.clone()),
            evaluations: 3,
            every: Duration::ZERO,
        };
        let all = Reason::All(vec![run.clone()]);
        let in_flight = Reason::InFlight { in_flight: 9, limit: 8 };
        let names = [run, lasting, all, in_flight].map(|reason| reason.strategy());
        assert_eq!(names, ["consecutive", "consecutive", "all", "in_flight"]);
    }

    #[test]
    fn reasons_read_as_sentences() {
        let reason = Reason::Latency {
            signal: Signal::Response,
            quantile_permille: 990,
            value: Duration::from_millis(2_012),
            limit: Duration::from_millis(500),
            samples: 41,
            unfinished: 3,
            window: Span::Time(Duration::from_secs(10)),
        };
        let text = "p99 of 41 response times in 10s and 3 unfinished is 2s (limit 500ms)";
        assert_eq!(reason.to_string(), text);
        let lasting = Reason::Lasting {
            reason: Box::new(Reason::InFlight { in_flight: 30, limit: 20 }),
            evaluations: 3,
            every: Duration::from_secs(1),
        };
        let all = Reason::All(vec![lasting, Reason::Consecutive { failures: 5, limit: 5 }]);
        assert_eq!(
            all.to_string(),
            "30 connections in use (limit 20), 3 times in a row 1s apart, and 5 failures in a row (limit 5)"
        );
    }

    #[test]
    fn severity_is_between_nothing_and_everything() {
        let severity = |in_flight| Reason::InFlight { in_flight, limit: 10 }.severity();
        assert!(severity(11) < severity(20));
        assert!((0.0..=1.0).contains(&severity(u64::MAX)));
    }

    /// A share of what is good counts by what it leaves, a rate by how far it is past its limit.
    #[test]
    fn severity_is_the_share_that_goes_wrong() {
        let window = Span::Count(100);
        let (over, within) = (Duration::from_secs(1), Duration::from_secs(1));
        let (signal, bound, at_least) = (Signal::Response, 0.5, 0.5);
        let slow = Reason::SlowShare { signal, slow: 3, samples: 4, over, bound, at_least, window };
        let apdex = Reason::Apdex { satisfied: 1, samples: 4, within, at_least, window };
        let lossy = Reason::RetransmitShare { retransmits: 3, segments: 4, over: 0.1, window };
        let (per_second, usual_per_second, times) = (8.0, 0.5, 4.0);
        let surge = Reason::Surge { failures: 80, per_second, usual_per_second, times, window };
        for reason in [slow, apdex, lossy, surge] {
            assert!((reason.severity() - 0.75).abs() < 1e-12, "{reason}: {}", reason.severity());
        }
    }
}
