//! One breaker: its evidence, its state, and what moves it.
//!
//! Invariant: it opens and throttles only when it is told to, because others may object; everything
//! else it decides by itself.

use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::Force;
use super::backoff::{self, Chance};
use super::evidence::Sample;
use super::flap::{self, Flaps};
use super::peers::Peers;
use super::policy::{Admission, Policy};
use super::rule::{Memory, Response};
use super::strategy::{Evidence, MANY_ATTEMPTS, Reason, Strategy};
use super::transition::{Cause, Change, Restraint, Scope};
use super::window::{STRETCH, Windows};

mod adopting;
mod handing;
mod probing;
mod ramp;
mod standing;
mod throttling;
mod view;

use self::probing::{Conclusion, Probing};
use self::ramp::Ramp;
use self::throttling::Throttling;

pub use self::view::{Directive, View};

#[derive(Clone, Debug)]
pub(super) struct Breaker {
    policy: Arc<Policy>,
    stage: Stage,
    overlay: Option<Overlay>,
    since: Monotonic,
    /// Changes whenever evidence begun before must no longer count.
    epoch: u16,
    /// Trips remembered; the next open time is longer for each.
    level: u32,
    /// Whether probes have failed since the last trip: the endpoint was truly down.
    has_failed_probes: bool,
    /// The policy refused too much wrongly and only observes until it is reset.
    is_suspended: bool,
    /// While closed: when one level is forgotten.
    forget_at: Option<Monotonic>,
    last_open: Duration,
    /// Connects a second before the last trip.
    usual_rate: f32,
    /// How bad the reason of the last trip was, 0 to 1.
    severity: f32,
    flaps: Flaps,
    /// Why it last tripped, until it is closed again.
    tripped_by: Option<Box<Cause>>,
    windows: Windows,
    memory: Memory,
    /// When windows are looked through for evidence that is too old.
    sweep_at: Option<Monotonic>,
    last_traffic: Option<Monotonic>,
    last_success: Option<Monotonic>,
    /// So much goes on that a run of failures may be chance.
    is_busy: bool,
    last_alarm: Option<Monotonic>,
    /// Connects refused in the present open and half-open time.
    refused: u64,
    chance: Chance,
}

/// What the evidence says, whatever an operator ordered.
#[derive(Clone, Debug)]
enum Stage {
    Closed,
    Throttled(Box<Throttling>),
    Open { until: Monotonic },
    HalfOpen(Box<Probing>),
    Recovering(Ramp),
}

#[derive(Clone, Copy, Debug)]
struct Overlay {
    force: Force,
    until: Monotonic,
}

/// What comes of a look at a breaker.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// What it did.
    pub(super) change: Option<Change>,
    /// What its rules ask for.
    pub(super) wish: Option<(Response, Reason)>,
    /// Too much went wrong while traffic returned: it must not go on like this.
    pub(super) relapse: Option<Cause>,
    /// Refusals that were wrong, as far as the probes can tell.
    pub(super) falsely_refused: u64,
}

impl From<Option<Change>> for Judgement {
    fn from(change: Option<Change>) -> Self {
        Self { change, ..Self::default() }
    }
}

impl Breaker {
    pub(super) fn new(policy: Arc<Policy>, seed: u64, now: Monotonic) -> Self {
        Self {
            windows: Windows::new(policy.strategies().flat_map(Strategy::spans)),
            policy,
            stage: Stage::Closed,
            overlay: None,
            since: now,
            epoch: 1,
            level: 0,
            has_failed_probes: false,
            is_suspended: false,
            forget_at: None,
            last_open: Duration::ZERO,
            usual_rate: 0.0,
            severity: 0.0,
            flaps: Flaps::default(),
            tripped_by: None,
            memory: Memory::default(),
            sweep_at: None,
            last_traffic: None,
            last_success: None,
            is_busy: false,
            last_alarm: None,
            refused: 0,
            chance: Chance::new(seed),
        }
    }

