//! Trip rules about counts: shares, surges, outliers and connections in use.

use super::super::error::Complaint;
use super::super::value::{At, Time, permille, words};
use super::confidence::deviations;
use super::layer::layer;
use super::limit::{Learn, TEN_SECONDS, learn, span};
use super::required;
use super::trip::{TripTable, rule_table};
use crate::engine::{Measure, Response, Signal, Span, Strategy};

rule_table! {
    /// `trip.failure_share`
    pub(super) struct FailureShare {
        /// The share of failures from which on it acts. Excludes `over`.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0))]
        at_least: At<f64>,
        /// As `at_least`, but the share must be greater.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0))]
        over: At<f64>,
        /// How sure the lower end of the share must be, as a confidence level; 0 takes the plain
        /// share.
        #[schemars(extend("enum" = [0.0, 0.8, 0.9, 0.95, 0.99, 0.999], "default" = 0.95))]
        confidence: At<f64>,
        /// Outcomes there must be.
        #[schemars(extend("minimum" = 0, "default" = 1))]
        min_attempts: At<u64>,
        /// Failures there must be.
        #[schemars(extend("minimum" = 0, "default" = 1))]
        min_failures: At<u64>,
        /// How far back it looks, by time. Excludes `last`.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h", "default" = "10s"))]
        window: Time,
        /// How far back it looks, by count of outcomes. Excludes `window`.
        #[schemars(extend("minimum" = 10, "maximum" = 1_000_000))]
        last: At<u32>,
        /// How far back it looks once two trips are remembered; as far as ever without it.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h"))]
        window_after_trips: Time,
    }
    either { at_least, over }
    either { window, last }
}

rule_table! {
    /// `trip.retransmit_share`
    pub(super) struct RetransmitShare {
        /// The share of segments sent again above which it acts.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.15))]
        over: At<f64>,
        /// Segments there must be.
        #[schemars(extend("minimum" = 0, "default" = 50))]
        min_segments: At<u64>,
        /// How far back it looks, by time. Excludes `last`.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h", "default" = "10s"))]
        window: Time,
        /// How far back it looks, by count of outcomes. Excludes `window`.
        #[schemars(extend("minimum" = 10, "maximum" = 1_000_000))]
        last: At<u32>,
    }
    either { window, last }
}

rule_table! {
    /// `trip.outlier`
    pub(super) struct Outlier {
        /// What endpoints are compared by.
        #[schemars(extend("default" = "failure_share"))]
        measure: At<Compared>,
        /// Which quantile of a latency is compared; needs a measure that is one.
        #[schemars(extend("minimum" = 0.001, "maximum" = 0.999, "default" = 0.9))]
        quantile: At<f64>,
        /// How far from the median of the others, in median absolute deviations.
        #[schemars(extend("minimum" = 0.0, "maximum" = 100.0, "default" = 4.0))]
        deviations: At<f64>,
        /// How many times that median at least.
        #[schemars(extend("minimum" = 0.0, "maximum" = 1000.0, "default" = 2.0))]
        times: At<f64>,
        /// No share of failures below this is odd. Excludes `floor_latency`.
        #[schemars(extend("minimum" = 0.0, "maximum" = 1.0, "default" = 0.05))]
        floor_share: At<f64>,
        /// No latency below this is odd; needs a measure that is one. Excludes `floor_share`.
        #[schemars(extend("x-minimum" = "0s", "x-maximum" = "1h", "default" = "10ms"))]
        floor_latency: Time,
        /// Outcomes there must be of each.
        #[schemars(extend("minimum" = 0, "default" = 10))]
        min_attempts: At<u64>,
        /// How far back it looks, by time. Excludes `last`.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h", "default" = "10s"))]
        window: Time,
        /// How far back it looks, by count of outcomes. Excludes `window`.
        #[schemars(extend("minimum" = 10, "maximum" = 1_000_000))]
        last: At<u32>,
    }
    either { window, last }
    either { floor_share, floor_latency }
}

rule_table! {
    /// `trip.surge`
    pub(super) struct Surge {
        /// How many times as many failures as usual; 4 is a rise by 300 %.
        #[schemars(extend("minimum" = 1.0, "maximum" = 1000.0, "default" = 4.0))]
        times: At<f64>,
        /// Failures there must be.
        #[schemars(extend("minimum" = 0, "default" = 10))]
        min_failures: At<u64>,
        /// How what is usual is learned.
        learn: Learn,
        /// How far back it looks, by time.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h", "default" = "10s"))]
        window: Time,
        /// Not for this rule: it compares rates, which take a `window`.
        #[schemars(extend("minimum" = 10, "maximum" = 1_000_000))]
        last: At<u32>,
    }
    either { window, last }
}

