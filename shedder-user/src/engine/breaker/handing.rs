//! What a breaker leaves for the next daemon, and how it goes on there.
//!
//! Invariant: the kernel is told the same before and after; only what the rules have seen in their windows
//! is gone. A row that makes no sense is a closed breaker.

use std::sync::Arc;
use std::time::Duration;

use shedder_common::breaker::{
    BreakerRow, FLAG_FAILED_PROBES, FLAG_FLAPPING, FLAG_SUSPENDED, FORCED_CLOSED, FORCED_NOT,
    FORCED_OPEN, STAGE_CLOSED, STAGE_HALF_OPEN, STAGE_OPEN, STAGE_RECOVERING, STAGE_THROTTLED,
};
use shedder_common::time::{Monotonic, nanos};

use super::probing::Probing;
use super::ramp::Ramp;
use super::throttling::Throttling;
use super::{Breaker, Overlay, Stage};
use crate::engine::flap::{self, Flaps};
use crate::engine::policy::{Admission, Policy};
use crate::engine::{Cause, Force, backoff};

impl Breaker {
    /// Everything of it that outlives a daemon. What the shell knows of it is left at zero.
    pub(in crate::engine) fn hand_on(&self) -> BreakerRow {
        let (flap_penalty, flap_ns, is_flapping) = self.flaps.parts();
        let mut row = BreakerRow {
            since_ns: self.since.as_nanos(),
            last_open_ns: nanos(self.last_open),
            flap_ns,
            refused: self.refused,
            level: self.level,
            flap_penalty,
            usual_rate: self.usual_rate,
            severity: self.severity,
            epoch: self.epoch,
            ..BreakerRow::CLEAR
        };
        for (flag, is_set) in [
            (FLAG_FAILED_PROBES, self.has_failed_probes),
            (FLAG_FLAPPING, is_flapping),
            (FLAG_SUSPENDED, self.is_suspended),
        ] {
            row.flags |= if is_set { flag } else { 0 };
        }
        if let Some(Overlay { force, until }) = self.overlay {
            row.forced = match force {
                Force::Open => FORCED_OPEN,
                Force::Closed => FORCED_CLOSED,
            };
            row.forced_until_ns = until.as_nanos();
        }
        match &self.stage {
            Stage::Closed => {
                row.stage = STAGE_CLOSED;
                row.forget_ns = self.forget_at.map_or(0, Monotonic::as_nanos);
            }
            Stage::Throttled(throttling) => {
                row.stage = STAGE_THROTTLED;
                row.shed_permille = 1000 - throttling.admit_permille();
            }
            Stage::Open { until } => {
                row.stage = STAGE_OPEN;
                row.until_ns = until.as_nanos();
            }
            Stage::HalfOpen(probing) => {
                row.stage = STAGE_HALF_OPEN;
                probing.hand_on(&mut row);
            }
            Stage::Recovering(ramp) => {
                row.stage = STAGE_RECOVERING;
                (row.from_ns, row.until_ns) = (ramp.from.as_nanos(), ramp.until.as_nanos());
            }
        }
        if let Some(cause) = &self.tripped_by {
            row.set_cause(&cause.to_string());
        }
        row
    }

    /// The breaker that left this row, under what may be another policy.
    pub(in crate::engine) fn resume(
        policy: Arc<Policy>,
        seed: u64,
        row: &BreakerRow,
        now: Monotonic,
    ) -> Self {
        let mut breaker = Self::new(policy, seed, now);
        let policy = &breaker.policy;
        // Nothing lies further ahead than its policy would have put it, whatever the row says.
        let ahead = |at_ns: u64, most: Duration| at(at_ns).min(now.plus(most));
        let longest = policy.open.max.max(flap::MIN_OPEN);
        breaker.stage = match row.stage {
            STAGE_THROTTLED => {
                let throttling = Throttling::resume(&policy.throttle, row.shed_permille);
                Stage::Throttled(Box::new(throttling))
            }
            STAGE_OPEN => Stage::Open { until: ahead(row.until_ns, longest) },
            // Without probes it would wait for them forever.
            STAGE_HALF_OPEN if policy.half_open.admission == Admission::Skip => {
                Stage::Open { until: now }
            }
            STAGE_HALF_OPEN => {
                Stage::HalfOpen(Box::new(Probing::resume(row, &policy.half_open, now)))
            }
            STAGE_RECOVERING => {
                let from = at(row.from_ns).min(now);
                let until = ahead(row.until_ns, policy.ramp.duration.max(flap::MIN_RAMP));
                Stage::Recovering(Ramp::resume(from, until, finite(row.usual_rate)))
            }
            _ => Stage::Closed,
        };
        breaker.overlay = match row.forced {
            FORCED_OPEN => Some(Force::Open),
            FORCED_CLOSED => Some(Force::Closed),
            FORCED_NOT.. => None,
        }
        .map(|force| Overlay { force, until: ahead(row.forced_until_ns, LONGEST_ORDER) });
        breaker.since = at(row.since_ns).min(now);
        breaker.epoch = row.epoch;
        breaker.level = row.level.min(backoff::MAX_LEVEL);
        breaker.has_failed_probes = row.flags & FLAG_FAILED_PROBES != 0;
        breaker.is_suspended = row.flags & FLAG_SUSPENDED != 0;
        breaker.last_open = Duration::from_nanos(row.last_open_ns).min(longest);
        if row.forget_ns != 0 && matches!(breaker.stage, Stage::Closed) {
            breaker.forget_at =
                Some(at(row.forget_ns).min(now.plus(breaker.last_open * 10 + longest)));
        }
        breaker.usual_rate = finite(row.usual_rate);
        breaker.severity = finite(row.severity).min(1.0);
        let is_flapping = row.flags & FLAG_FLAPPING != 0;
        breaker.flaps =
            Flaps::of_parts(finite(row.flap_penalty), at(row.flap_ns).min(now), is_flapping);
        breaker.refused = row.refused;
        if !matches!(breaker.stage, Stage::Closed) {
            let sentence = row.cause().unwrap_or("an earlier daemon saw a reason").into();
            breaker.tripped_by = Some(Box::new(Cause::Earlier(sentence)));
        }
        breaker
    }
}

fn at(nanoseconds: u64) -> Monotonic {
    Monotonic::from_nanos(nanoseconds)
}

fn finite(value: f32) -> f32 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// As long as an order may last at most.
const LONGEST_ORDER: Duration = Duration::from_hours(24);