    /// Takes evidence in and lets the present state judge it. `peers` is what the
    /// endpoints of the service have in common, for a policy with [`Breaker::outlier_rule`].
    pub(super) fn observe(
        &mut self,
        sample: &Sample,
        peers: Option<&Peers>,
        now: Monotonic,
    ) -> Judgement {
        self.windows.add(sample, now);
        self.sweep_at.get_or_insert_with(|| now.plus(STRETCH));
        if sample.counts.connects > 0 || sample.counts.attempts() > 0 {
            self.last_traffic = Some(now);
        }
        self.is_busy = self.windows.longest().counts(now).attempts() >= MANY_ATTEMPTS;
        if sample.counts.successes > 0 {
            self.last_success = Some(now);
        }
        match &mut self.stage {
            Stage::Closed => {
                Judgement { wish: self.assess(sample, peers, now), ..Judgement::default() }
            }
            Stage::Throttled(_) => {
                let wish = self.assess(sample, peers, now);
                if let Stage::Throttled(throttling) = &mut self.stage {
                    let is_asked = wish.as_ref().is_some_and(|(asked, _)| *asked > Response::Alarm);
                    throttling.observe(sample, is_asked, &self.policy.throttle, now);
                }
                Judgement { wish, ..Judgement::default() }
            }
            Stage::Recovering(ramp) => {
                let relapse = ramp.adjust(&self.policy.ramp, self.windows.longest(), now);
                if relapse.is_some() {
                    return Judgement { relapse, ..Judgement::default() };
                }
                Judgement { wish: self.assess(sample, peers, now), ..Judgement::default() }
            }
            Stage::Open { .. } => {
                self.refused = self.refused.saturating_add(sample.counts.shed);
                Judgement::default()
            }
            Stage::HalfOpen(probing) => {
                self.refused = self.refused.saturating_add(sample.counts.shed);
                let conclusion = probing.observe(sample, &self.policy.half_open, now);
                conclusion
                    .map_or_else(Judgement::default, |conclusion| self.conclude(conclusion, now))
            }
        }
    }

    /// Does what was due at or before `now`.
    pub(super) fn handle_timeout(&mut self, now: Monotonic) -> Judgement {
        if self.sweep_at.is_some_and(|at| at <= now) {
            let is_filled = self.windows.forget_before(now);
            self.sweep_at = is_filled.then(|| now.plus(STRETCH));
        }
        if self.overlay.is_some_and(|overlay| overlay.until <= now) {
            return Some(self.end_overlay(now)).into();
        }
        match &mut self.stage {
            Stage::Closed => {
                if self.forget_at.is_some_and(|at| at <= now) {
                    self.level = self.level.saturating_sub(1);
                    self.schedule_forgetting(now);
                }
                Judgement::default()
            }
            Stage::Throttled(throttling) => {
                let rule = &self.policy.throttle;
                let is_calm = throttling.deadline(rule).is_some_and(|at| at <= now);
                let calm = rule.calm;
                is_calm.then(|| self.close(Cause::Calm(calm), now)).flatten().into()
            }
            Stage::Open { until } if *until <= now => {
                if self.policy.half_open.admission == Admission::Skip {
                    return self.recover(Cause::OpenTimePassed, now).into();
                }
                let probing = Box::new(Probing::new(&self.policy.half_open, now));
                self.move_to(Stage::HalfOpen(probing), Cause::OpenTimePassed, (None, None), now)
                    .into()
            }
            Stage::HalfOpen(probing) => {
                if probing.deadline.is_some_and(|at| at <= now) {
                    let conclusion = probing.conclude(&self.policy.half_open, now);
                    return conclusion.map_or_else(Judgement::default, |conclusion| {
                        self.conclude(conclusion, now)
                    });
                }
                if probing.refill.is_some_and(|at| at <= now) {
                    probing.refill(&self.policy.half_open, now);
                }
                Judgement::default()
            }
            Stage::Recovering(ramp) => {
                if ramp.is_complete(now) {
                    return self.close(Cause::RampComplete, now).into();
                }
                let relapse = ramp.adjust(&self.policy.ramp, self.windows.longest(), now);
                ramp.look_again(now);
                Judgement { relapse, ..Judgement::default() }
            }
            Stage::Open { .. } => Judgement::default(),
        }
    }