rule_table! {
    /// `trip.in_flight`
    pub(super) struct InFlight {
        /// Connections in use above which it acts.
        #[schemars(extend("minimum" = 1, "maximum" = 10_000_000, "default" = 20))]
        over: At<u64>,
    }
}

/// What endpoints are compared by.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Compared {
    FailureShare,
    Response,
    Connect,
    Rtt,
}

words!("measure", Compared {
    "failure_share" => Self::FailureShare,
    "response" => Self::Response,
    "connect" => Self::Connect,
    "rtt" => Self::Rtt,
});

impl TripTable for FailureShare {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        let share = self.over.as_ref().or(self.at_least.as_ref());
        Ok(Strategy::FailureShare {
            at_least: required("trip.failure_share.at_least", share)?.value,
            strictly: self.over.is_some(),
            z: deviations(self.confidence.as_ref())?,
            min_attempts: number(self.min_attempts.as_ref(), 1),
            min_failures: number(self.min_failures.as_ref(), 1),
            window: span(self.window.as_ref(), self.last.as_ref(), TEN_SECONDS),
            shrunk: self.window_after_trips.as_ref().map(|window| Span::Time(window.duration())),
        })
    }
}

impl TripTable for RetransmitShare {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        Ok(Strategy::RetransmitShare {
            over: number(self.over.as_ref(), 0.15),
            min_segments: number(self.min_segments.as_ref(), 50),
            window: span(self.window.as_ref(), self.last.as_ref(), TEN_SECONDS),
        })
    }
}

impl TripTable for Outlier {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        let signal = match self.measure.as_ref().map_or(Compared::FailureShare, |of| of.value) {
            Compared::FailureShare => None,
            Compared::Response => Some(Signal::Response),
            Compared::Connect => Some(Signal::Connect),
            Compared::Rtt => Some(Signal::Rtt),
        };
        let misplaced = match (signal, &self.floor_latency, &self.floor_share, &self.quantile) {
            (None, Some(floor), ..) => Some(
                floor.complaint("floor_latency needs a measure that is a latency; use floor_share"),
            ),
            (None, _, _, Some(quantile)) => {
                Some(quantile.complaint(
                    "quantile needs a measure that is a latency; set measure or remove it",
                ))
            }
            (Some(_), _, Some(floor), _) => Some(
                floor.complaint("floor_share needs measure = \"failure_share\"; use floor_latency"),
            ),
            _ => None,
        };
        if let Some(complaint) = misplaced {
            return Err(complaint);
        }
        let (measure, floor) = match signal {
            None => {
                let floor = self.floor_share.as_ref();
                let floor =
                    floor.map_or(Ok(0.05), |it| it.within("trip.outlier.floor_share", 0.0..=1.0));
                (Measure::FailureShare, floor?)
            }
            Some(signal) => {
                let quantile = self.quantile.as_ref();
                let quantile =
                    quantile.map_or(Ok(900), |given| permille("trip.outlier.quantile", given))?;
                let floor = self.floor_latency.as_ref();
                (
                    Measure::Latency(signal, quantile),
                    floor.map_or(0.010, |floor| floor.duration().as_secs_f64()),
                )
            }
        };
        Ok(Strategy::Outlier {
            measure,
            deviations: number(self.deviations.as_ref(), 4.0),
            times: number(self.times.as_ref(), 2.0),
            floor,
            min_attempts: number(self.min_attempts.as_ref(), 10),
            window: span(self.window.as_ref(), self.last.as_ref(), TEN_SECONDS),
        })
    }
}

impl TripTable for Surge {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        Ok(Strategy::Surge {
            times: number(self.times.as_ref(), 4.0),
            min_failures: number(self.min_failures.as_ref(), 10),
            learn: learn(self.learn.as_ref()),
            window: span(self.window.as_ref(), self.last.as_ref(), TEN_SECONDS),
        })
    }
}

impl TripTable for InFlight {
    fn strategy(&self) -> Result<Strategy, Complaint> {
        Ok(Strategy::InFlight { over: number(self.over.as_ref(), 20) })
    }
}

/// The given number, or the usual one.
pub(super) fn number<T: Copy>(given: Option<&At<T>>, default: T) -> T {
    given.map_or(default, |given| given.value)
}
