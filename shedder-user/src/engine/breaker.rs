//! One breaker: closed → open → half-open → recovering → closed, under an operator's overlay.

use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::{Monotonic, nanos};

use super::backoff::{self, Chance};
use super::evidence::Sample;
use super::policy::{Mode, Policy, ShedAction};
use super::strategy::Evidence;
use super::transition::{Cause, Change, Next};
use super::window::{Summary, Windows};
use super::{Force, State};

#[derive(Clone, Debug)]
pub(super) struct Breaker {
    policy: Arc<Policy>,
    stage: Stage,
    overlay: Option<Overlay>,
    since: Monotonic,
    /// Changes whenever evidence begun before must no longer count.
    epoch: u16,
    /// Trips remembered; the next open time is doubled for each.
    level: u32,
    /// While closed: when one level is forgotten.
    forget_at: Option<Monotonic>,
    last_open: Duration,
    /// Why it last tripped, until it is closed again.
    tripped_by: Option<Cause>,
    windows: Windows,
    chance: Chance,
}

/// What the evidence says, whatever an operator ordered.
#[derive(Clone, Debug)]
enum Stage {
    Closed,
    Open { until: Monotonic },
    HalfOpen(Probing),
    Recovering { from: Monotonic, until: Monotonic },
}

#[derive(Clone, Debug, Default)]
struct Probing {
    admitted: u64,
    successes: u64,
    failures: u64,
    /// Set with the first probe.
    deadline: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug)]
struct Overlay {
    force: Force,
    until: Monotonic,
}

/// What the kernel is to do for one breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Nothing when everything goes through.
    pub shed: Option<ShedAction>,
    /// Count only.
    pub observe: bool,
    /// Probes to admit in this epoch; nothing when not half-open.
    pub tokens: Option<u32>,
    /// Share admitted besides, in thousandths.
    pub admit_permille: u16,
    /// Stamped on sockets.
    pub epoch: u16,
}

/// What a person is shown of one breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The policy that decides.
    pub policy: Arc<Policy>,
    /// What it does.
    pub state: State,
    /// In observe mode: the state it would be in.
    pub would_be: State,
    /// Since when.
    pub since: Monotonic,
    /// Why it is not closed.
    pub cause: Option<Cause>,
    /// Trips remembered.
    pub level: u32,
    /// What time alone will bring next.
    pub next: Option<Next>,
    /// Recent evidence.
    pub window: Summary,
}

impl Breaker {
    pub(super) fn new(policy: Arc<Policy>, seed: u64, now: Monotonic) -> Self {
        Self {
            windows: Windows::new(policy.trip.iter().filter_map(super::Strategy::window)),
            policy,
            stage: Stage::Closed,
            overlay: None,
            since: now,
            epoch: 1,
            level: 0,
            forget_at: None,
            last_open: Duration::ZERO,
            tripped_by: None,
            chance: Chance::new(seed),
        }
    }

    /// Takes evidence in and lets the present state judge it.
    pub(super) fn observe(&mut self, sample: &Sample, now: Monotonic) -> Option<Change> {
        self.windows.add(sample, now);
        match &mut self.stage {
            Stage::Closed | Stage::Recovering { .. } => self.judge(sample, now),
            Stage::Open { .. } => None,
            Stage::HalfOpen(probing) => {
                probing.admitted += sample.probes;
                probing.successes += sample.probe_successes;
                probing.failures += sample.probe_failures;
                if probing.admitted > 0 && probing.deadline.is_none() {
                    probing.deadline = Some(now.plus(self.policy.half_open.deadline));
                }
                self.judge_probes(now)
            }
        }
    }

    /// Does what was due at or before `now`.
    pub(super) fn handle_timeout(&mut self, now: Monotonic) -> Option<Change> {
        if self.overlay.is_some_and(|overlay| overlay.until <= now) {
            return Some(self.end_overlay(now));
        }
        match &self.stage {
            Stage::Closed => {
                if self.forget_at.is_some_and(|at| at <= now) {
                    self.level -= 1;
                    self.schedule_forgetting(now);
                }
                None
            }
            Stage::Open { until } if *until <= now => {
                self.move_to(Stage::HalfOpen(Probing::default()), Cause::OpenTimePassed, now)
            }
            Stage::HalfOpen(probing) if probing.deadline.is_some_and(|at| at <= now) => {
                self.conclude_probing(now)
            }
            Stage::Recovering { until, .. } if *until <= now => {
                self.close(Cause::RampComplete, now)
            }
            Stage::Open { .. } | Stage::HalfOpen(_) | Stage::Recovering { .. } => None,
        }
    }

