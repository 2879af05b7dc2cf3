//! Trip strategies: each looks at the evidence and says "trip, because", with its numbers.

use std::fmt;
use std::time::Duration;

use super::policy::{InvalidPolicy, duration, range};
use super::window::Windows;
use shedder_common::time::Monotonic;

/// Which latency a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SYN sent to connection established.
    Connect,
    /// Last request byte out to first answer byte in.
    Response,
}

/// One rule that can trip a breaker.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// So many failures in a row.
    Consecutive {
        /// At least one.
        failures: u32,
    },
    /// Too large a share of outcomes are failures, with confidence instead of a minimum sample:
    /// the lower end of the Wilson interval must reach the threshold.
    FailureShare {
        /// The share, in `(0, 1]`.
        at_least: f64,
        /// One-sided width of the interval in standard deviations; zero takes the plain share.
        z: f64,
        /// Outcomes needed before the rule speaks.
        min_attempts: u64,
        /// How far back it looks.
        window: Duration,
    },
    /// A quantile of the latency is over a limit.
    Latency {
        /// Which latency.
        signal: Signal,
        /// The quantile in thousandths.
        quantile_permille: u16,
        /// The limit.
        over: Duration,
        /// Latencies needed before the rule speaks.
        min_samples: u64,
        /// How far back it looks.
        window: Duration,
    },
}

/// Why a breaker tripped, with the numbers that decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// See [`Strategy::Consecutive`].
    Consecutive {
        /// Seen in a row.
        failures: u64,
        /// Allowed.
        limit: u32,
    },
    /// See [`Strategy::FailureShare`].
    FailureShare {
        /// Failed outcomes.
        failures: u64,
        /// All outcomes.
        attempts: u64,
        /// The lower end of the interval that reached the threshold.
        bound: f64,
        /// The threshold.
        at_least: f64,
        /// The window looked at.
        window: Duration,
    },
    /// See [`Strategy::Latency`].
    Latency {
        /// Which latency.
        signal: Signal,
        /// The quantile in thousandths.
        quantile_permille: u16,
        /// What it was.
        value: Duration,
        /// The limit.
        over: Duration,
        /// Latencies looked at.
        samples: u64,
        /// The window looked at.
        window: Duration,
    },
}

/// What a strategy may look at.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) windows: &'a Windows,
    pub(super) failure_run: u64,
    /// Whether the run reached the policy's limit since the last look, even if it has ended.
    pub(super) had_burst: bool,
    pub(super) now: Monotonic,
}

impl Strategy {
    /// Whether the evidence trips the breaker.
    pub(super) fn assess(&self, evidence: &Evidence<'_>) -> Option<Reason> {
        let &Evidence { windows, failure_run, had_burst, now } = evidence;
        match *self {
            Self::Consecutive { failures: limit } => {
                let seen = if had_burst { failure_run.max(limit.into()) } else { failure_run };
                (seen >= limit.into()).then_some(Reason::Consecutive { failures: seen, limit })
            }
            Self::FailureShare { at_least, z, min_attempts, window } => {
                let (attempts, failures) = windows.of(window).outcomes(now);
                let bound = wilson_lower_bound(failures, attempts, z);
                (attempts >= min_attempts.max(1) && bound >= at_least)
                    .then_some(Reason::FailureShare { failures, attempts, bound, at_least, window })
            }
            Self::Latency { signal, quantile_permille, over, min_samples, window } => {
                let latencies = match signal {
                    Signal::Connect => windows.of(window).connect_latencies(now),
                    Signal::Response => windows.of(window).response_latencies(now),
                };
                let samples = latencies.samples;
                let value = Duration::from_micros(latencies.quantile_permille(quantile_permille)?);
                (samples >= min_samples.max(1) && value > over).then_some(Reason::Latency {
                    signal,
                    quantile_permille,
                    value,
                    over,
                    samples,
                    window,
                })
            }
        }
    }

    /// How far back the strategy looks.
    pub(super) const fn window(&self) -> Option<Duration> {
        match self {
            Self::Consecutive { .. } => None,
            Self::FailureShare { window, .. } | Self::Latency { window, .. } => Some(*window),
        }
    }

    pub(super) const fn failure_run_limit(&self) -> Option<u32> {
        match self {
            Self::Consecutive { failures } => Some(*failures),
            Self::FailureShare { .. } | Self::Latency { .. } => None,
        }
    }

