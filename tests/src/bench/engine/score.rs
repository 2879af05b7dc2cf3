//! What a breaker did right and wrong on a trace.
//!
//! Invariant: only what its callers saw counts: which calls were let through, and when.

use std::time::Duration;

use serde::Serialize;

use super::trace::{Call, Scenario, Trace};

/// A breaker's record on one trace.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Score {
    /// From the start of the first fault to the moment from which calls are refused, milliseconds;
    /// nothing when that was while the endpoint was well, or never.
    pub(super) detection_ms: Option<u64>,
    /// Times it began to refuse in health, after two seconds and twenty calls of letting everything
    /// through.
    pub(super) false_trips: u32,
    /// Calls let through at fault that failed or were slow.
    pub(super) leaked: u64,
    /// As many there would have been without a breaker.
    pub(super) bad: u64,
    /// Calls refused although the endpoint was well.
    pub(super) refused_well: u64,
    /// Calls made while it was.
    pub(super) well: u64,
    /// Most calls of one burst let through once the fault was detected; nothing where none was.
    pub(super) most_probes: Option<u64>,
    /// How late the trace was played at worst, milliseconds of its time.
    pub(super) late_ms: u64,
}

impl Score {
    /// Of several plays: the median detection, the most probes and the worst delay of any, and
    /// the sums of all else.
    pub(super) fn all(plays: &[Self]) -> Option<Self> {
        let sum = |of: fn(&Self) -> u64| plays.iter().map(of).sum();
        let mut detections: Vec<Option<u64>> = plays.iter().map(|play| play.detection_ms).collect();
        // A fault that was never detected comes after all that were.
        detections.sort_by_key(|detection| detection.unwrap_or(u64::MAX));
        Some(Self {
            detection_ms: *detections.get(detections.len() / 2)?,
            false_trips: plays.iter().map(|play| play.false_trips).sum(),
            leaked: sum(|play| play.leaked),
            bad: sum(|play| play.bad),
            refused_well: sum(|play| play.refused_well),
            well: sum(|play| play.well),
            most_probes: plays.iter().filter_map(|play| play.most_probes).max(),
            late_ms: plays.iter().map(|play| play.late_ms).max()?,
        })
    }
}

/// Watches the callers.
#[derive(Debug)]
pub(super) struct Referee {
    scenario: &'static Scenario,
    has_bursts: bool,
    /// When the last call was refused.
    refused_ns: Option<u64>,
    /// Calls let through since.
    admitted_in_a_row: u32,
    /// The present burst: when it came and how many were let through.
    burst: (u64, u64),
    score: Score,
}

impl Referee {
    pub(super) fn new(trace: &Trace) -> Self {
        Self {
            scenario: trace.scenario,
            has_bursts: trace.scenario.has_bursts(),
            refused_ns: None,
            admitted_in_a_row: 0,
            burst: (0, 0),
            score: Score {
                detection_ms: None,
                false_trips: 0,
                leaked: 0,
                bad: 0,
                refused_well: 0,
                well: 0,
                most_probes: None,
                late_ms: 0,
            },
        }
    }

    /// Notes what became of a call.
    pub(super) fn see(&mut self, call: &Call, is_admitted: bool) {
        let score = &mut self.score;
        if call.is_at_fault {
            score.bad += u64::from(call.is_bad());
            score.leaked += u64::from(call.is_bad() && is_admitted);
        } else {
            score.well += 1;
            score.refused_well += u64::from(!is_admitted);
            let is_calm = self.refused_ns.is_none_or(|last| {
                call.at_ns - last >= CALM_NS && self.admitted_in_a_row >= CALM_CALLS
            });
            score.false_trips += u32::from(!is_admitted && is_calm);
        }
        if self.has_bursts && call.is_at_fault && score.detection_ms.is_some() {
            if self.burst.0 != call.at_ns {
                self.burst = (call.at_ns, 0);
            }
            self.burst.1 += u64::from(is_admitted);
            if is_admitted {
                score.most_probes = score.most_probes.max(Some(self.burst.1));
            }
        }
        if is_admitted {
            self.admitted_in_a_row += 1;
        } else {
            self.refused_ns = Some(call.at_ns);
            self.admitted_in_a_row = 0;
            if self.is_waiting_for_detection(call.at_ns) {
                self.detected(call.at_ns);
            }
        }
    }

    /// Whether the endpoint is at fault and nothing is known to be done about it yet.
    pub(super) fn is_waiting_for_detection(&self, at_ns: u64) -> bool {
        self.score.detection_ms.is_none() && self.scenario.is_at_fault(at_ns)
    }

    /// Notes that calls are refused from now on.
    pub(super) fn detected(&mut self, at_ns: u64) {
        let fault_ns = self.scenario.first_fault_ns();
        self.score.detection_ms = fault_ns.map(|fault_ns| (at_ns - fault_ns) / 1_000_000);
    }

    /// Notes that an event was played late.
    pub(super) fn late(&mut self, by: Duration) {
        let milliseconds = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.score.late_ms = self.score.late_ms.max(milliseconds);
    }

    pub(super) fn score(self) -> Score {
        self.score
    }
}

const CALM_NS: u64 = 2_000_000_000;
/// At one call a second, two seconds are too few to tell one refusal from the next.
const CALM_CALLS: u32 = 20;
