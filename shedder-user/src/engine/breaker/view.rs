//! What a breaker tells: the kernel, and people.

use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::super::policy::{Admission, Established, Mode, Policy, ShedAction};
use super::super::transition::{Cause, Change, Next, Restraint, Scope};
use super::super::window::Summary;
use super::super::{Force, State};
use super::{Breaker, Overlay, Stage};

/// What the kernel is to do for one breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Nothing when everything goes through.
    pub shed: Option<ShedAction>,
    /// The share of the caller's cgroups, in percent, for which it acts; for the others it only counts.
    /// Zero: for none.
    pub enforce_percent: u8,
    /// What is to become of the connections there are.
    pub established: Established,
    /// Probes to admit in this epoch, in all; nothing when not half-open.
    pub tokens: Option<u32>,
    /// Share admitted besides, in thousandths.
    pub admit_permille: u16,
    /// While closed: failures in a row from which on the kernel is to shed without waiting to be
    /// told. Nothing where the engine might decide otherwise.
    pub burst_limit: Option<u32>,
    /// Failures in a row of which the engine is to be told at once; zero for never.
    pub failure_run_limit: u32,
    /// Stamped on sockets.
    pub epoch: u16,
}

impl Directive {
    /// Whether connects are shed now, and not only on a burst.
    pub const fn sheds(&self) -> bool {
        self.shed.is_some() && self.burst_limit.is_none()
    }

    /// Whether what is shed is only counted, for every cgroup.
    pub const fn observes(&self) -> bool {
        self.enforce_percent == 0
    }
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
    /// Whether it changes back and forth.
    pub is_flapping: bool,
    /// Whether its policy has stopped enforcing because it refused too much wrongly.
    pub is_suspended: bool,
    /// The share of the caller's cgroups it acts for, in percent; zero observes.
    pub enforce_percent: u8,
    /// What time alone will bring next.
    pub next: Option<Next>,
    /// Recent evidence.
    pub window: Summary,
}

impl Breaker {
    pub(in crate::engine) fn directive(&self, now: Monotonic) -> Directive {
        let failure_run_limit = self.policy.failure_run_limit().unwrap_or(0);
        let passes = Directive {
            shed: None,
            enforce_percent: 0,
            established: Established::Keep,
            tokens: None,
            admit_permille: 0,
            burst_limit: None,
            failure_run_limit,
            epoch: self.epoch,
        };
        let sheds = Directive {
            shed: Some(self.policy.shed),
            enforce_percent: self.enforce_percent(),
            ..passes
        };
        let opens = match self.mode() {
            Mode::Enforce => Directive { established: self.policy.established, ..sheds },
            // Not by order either: a connection that is ended cannot be given back.
            Mode::Observe => sheds,
        };
        match (self.overlay.map(|overlay| overlay.force), &self.stage) {
            (Some(Force::Closed), _) | (None, Stage::Closed) => passes,
            // An operator's order acts, whatever the policy's mode, and for every cgroup.
            (Some(Force::Open), _) => Directive { enforce_percent: 100, ..opens },
            (None, Stage::Open { .. }) => opens,
            (None, Stage::HalfOpen(probing)) => match self.policy.half_open.admission {
                Admission::Tokens(tokens) => {
                    // Nobody knows it to be well yet, so what was begun with connections goes on.
                    Directive { tokens: Some(probing.tokens(tokens)), ..opens }
                }
                Admission::Everyone | Admission::Skip => passes,
            },
            (None, Stage::Throttled(throttling)) => match throttling.admit_permille() {
                1000.. => passes,
                admit_permille => Directive { admit_permille, ..sheds },
            },
            (None, Stage::Recovering(ramp)) => {
                let window = self.windows.longest();
                Directive {
                    admit_permille: ramp.share_permille(&self.policy.ramp, window, now),
                    failure_run_limit: super::alert(failure_run_limit),
                    ..sheds
                }
            }
        }
    }

    /// Whether [`Breaker::directive`] says something else as time passes, though nothing happens.
    pub(in crate::engine) const fn changes_with_time(&self) -> bool {
        matches!(self.stage, Stage::Recovering(_))
    }

    /// What the kernel is to do while the breaker is closed and may open: let everything through
    /// until a burst of failures would open it.
    pub(in crate::engine) fn on_burst(&self, passes: Directive) -> Directive {
        let is_closed = self.overlay.is_none() && matches!(self.stage, Stage::Closed);
        match self.policy.burst_limit() {
            Some(limit) if is_closed && !self.is_busy => Directive {
                shed: Some(self.policy.shed),
                enforce_percent: self.enforce_percent(),
                burst_limit: Some(limit),
                ..passes
            },
            Some(_) | None => passes,
        }
    }