    pub(super) const fn slow_after(&self) -> Option<Duration> {
        match self {
            Self::Latency { signal: Signal::Response, over, .. } => Some(*over),
            Self::Latency { signal: Signal::Connect, .. }
            | Self::Consecutive { .. }
            | Self::FailureShare { .. } => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), InvalidPolicy> {
        match *self {
            Self::Consecutive { failures } => range(
                "trip.consecutive",
                (1..=100_000).contains(&failures),
                failures,
                "1 to 100000",
            ),
            Self::FailureShare { at_least, z, window, min_attempts: _ } => {
                range(
                    "trip.failure_share.at_least",
                    at_least > 0.0 && at_least <= 1.0,
                    at_least,
                    "above 0, up to 1",
                )?;
                range("trip.failure_share.confidence", (0.0..=5.0).contains(&z), z, "0 to 0.9999")?;
                duration("trip.failure_share.window", window, WINDOW_TEXT, MIN_WINDOW..=MAX_WINDOW)
            }
            Self::Latency { quantile_permille, over, window, signal: _, min_samples: _ } => {
                range(
                    "trip.latency.quantile",
                    (1..=999).contains(&quantile_permille),
                    f64::from(quantile_permille) / 1000.0,
                    "0.001 to 0.999",
                )?;
                duration("trip.latency.over", over, "1us to 60s", MIN_LATENCY..=MAX_LATENCY)?;
                duration("trip.latency.window", window, WINDOW_TEXT, MIN_WINDOW..=MAX_WINDOW)
            }
        }
    }
}

impl Signal {
    /// The name in policy files and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Response => "response",
        }
    }
}

impl Reason {
    /// The strategy's name in policy files and JSON.
    pub const fn strategy(&self) -> &'static str {
        match self {
            Self::Consecutive { .. } => "consecutive",
            Self::FailureShare { .. } => "failure_share",
            Self::Latency { .. } => "latency",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive { failures, limit } => {
                write!(f, "{failures} failures in a row (limit {limit})")
            }
            Self::FailureShare { failures, attempts, bound, at_least, window } => write!(
                f,
                "{failures} of {attempts} attempts failed in {window:?}: at least {:.1} % with confidence (limit {:.1} %)",
                bound * 100.0,
                at_least * 100.0,
            ),
            Self::Latency { signal, quantile_permille, value, over, samples, window } => write!(
                f,
                "p{} of {samples} {} times in {window:?} is {value:.1?} (limit {over:?})",
                f64::from(*quantile_permille) / 10.0,
                signal.name(),
            ),
        }
    }
}

/// The lower end of the Wilson score interval of `failures` among `attempts`, `z` standard
/// deviations wide; the plain share when `z` is zero, and zero without attempts.
///
/// With z = 1.96 four failures of four reach 0.5 and three of three do not, so the rule neither
/// fires on a pair of unlucky calls nor waits for a hundred.
pub(super) fn wilson_lower_bound(failures: u64, attempts: u64, z: f64) -> f64 {
    if attempts == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let (failures, attempts) = (failures as f64, attempts as f64);
    let share = failures / attempts;
    let z2 = z * z;
    let centre = share + z2 / (2.0 * attempts);
    let spread = z * ((share * (1.0 - share) + z2 / (4.0 * attempts)) / attempts).max(0.0).sqrt();
    ((centre - spread) / (1.0 + z2 / attempts)).clamp(0.0, 1.0)
}

const WINDOW_TEXT: &str = "100ms to 1h";
const MIN_WINDOW: Duration = Duration::from_millis(100);
const MAX_WINDOW: Duration = Duration::from_hours(1);
const MIN_LATENCY: Duration = Duration::from_micros(1);
const MAX_LATENCY: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wilson_bound_replaces_a_minimum_sample() {
        let bound = |failures, attempts| wilson_lower_bound(failures, attempts, 1.96);
        assert!(bound(4, 4) >= 0.5, "{}", bound(4, 4));
        assert!(bound(3, 3) < 0.5, "{}", bound(3, 3));
        assert!(bound(9, 11) >= 0.5, "{}", bound(9, 11));
        assert!(bound(60, 100) >= 0.5, "{}", bound(60, 100));
        assert!(bound(52, 100) < 0.5, "{}", bound(52, 100));
    }

    #[test]
    fn without_confidence_the_bound_is_the_share() {
        assert!((wilson_lower_bound(1, 4, 0.0) - 0.25).abs() < 1e-12);
        assert!(wilson_lower_bound(0, 0, 1.96).abs() < 1e-12);
    }

    #[test]
    fn reasons_read_as_sentences() {
        let reason = Reason::Latency {
            signal: Signal::Response,
            quantile_permille: 990,
            value: Duration::from_millis(2_012),
            over: Duration::from_millis(500),
            samples: 41,
            window: Duration::from_secs(10),
        };
        assert_eq!(reason.to_string(), "p99 of 41 response times in 10s is 2.0s (limit 500ms)");
    }
}
