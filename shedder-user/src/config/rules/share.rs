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
        at_least: At<f64>,
        over: At<f64>,
        confidence: At<f64>,
        min_attempts: At<u64>,
        min_failures: At<u64>,
        window: Time,
        last: At<u32>,
        window_after_trips: Time,
    }
    either { at_least, over }
    either { window, last }
}

rule_table! {
    /// `trip.retransmit_share`
    pub(super) struct RetransmitShare {
        over: At<f64>,
        min_segments: At<u64>,
        window: Time,
        last: At<u32>,
    }
    either { window, last }
}

rule_table! {
    /// `trip.outlier`
    pub(super) struct Outlier {
        measure: At<Compared>,
        quantile: At<f64>,
        deviations: At<f64>,
        times: At<f64>,
        floor_share: At<f64>,
        floor_latency: Time,
        min_attempts: At<u64>,
        window: Time,
        last: At<u32>,
    }
    either { window, last }
    either { floor_share, floor_latency }
}

rule_table! {
    /// `trip.surge`
    pub(super) struct Surge {
        times: At<f64>,
        min_failures: At<u64>,
        learn: Learn,
        window: Time,
        last: At<u32>,
    }
    either { window, last }
}

rule_table! {
    /// `trip.in_flight`
    pub(super) struct InFlight {
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
