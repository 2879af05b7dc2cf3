//! Recovering: the admitted share grows with time, stands still while too much fails, and never
//! brings much more traffic at once than there was before.

use std::time::Duration;

use shedder_common::time::{Monotonic, nanos};

use super::super::policy::RampRule;
use super::super::strategy::wilson_lower_bound;
use super::super::transition::Cause;
use super::super::window::Window;

/// How far traffic has returned.
#[derive(Clone, Debug)]
pub(super) struct Ramp {
    pub(super) from: Monotonic,
    /// When it is complete, unless it is frozen before.
    pub(super) until: Monotonic,
    /// Since when it has stood still.
    frozen: Option<Monotonic>,
    /// Connects a second before the trip.
    usual_rate: f32,
}

impl Ramp {
    pub(super) const fn new(duration: Duration, usual_rate: f32, now: Monotonic) -> Self {
        Self { from: now, until: now.plus(duration), frozen: None, usual_rate }
    }

    /// Goes on where an earlier one was.
    pub(super) const fn resume(from: Monotonic, until: Monotonic, usual_rate: f32) -> Self {
        Self { from, until, frozen: None, usual_rate }
    }

    /// Stops and goes on by what the traffic that is let through shows; the cause to reopen, if
    /// there is one.
    pub(super) fn adjust(
        &mut self,
        rule: &RampRule,
        window: &Window,
        now: Monotonic,
    ) -> Option<Cause> {
        let counts = window.counts(now);
        let (failures, attempts) = (counts.failures(), counts.attempts());
        // Half the evidence is enough: two of two.
        let bound = wilson_lower_bound(failures, attempts, ALERT_Z);
        if bound * 1000.0 >= f64::from(rule.reopen_permille) {
            return Some(Cause::RampFailed { failures, attempts });
        }
        let too_many = attempts.saturating_mul(rule.freeze_permille.into()) / 1000;
        match (failures > too_many, self.frozen) {
            (true, None) => self.frozen = Some(now),
            (false, Some(since)) => {
                let stood = now.since(since);
                self.from = self.from.plus(stood);
                self.until = self.until.plus(stood);
                self.frozen = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
        None
    }

    /// When to look again: at the end, or soon while it stands still.
    pub(super) fn deadline(&self) -> Monotonic {
        self.frozen.map_or(self.until, |since| since.plus(FROZEN_LOOK).max(self.from))
    }

    /// Whether everything is admitted.
    pub(super) fn is_complete(&self, now: Monotonic) -> bool {
        self.frozen.is_none() && self.until <= now
    }

    /// Pushes the next look while it stands still.
    pub(super) fn look_again(&mut self, now: Monotonic) {
        if let Some(since) = self.frozen {
            let stood = now.since(since);
            self.from = self.from.plus(stood);
            self.until = self.until.plus(stood);
            self.frozen = Some(now);
        }
    }

    /// The share admitted, in thousandths.
    pub(super) fn share_permille(&self, rule: &RampRule, window: &Window, now: Monotonic) -> u16 {
        let now = self.frozen.unwrap_or(now);
        let total = u128::from(nanos(self.until.since(self.from))).max(1);
        let passed = u128::from(nanos(now.since(self.from))).min(total);
        let rest = u128::from(1000_u16.saturating_sub(rule.start_permille));
        let grown = u16::try_from(rest * passed / total).unwrap_or(1000);
        let share = rule.start_permille.saturating_add(grown).min(1000);
        share.min(self.most_permille(share, window, now)).max(1)
    }

    /// The share that keeps connects a second below twice those before the trip, times `share`: the
    /// callers that were shed all come back at once.
    fn most_permille(&self, share: u16, window: &Window, now: Monotonic) -> u16 {
        let seconds = now.since(self.from).as_secs_f32().clamp(MIN_RATE_SECONDS, MAX_RATE_SECONDS);
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^24 in ten seconds")]
        let rate = window.counts(now).connects as f32 / seconds;
        let most = (2.0 * self.usual_rate * f32::from(share) / 1000.0).max(LEAST_RATE);
        if rate <= most {
            return 1000;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 1000"
        )]
        let permille = (most / rate * 1000.0) as u16;
        permille
    }
}

/// As 1.96 with half the evidence.
const ALERT_Z: f64 = 1.386;
/// While it stands still, it is looked at this often even without traffic.
const FROZEN_LOOK: Duration = Duration::from_secs(1);
/// Connects a second that are always let through, by the share.
const LEAST_RATE: f32 = 5.0;
const MIN_RATE_SECONDS: f32 = 1.0;
const MAX_RATE_SECONDS: f32 = 10.0;