    pub(in crate::engine) fn view(&self, now: Monotonic) -> View {
        let forced =
            self.overlay.map(|Overlay { force, until }| Cause::Forced(force, until.since(now)));
        View {
            policy: Arc::clone(&self.policy),
            state: self.state(),
            would_be: self.stage_state(),
            since: self.since,
            cause: forced.or_else(|| self.tripped_by.as_deref().cloned()),
            level: self.level,
            is_flapping: self.flaps.is_flapping(now),
            is_suspended: self.is_suspended,
            enforce_percent: match self.overlay {
                Some(Overlay { force: Force::Open, .. }) => 100,
                _ => self.enforce_percent(),
            },
            next: self.next(now),
            window: self.windows.summary(now),
        }
    }

    /// Whether every connect goes through, by what the evidence or an operator says.
    pub(in crate::engine) fn is_healthy(&self) -> bool {
        match self.overlay {
            Some(overlay) => overlay.force == Force::Closed,
            None => matches!(self.stage, Stage::Closed),
        }
    }

    /// What people are told: an order comes first, then that the policy only observes.
    pub(in crate::engine) fn state(&self) -> State {
        match (self.overlay.map(|overlay| overlay.force), self.mode()) {
            (Some(Force::Open), _) => State::ForcedOpen,
            (Some(Force::Closed), _) => State::ForcedClosed,
            (None, Mode::Observe) => State::Observe,
            (None, Mode::Enforce) => self.stage_state(),
        }
    }

    /// What the evidence says, whatever an operator ordered.
    pub(in crate::engine) const fn stage_state(&self) -> State {
        match self.stage {
            Stage::Closed => State::Closed,
            Stage::Throttled(_) => State::Throttled,
            Stage::Open { .. } => State::Open,
            Stage::HalfOpen(_) => State::HalfOpen,
            Stage::Recovering(_) => State::Recovering,
        }
    }

    pub(super) fn mode(&self) -> Mode {
        if self.is_suspended { Mode::Observe } else { self.policy.mode }
    }

    fn enforce_percent(&self) -> u8 {
        match self.mode() {
            Mode::Observe => 0,
            Mode::Enforce => self.policy.enforce_percent,
        }
    }

    pub(super) fn change(
        &self,
        from: State,
        cause: Cause,
        reach: (Option<Scope>, Option<Restraint>),
        now: Monotonic,
    ) -> Change {
        let (scope, restraint) = reach;
        Change {
            at: now,
            from,
            to: self.shown_state(),
            cause,
            scope,
            restraint,
            level: self.level,
            is_flapping: self.flaps.is_flapping(now),
            next: self.next(now),
            window: self.windows.summary(now),
            generation: self.policy.generation,
        }
    }

    /// In transitions an observing policy shows what it would do.
    pub(super) fn shown_state(&self) -> State {
        match self.overlay.map(|overlay| overlay.force) {
            Some(Force::Open) => State::ForcedOpen,
            Some(Force::Closed) => State::ForcedClosed,
            None => self.stage_state(),
        }
    }

    fn next(&self, now: Monotonic) -> Option<Next> {
        if let Some(Overlay { force, until }) = self.overlay {
            let state = match (self.mode(), force) {
                (Mode::Observe, _) => State::Observe,
                (Mode::Enforce, Force::Open) => State::HalfOpen,
                (Mode::Enforce, Force::Closed) => self.stage_state(),
            };
            return Some(Next { state, at: until });
        }
        let (state, at) = match &self.stage {
            Stage::Closed => return None,
            Stage::Throttled(throttling) => {
                (State::Closed, throttling.deadline(&self.policy.throttle)?)
            }
            Stage::Open { until } => (self.after_open(now), *until),
            Stage::HalfOpen(probing) => (State::Open, probing.deadline?),
            Stage::Recovering(ramp) => (State::Closed, ramp.until),
        };
        Some(Next { state, at })
    }

    fn after_open(&self, now: Monotonic) -> State {
        match self.policy.half_open.admission {
            Admission::Tokens(_) | Admission::Everyone => State::HalfOpen,
            Admission::Skip
                if self.policy.ramp.duration.is_zero() && !self.flaps.is_flapping(now) =>
            {
                State::Closed
            }
            Admission::Skip => State::Recovering,
        }
    }

    /// Bytes it takes, the policy it shares with others excepted.
    pub(in crate::engine) fn bytes(&self) -> usize {
        let cause = self.tripped_by.as_ref().map_or(0, |_| size_of::<Cause>());
        size_of::<Self>() + self.windows.heap_bytes() + self.memory.heap_bytes() + cause
    }
}

/// How long ago `since` was as connects a second.
pub(super) fn per_second(connects: u64, span: Duration) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let rate = connects as f32 / span.as_secs_f32().max(1.0);
    rate
}