    /// When [`Breaker::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let stage = match &self.stage {
            Stage::Closed => self.forget_at,
            Stage::Open { until } | Stage::Recovering { until, .. } => Some(*until),
            Stage::HalfOpen(probing) => probing.deadline,
        };
        [stage, self.overlay.map(|overlay| overlay.until)].into_iter().flatten().min()
    }

    pub(super) fn force(&mut self, force: Force, ttl: Duration, now: Monotonic) -> Change {
        let from = self.state();
        self.overlay = Some(Overlay { force, until: now.plus(ttl) });
        self.since = now;
        self.forget_probes();
        self.new_epoch();
        self.change(from, self.state(), Cause::Forced(force, ttl), now)
    }

    pub(super) fn reset(&mut self, now: Monotonic) -> Change {
        let from = self.state();
        self.overlay = None;
        self.level = 0;
        self.forget_at = None;
        self.tripped_by = None;
        self.windows.clear();
        self.stage = Stage::Closed;
        self.since = now;
        self.new_epoch();
        self.change(from, self.state(), Cause::Reset, now)
    }

    pub(super) fn directive(&self, now: Monotonic) -> Directive {
        let sheds = |tokens, admit_permille| Directive {
            shed: Some(self.policy.shed),
            observe: self.policy.mode == Mode::Observe,
            tokens,
            admit_permille,
            epoch: self.epoch,
        };
        let passes = Directive {
            shed: None,
            observe: false,
            tokens: None,
            admit_permille: 0,
            epoch: self.epoch,
        };
        match (self.overlay.map(|overlay| overlay.force), &self.stage) {
            (Some(Force::Closed), _) | (None, Stage::Closed) => passes,
            // An operator's order acts, whatever the policy's mode.
            (Some(Force::Open), _) => Directive { observe: false, ..sheds(None, 0) },
            (None, Stage::Open { .. }) => sheds(None, 0),
            (None, Stage::HalfOpen(_)) => sheds(Some(self.policy.half_open.tokens), 0),
            (None, Stage::Recovering { from, until }) => {
                sheds(None, self.admitted_share(*from, *until, now))
            }
        }
    }

    pub(super) fn view(&self, now: Monotonic) -> View {
        View {
            policy: Arc::clone(&self.policy),
            state: self.state(),
            would_be: self.stage_state(),
            since: self.since,
            cause: self.overlay_cause(now).or_else(|| self.tripped_by.clone()),
            level: self.level,
            next: self.next(),
            window: self.windows.summary(now),
        }
    }

    /// Trips if any strategy says so.
    fn judge(&mut self, sample: &Sample, now: Monotonic) -> Option<Change> {
        let evidence = Evidence {
            windows: &self.windows,
            failure_run: sample.failure_run,
            had_burst: sample.failure_bursts > 0,
            now,
        };
        let reason = self.policy.trip.iter().find_map(|strategy| strategy.assess(&evidence))?;
        self.open(Cause::Trip(reason), now)
    }

    /// Decides as soon as the probes' results leave no doubt.
    fn judge_probes(&mut self, now: Monotonic) -> Option<Change> {
        let Stage::HalfOpen(probing) = &self.stage else { return None };
        let rule = &self.policy.half_open;
        if probing.successes >= u64::from(rule.successes) {
            return self.recover(now);
        }
        let may_fail = u64::from(rule.tokens - rule.successes);
        (probing.failures > may_fail).then(|| self.reopen(now)).flatten()
    }

    /// Decides when the probes' time is up: one that failed or never answered reopens; fewer
    /// callers than tokens, all of them served, is a recovery.
    fn conclude_probing(&mut self, now: Monotonic) -> Option<Change> {
        let Stage::HalfOpen(probing) = &self.stage else { return None };
        if probing.successes > 0 && probing.successes == probing.admitted {
            self.recover(now)
        } else {
            self.reopen(now)
        }
    }

    fn reopen(&mut self, now: Monotonic) -> Option<Change> {
        let Stage::HalfOpen(probing) = &self.stage else { return None };
        let cause = Cause::ProbesFailed {
            failures: probing.failures,
            unanswered: probing.admitted.saturating_sub(probing.successes + probing.failures),
            probes: probing.admitted,
        };
        self.open(cause, now)
    }

    fn recover(&mut self, now: Monotonic) -> Option<Change> {
        let Stage::HalfOpen(probing) = &self.stage else { return None };
        let cause =
            Cause::ProbesSucceeded { successes: probing.successes, probes: probing.admitted };
        self.windows.clear();
        if self.policy.ramp.duration.is_zero() {
            return self.close(cause, now);
        }
        let until = now.plus(self.policy.ramp.duration);
        self.move_to(Stage::Recovering { from: now, until }, cause, now)
    }

    fn open(&mut self, cause: Cause, now: Monotonic) -> Option<Change> {
        let open_for = backoff::jittered(&self.policy.open, self.level, &mut self.chance);
        self.last_open = open_for;
        self.level = (self.level + 1).min(backoff::MAX_LEVEL);
        self.forget_at = None;
        self.tripped_by = Some(cause.clone());
        let change = self.move_to(Stage::Open { until: now.plus(open_for) }, cause, now);
        // After the change has taken its summary.
        self.windows.clear();
        change
    }

    fn close(&mut self, cause: Cause, now: Monotonic) -> Option<Change> {
        self.tripped_by = None;
        self.schedule_forgetting(now);
        self.move_to(Stage::Closed, cause, now)
    }

    /// Moves the stage. Under an overlay this happens unseen and takes effect when it ends.
    fn move_to(&mut self, stage: Stage, cause: Cause, now: Monotonic) -> Option<Change> {
        let from = self.stage_state();
        // What began while recovering still counts once closed.
        if !matches!(stage, Stage::Closed) {
            self.new_epoch();
        }
        self.stage = stage;
        if self.overlay.is_some() {
            return None;
        }
        self.since = now;
        Some(self.change(from, self.stage_state(), cause, now))
    }

    /// After a forced open time the endpoint is probed first; after a hold the stage the breaker
    /// has come to meanwhile takes effect.
    fn end_overlay(&mut self, now: Monotonic) -> Change {
        let from = self.state();
        if self.overlay.take().is_some_and(|overlay| overlay.force == Force::Open) {
            self.stage = Stage::HalfOpen(Probing::default());
            self.tripped_by = Some(Cause::ForceEnded);
        }
        self.forget_probes();
        self.since = now;
        self.new_epoch();
        self.change(from, self.state(), Cause::ForceEnded, now)
    }

    fn change(&self, from: State, to: State, cause: Cause, now: Monotonic) -> Change {
        Change {
            at: now,
            from,
            to,
            cause,
            level: self.level,
            next: self.next(),
            window: self.windows.summary(now),
        }
    }

    fn next(&self) -> Option<Next> {
        if let Some(Overlay { force, until }) = self.overlay {
            let state = match force {
                Force::Open => State::HalfOpen,
                Force::Closed if self.policy.mode == Mode::Observe => State::Observe,
                Force::Closed => self.stage_state(),
            };
            return Some(Next { state, at: until });
        }
        match &self.stage {
            Stage::Closed => None,
            Stage::Open { until } => Some(Next { state: State::HalfOpen, at: *until }),
            Stage::HalfOpen(probing) => probing.deadline.map(|at| Next { state: State::Open, at }),
            Stage::Recovering { until, .. } => Some(Next { state: State::Closed, at: *until }),
        }
    }

    /// What people are told: an order comes first, then that the policy only observes.
    /// Whether every connect goes through, by what the evidence or an operator says.
    pub(super) fn is_healthy(&self) -> bool {
        match self.overlay {
            Some(overlay) => overlay.force == Force::Closed,
            None => matches!(self.stage, Stage::Closed),
        }
    }

    fn state(&self) -> State {
        match (self.overlay.map(|overlay| overlay.force), self.policy.mode) {
            (Some(Force::Open), _) => State::ForcedOpen,
            (Some(Force::Closed), _) => State::ForcedClosed,
            (None, Mode::Observe) => State::Observe,
            (None, Mode::Enforce) => self.stage_state(),
        }
    }

    const fn stage_state(&self) -> State {
        match self.stage {
            Stage::Closed => State::Closed,
            Stage::Open { .. } => State::Open,
            Stage::HalfOpen(_) => State::HalfOpen,
            Stage::Recovering { .. } => State::Recovering,
        }
    }

    fn overlay_cause(&self, now: Monotonic) -> Option<Cause> {
        self.overlay.map(|overlay| Cause::Forced(overlay.force, overlay.until.since(now)))
    }

    /// The admitted share grows with time from its start to everything.
    fn admitted_share(&self, from: Monotonic, until: Monotonic, now: Monotonic) -> u16 {
        let total = u128::from(nanos(until.since(from))).max(1);
        let passed = u128::from(nanos(now.since(from))).min(total);
        let start = self.policy.ramp.start_permille;
        let rest = u128::from(1000_u16.saturating_sub(start));
        start + u16::try_from(rest * passed / total).unwrap_or(1000)
    }

    /// A level is forgotten after ten times the last open time, spent closed.
    fn schedule_forgetting(&mut self, now: Monotonic) {
        let wait = self.last_open.saturating_mul(10).max(MIN_FORGETTING);
        self.forget_at = (self.level > 0).then(|| now.plus(wait));
    }

    /// Results of probes of an earlier epoch never arrive; without this they would be waited for.
    fn forget_probes(&mut self) {
        if let Stage::HalfOpen(probing) = &mut self.stage {
            *probing = Probing::default();
        }
    }

    const fn new_epoch(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }
}

const MIN_FORGETTING: Duration = Duration::from_secs(30);