    /// When [`Breaker::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let stage = match &self.stage {
            Stage::Closed => self.forget_at,
            Stage::Throttled(throttling) => throttling.deadline(&self.policy.throttle),
            Stage::Open { until } => Some(*until),
            Stage::HalfOpen(probing) => {
                [probing.deadline, probing.refill].into_iter().flatten().min()
            }
            Stage::Recovering(ramp) => Some(ramp.deadline()),
        };
        let overlay = self.overlay.map(|overlay| overlay.until);
        [stage, overlay, self.sweep_at].into_iter().flatten().min()
    }

    /// Opens because a rule holds and nothing objects.
    pub(super) fn trip(
        &mut self,
        cause: Cause,
        severity: f64,
        scope: Option<Scope>,
        now: Monotonic,
    ) -> Option<Change> {
        if matches!(self.stage, Stage::Open { .. } | Stage::HalfOpen(_)) {
            return None;
        }
        self.open(cause, severity, (scope, None), now)
    }

    /// Throttles because a rule holds and something keeps it from opening.
    pub(super) fn throttle(
        &mut self,
        cause: Cause,
        scope: Option<Scope>,
        restraint: Option<Restraint>,
        now: Monotonic,
    ) -> Option<Change> {
        if matches!(self.stage, Stage::Throttled(_)) {
            return None;
        }
        let slow_after = cause.reason().and_then(Reason::slow_after);
        // It begins without a past: the successes of better times would hide for long what is wrong.
        let throttling = Throttling::new(&self.policy.throttle, slow_after);
        self.tripped_by = Some(Box::new(cause.clone()));
        self.flaps.trip(now);
        self.memory.forget_streaks();
        self.move_to(Stage::Throttled(Box::new(throttling)), cause, (scope, restraint), now)
    }

    pub(super) fn force(&mut self, force: Force, ttl: Duration, now: Monotonic) -> Change {
        let from = self.shown_state();
        self.overlay = Some(Overlay { force, until: now.plus(ttl) });
        self.since = now;
        self.forget_probes(now);
        self.new_epoch();
        self.change(from, Cause::Forced(force, ttl), (None, None), now)
    }

    pub(super) fn reset(&mut self, now: Monotonic) -> Change {
        let from = self.shown_state();
        self.overlay = None;
        self.level = 0;
        self.forget_at = None;
        self.tripped_by = None;
        self.flaps = Flaps::default();
        self.windows.clear();
        self.memory.clear();
        self.is_suspended = false;
        self.stage = Stage::Closed;
        self.since = now;
        self.new_epoch();
        self.change(from, Cause::Reset, (None, None), now)
    }

    /// Whether it has stopped enforcing by itself.
    pub(super) const fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    /// Stops enforcing, or begins again.
    pub(super) const fn suspend(&mut self, is_suspended: bool) {
        self.is_suspended = is_suspended;
    }

    /// What the rules ask for.
    fn assess(
        &mut self,
        sample: &Sample,
        peers: Option<&Peers>,
        now: Monotonic,
    ) -> Option<(Response, Reason)> {
        let evidence = Evidence {
            sample,
            windows: &self.windows,
            peers,
            last_success: self.last_success,
            patience: self.policy.caller_timeout,
            is_alert: matches!(self.stage, Stage::Recovering(_)),
            is_closed: matches!(self.stage, Stage::Closed),
            level: self.level,
            now,
        };
        self.memory.assess(&self.policy.trip, &evidence)
    }

    fn conclude(&mut self, conclusion: Conclusion, now: Monotonic) -> Judgement {
        match conclusion {
            Conclusion::Recover(cause) => {
                let falsely_refused = self.falsely_refused(now);
                Judgement { falsely_refused, ..self.recover(cause, now).into() }
            }
            Conclusion::Reopen(cause) => {
                self.has_failed_probes = true;
                self.open(cause, self.severity.into(), (None, None), now).into()
            }
        }
    }

    /// Refusals since the trip that would have succeeded, if what the probes found was so all
    /// along. Where probes had failed before, the endpoint was truly down.
    fn falsely_refused(&self, now: Monotonic) -> u64 {
        let Stage::HalfOpen(probing) = &self.stage else { return 0 };
        let (successes, probes) = probing.share_of_successes();
        // Damping takes care of one that comes and goes.
        let is_real = self.has_failed_probes || self.flaps.is_flapping(now);
        if is_real { 0 } else { self.refused.saturating_mul(successes) / probes.max(1) }
    }

    fn recover(&mut self, cause: Cause, now: Monotonic) -> Option<Change> {
        self.windows.clear();
        self.memory.forget_streaks();
        let mut duration = self.policy.ramp.duration;
        if duration.is_zero() && !self.flaps.is_flapping(now) {
            return self.close(cause, now);
        }
        if self.flaps.is_flapping(now) {
            duration = duration.max(flap::MIN_RAMP);
        }
        let ramp = Ramp::new(duration, self.usual_rate, now);
        self.move_to(Stage::Recovering(ramp), cause, (None, None), now)
    }

    fn open(
        &mut self,
        cause: Cause,
        severity: f64,
        reach: (Option<Scope>, Option<Restraint>),
        now: Monotonic,
    ) -> Option<Change> {
        let was_serving = !matches!(self.stage, Stage::Open { .. } | Stage::HalfOpen(_));
        if was_serving {
            self.flaps.trip(now);
            self.has_failed_probes = false;
            self.refused = 0;
        }
        if matches!(self.stage, Stage::Closed) {
            let summary = self.windows.summary(now);
            self.usual_rate = view::per_second(summary.counts.connects, summary.span);
        }
        // A few failures in a row may be chance: they open for the first, short time only.
        let is_burst = matches!(&cause, Cause::Trip(Reason::Consecutive { .. }))
            && matches!(self.stage, Stage::Closed);
        let step = if is_burst { 0 } else { self.level };
        let mut open_for = backoff::jittered(&self.policy.open, step, &mut self.chance);
        if self.flaps.is_flapping(now) {
            open_for = open_for.max(flap::MIN_OPEN);
        }
        self.last_open = open_for;
        self.level = (self.level + 1).min(backoff::MAX_LEVEL);
        self.forget_at = None;
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
        {
            self.severity = severity as f32;
        }
        self.tripped_by = Some(Box::new(cause.clone()));
        let change = self.move_to(Stage::Open { until: now.plus(open_for) }, cause, reach, now);
        // After the change has taken its summary.
        self.windows.clear();
        self.memory.forget_streaks();
        change
    }

    fn close(&mut self, cause: Cause, now: Monotonic) -> Option<Change> {
        self.tripped_by = None;
        self.schedule_forgetting(now);
        self.move_to(Stage::Closed, cause, (None, None), now)
    }

    /// Moves the stage. Under an overlay this happens unseen and takes effect when it ends.
    fn move_to(
        &mut self,
        stage: Stage,
        cause: Cause,
        reach: (Option<Scope>, Option<Restraint>),
        now: Monotonic,
    ) -> Option<Change> {
        let from = self.stage_state();
        // What began while a share was let through still counts once all is.
        if !matches!(stage, Stage::Closed | Stage::Throttled(_)) {
            self.new_epoch();
        }
        self.stage = stage;
        if self.overlay.is_some() {
            return None;
        }
        self.since = now;
        Some(self.change(from, cause, reach, now))
    }

    /// After a forced open time the endpoint is probed first; after a hold the stage the breaker
    /// has come to meanwhile takes effect.
    fn end_overlay(&mut self, now: Monotonic) -> Change {
        let from = self.shown_state();
        if self.overlay.take().is_some_and(|overlay| overlay.force == Force::Open) {
            self.stage = Stage::HalfOpen(Box::new(Probing::new(&self.policy.half_open, now)));
            self.tripped_by = Some(Box::new(Cause::ForceEnded));
            // What was refused by order says nothing about the policy.
            self.has_failed_probes = true;
        }
        self.forget_probes(now);
        self.since = now;
        self.new_epoch();
        self.change(from, Cause::ForceEnded, (None, None), now)
    }

    /// A level is forgotten after ten times the last open time, spent closed.
    fn schedule_forgetting(&mut self, now: Monotonic) {
        let wait = self.last_open.saturating_mul(10).max(MIN_FORGETTING);
        self.forget_at = (self.level > 0).then(|| now.plus(wait));
    }

    /// Results of probes of an earlier epoch never arrive; without this they would be waited for.
    fn forget_probes(&mut self, now: Monotonic) {
        if let Stage::HalfOpen(probing) = &mut self.stage {
            **probing = Probing::new(&self.policy.half_open, now);
        }
    }

    const fn new_epoch(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }
}

/// The limit of failures in a row while traffic returns: half, but never one alone.
const fn alert(limit: u32) -> u32 {
    match limit {
        0 | 1 => limit,
        2.. => {
            let half = limit.div_ceil(2);
            if half < 2 { 2 } else { half }
        }
    }
}

const MIN_FORGETTING: Duration = Duration::from_secs(30);
