//! The decision engine: evidence and a time in, verdicts and transitions out.
//!
//! Invariant: nothing in here knows a clock, a map, a file, a socket or a runtime. Time is an
//! argument, chance comes from a seed, and the same inputs give the same outputs.

mod backoff;
mod baseline;
mod breaker;
mod cells;
mod evidence;
mod flap;
mod latencies;
mod notice;
mod peers;
mod policy;
mod rule;
mod safety;
mod slo_drift;
mod state;
mod strategy;
mod tally;
mod transition;
mod window;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shedder_common::breaker::BreakerRow;
use shedder_common::time::Monotonic;

pub(crate) use self::backoff::Chance;
pub use self::baseline::LearnRule;
pub use self::breaker::{Directive, View};
pub use self::evidence::{Buckets, Counts, Sample, Unfinished};
pub(crate) use self::latencies::Latencies;
pub use self::notice::{Brake, Notice};
pub use self::policy::{
    Admission, BestCase, CloseGate, Established, Growth, HalfOpenRule, InvalidPolicy, Lone, Mode,
    OnFailure, OpenRule, Policy, RampRule, SafetyRule, ScopeRule, ShedAction, ThrottleRule,
};
pub use self::rule::{Response, Rule, TripRule};
pub use self::safety::{NodeRules, Place};
pub use self::slo_drift::DriftRule;
pub use self::state::State;
pub use self::strategy::{Limit, Measure, Numbers, Reason, Signal, Strategy};
pub use self::transition::{Cause, Change, Next, Restraint, Scope, Transition};
pub use self::window::{Span, Summary};

use self::breaker::{Breaker, Judgement};
use self::cells::Cells;
use self::peers::Peers;
use self::safety::{Ruling, Safety};

/// Names one breaker. The shell decides what it stands for; here it is only an identity, and a
/// small number: the engine keeps an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId(pub u32);

/// An operator's override.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Shed, whatever the evidence says.
    Open,
    /// Let everything through, whatever the evidence says.
    Closed,
}

/// Every breaker of the node.
#[derive(Debug)]
pub struct Engine {
    seed: u64,
    cells: Cells,
    /// When each breaker wants to be looked at, earliest first.
    deadlines: BTreeSet<(Monotonic, CellId)>,
    safety: Safety,
    transitions: VecDeque<Transition>,
    notices: VecDeque<Notice>,
}

impl Engine {
    /// An engine without breakers. Jitter is drawn from `seed`.
    pub fn new(seed: u64, rules: NodeRules) -> Self {
        Self {
            seed,
            cells: Cells::default(),
            deadlines: BTreeSet::new(),
            safety: Safety::new(rules),
            transitions: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// Adds a closed breaker. One that exists under this name is replaced.
    pub fn insert(&mut self, cell: CellId, place: Place, policy: Arc<Policy>, now: Monotonic) {
        self.remove(cell);
        let mut breaker = Breaker::new(policy, self.seed_of(cell), now);
        self.safety.insert(cell, place);
        breaker.suspend(self.safety.is_suspended(place));
        self.cells.insert(cell, place, self.safety.standing(place), breaker);
        self.reckon_panic(cell, now);
    }

    /// Adds a breaker that goes on where that of an earlier daemon was when it left `row`. Suspended
    /// policies stay so.
    pub fn resume(
        &mut self,
        cell: CellId,
        place: Place,
        policy: Arc<Policy>,
        row: &BreakerRow,
        now: Monotonic,
    ) {
        self.insert(cell, place, Arc::clone(&policy), now);
        let breaker = Breaker::resume(policy, self.seed_of(cell), row, now);
        let is_suspended = breaker.is_suspended();
        let take_its_place = |fresh: &mut Breaker| {
            *fresh = breaker;
            Judgement::default()
        };
        self.act_on(cell, take_its_place);
        if is_suspended || self.safety.is_suspended(place) {
            self.safety.suspend(place);
            self.suspend(place, true);
        }
        self.safety.expect_change(cell, &self.cells);
        self.reckon_panic(cell, now);
    }

    /// What [`Engine::resume`] needs to go on with a breaker; what the shell knows of it is left at zero.
    pub fn hand_on(&self, cell: CellId) -> Option<BreakerRow> {
        self.cells.breaker(cell).map(Breaker::hand_on)
    }

    /// Where a breaker belongs.
    #[cfg(test)]
    pub(crate) fn place(&self, cell: CellId) -> Option<Place> {
        self.cells.place(cell)
    }

    /// Forgets a breaker.
    pub fn remove(&mut self, cell: CellId) {
        let Some((place, breaker)) = self.cells.remove(cell) else { return };
        self.safety.remove(cell, place);
        if let Some(deadline) = breaker.deadline() {
            self.deadlines.remove(&(deadline, cell));
        }
    }

    /// Gives a breaker another policy, in force at once; whether the breaker exists. What is known of
    /// the endpoint stays: the state and how long it lasts, an override, the trips remembered, the
    /// windows the new rules look at too, and if the trip rules are the same, what they remember. Where
    /// the rules of half-open change, it is probed anew.
    pub fn replace_policy(&mut self, cell: CellId, policy: Arc<Policy>, now: Monotonic) -> bool {
        let adopt = |breaker: &mut Breaker| {
            breaker.adopt(policy, now);
            Judgement::default()
        };
        if self.act_on(cell, adopt).is_none() {
            return false;
        }
        self.safety.expect_change(cell, &self.cells);
        self.reckon_panic(cell, now);
        true
    }

    /// Changes the limits for the node as a whole. What was counted against them stays.
    pub fn replace_rules(&mut self, rules: NodeRules) {
        self.safety.replace_rules(rules);
    }

    /// Forgets what is remembered of callers and services besides their breakers, where there are no
    /// breakers and `is_wanted` says no of caller and service.
    pub fn forget_groups(&mut self, is_wanted: impl Fn(u32, u32) -> bool) {
        self.safety.forget_groups(is_wanted);
    }

    /// Takes in what happened to a breaker since its last sample and decides.
    pub fn observe(&mut self, cell: CellId, sample: &Sample, now: Monotonic) {
        let Some(place) = self.cells.place(cell) else { return };
        let peers = self.peers(cell, place, now);
        let observes =
            self.cells.breaker(cell).is_some_and(|breaker| breaker.state() == State::Observe);
        self.safety.observe(cell, place, &sample.counts, !observes, now);
        self.change(cell, now, |breaker| breaker.observe(sample, peers.as_ref(), now));
    }

    /// Lets every breaker act whose time has come.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        let mut last = None;
        while let Some(&(deadline, cell)) = self.deadlines.first()
            && deadline <= now
            // At the end of time deadlines no longer move on.
            && (now.as_nanos() < u64::MAX || last < Some((deadline, cell)))
        {
            last = Some((deadline, cell));
            self.change(cell, now, |breaker| breaker.handle_timeout(now));
        }
        self.safety.reckon_openings(&self.cells, now);
        self.tell_standings();
    }

    /// When [`Engine::handle_timeout`] next has something to do.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Overrides a breaker until `ttl` has passed; whether the breaker exists.
    pub fn force(&mut self, cell: CellId, force: Force, ttl: Duration, now: Monotonic) -> bool {
        self.change(cell, now, |breaker| Some(breaker.force(force, ttl, now)).into())
    }

    /// Drops a breaker's override, window, level and what it has learned, and closes it; whether it
    /// exists. A policy that was suspended enforces again.
    pub fn reset(&mut self, cell: CellId, now: Monotonic) -> bool {
        if let Some(place) = self.cells.place(cell)
            && self.safety.resume(place)
        {
            self.suspend(place, false);
        }
        self.change(cell, now, |breaker| Some(breaker.reset(now)).into())
    }

    /// The next transition not yet taken, in the order they happened.
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    /// The next notice not yet taken, in the order they came.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The breakers for which [`Engine::directive`] or [`Engine::is_healthy`] may say something else than when
    /// this was last asked: new ones, those that something happened to, and those that change with time. One
    /// that has been removed meanwhile may be among them.
    pub fn take_touched(&mut self) -> Vec<CellId> {
        self.cells.take_touched()
    }

    /// What the kernel is to do for a breaker at `now`.
    pub fn directive(&self, cell: CellId, now: Monotonic) -> Option<Directive> {
        let (standing, breaker) = (self.cells.standing(cell), self.cells.breaker(cell)?);
        let directive = breaker.directive(now);
        let is_forced = matches!(breaker.state(), State::ForcedOpen);
        if standing.is_panicking && !is_forced {
            return Some(Directive {
                shed: None,
                established: Established::Keep,
                tokens: None,
                admit_permille: 0,
                ..directive
            });
        }
        if standing.lets_open {
            return Some(breaker.on_burst(directive));
        }
        Some(directive)
    }

    /// What a person is shown of a breaker at `now`.
    pub fn view(&self, cell: CellId, now: Monotonic) -> Option<View> {
        self.cells.breaker(cell).map(|breaker| breaker.view(now))
    }

    /// What a breaker does at present.
    pub fn state(&self, cell: CellId) -> Option<State> {
        self.cells.breaker(cell).map(Breaker::state)
    }

    /// Whether a breaker lets everything through, so that others may send their connects there.
    pub fn is_healthy(&self, cell: CellId) -> bool {
        self.cells.breaker(cell).is_some_and(Breaker::is_healthy)
    }

    /// Bytes one breaker takes, without the policy it shares with others.
    pub fn bytes(&self, cell: CellId) -> Option<usize> {
        self.cells.breaker(cell).map(Breaker::bytes)
    }

    fn seed_of(&self, cell: CellId) -> u64 {
        self.seed ^ u64::from(cell.0).wrapping_mul(GOLDEN_RATIO)
    }

    fn reckon_panic(&mut self, cell: CellId, now: Monotonic) {
        self.notices.extend(self.safety.reckon_panic(cell, &self.cells, now));
        self.tell_standings();
    }

    /// Tells the breakers of a group when something else holds for it.
    fn tell_standings(&mut self) {
        while let Some((cells, standing)) = self.safety.poll_standing() {
            for cell in cells {
                self.cells.set_standing(cell, standing);
            }
        }
    }

    /// What the endpoints of the service have in common, if this one's policy compares them.
    fn peers(&mut self, cell: CellId, place: Place, now: Monotonic) -> Option<Peers> {
        self.cells.breaker(cell).and_then(Breaker::outlier_rule)?;
        Some(self.safety.peers(place, &self.cells, now))
    }

    /// Lets `act` change a breaker, then does what follows from it.
    fn change(
        &mut self,
        cell: CellId,
        now: Monotonic,
        act: impl FnOnce(&mut Breaker) -> Judgement,
    ) -> bool {
        let Some(judgement) = self.act_on(cell, act) else { return false };
        let Judgement { change, wish, relapse, falsely_refused } = judgement;
        let has_changed = change.is_some();
        self.transitions.extend(change.map(|change| change.of(cell)));
        if let Some(cause) = relapse {
            self.relapse(cell, cause, now);
            return true;
        }
        if let Some((response, reason)) = wish {
            self.grant(cell, response, reason, now);
        }
        if falsely_refused > 0
            && let Some(notice) =
                self.safety.refused_falsely(cell, falsely_refused, &self.cells, now)
        {
            self.notices.push_back(notice);
            if let Some(place) = self.cells.place(cell) {
                self.suspend(place, true);
            }
        }
        if has_changed {
            self.safety.expect_change(cell, &self.cells);
            self.reckon_panic(cell, now);
        }
        true
    }

    /// Does what a breaker's rules ask for, as far as nothing objects.
    fn grant(&mut self, cell: CellId, response: Response, reason: Reason, now: Monotonic) {
        match response {
            Response::Alarm => {
                let breaker = self.cells.breaker_mut(cell);
                if breaker.is_some_and(|breaker| breaker.may_alarm(now)) {
                    self.notices.push_back(Notice::Alarm { cell, reason, at: now });
                }
            }
            Response::Throttle => {
                let restraint = Some(Restraint::Rule);
                let cause = Cause::Trip(reason);
                self.change(cell, now, |breaker| {
                    breaker.throttle(cause, None, restraint, now).into()
                });
            }
            Response::Open => self.grant_opening(cell, reason, now),
        }
    }

    fn grant_opening(&mut self, cell: CellId, reason: Reason, now: Monotonic) {
        let severity = reason.severity();
        let mut notices = Vec::new();
        let ruling = self.safety.rule(cell, severity, &self.cells, now, &mut notices);
        self.notices.extend(notices);
        match ruling {
            Ruling::Nothing => {}
            Ruling::Throttle { scope, restraint } => {
                let cause = Cause::Trip(reason);
                self.change(cell, now, |breaker| {
                    breaker.throttle(cause, Some(scope), Some(restraint), now).into()
                });
            }
            Ruling::Open { scope, with, yields } => {
                if let Some(milder) = yields {
                    self.change(milder, now, |breaker| {
                        breaker.throttle(Cause::Yielded, None, None, now).into()
                    });
                }
                if let Some(place) = self.cells.place(cell) {
                    self.safety.tripped(place, now);
                }
                let cause = Cause::Trip(reason.clone());
                self.change(cell, now, |breaker| {
                    breaker.trip(cause, severity, Some(scope), now).into()
                });
                self.open_with(&with, scope, &reason, now);
            }
        }
    }

    /// Reopens a breaker whose traffic had begun to return, if others have not taken its place.
    fn relapse(&mut self, cell: CellId, cause: Cause, now: Monotonic) {
        let restraint = self.safety.restraint(cell, &self.cells, now);
        self.change(cell, now, |breaker| match restraint {
            Ok(()) => breaker.trip(cause, RELAPSE_SEVERITY, None, now).into(),
            Err(restraint) => breaker.throttle(cause, None, Some(restraint), now).into(),
        });
    }

    /// Opens an endpoint for the callers that have not seen enough to know.
    fn open_with(&mut self, cells: &[CellId], scope: Scope, reason: &Reason, now: Monotonic) {
        let Scope::Endpoint { callers } = scope else { return };
        for cell in cells {
            if self.safety.restraint(*cell, &self.cells, now).is_ok() {
                let cause = Cause::Endpoint { callers, reason: reason.clone() };
                self.change(*cell, now, |breaker| {
                    breaker.trip(cause, reason.severity(), Some(scope), now).into()
                });
            }
        }
    }

    /// Lets every breaker of a caller and service stop enforcing, or begin again.
    fn suspend(&mut self, place: Place, is_suspended: bool) {
        for cell in self.safety.group(place) {
            if let Some(breaker) = self.cells.breaker_mut(*cell) {
                breaker.suspend(is_suspended);
            }
        }
    }

    /// Lets `act` change a breaker and keeps its deadline.
    fn act_on(
        &mut self,
        cell: CellId,
        act: impl FnOnce(&mut Breaker) -> Judgement,
    ) -> Option<Judgement> {
        let breaker = self.cells.breaker_mut(cell)?;
        let before = breaker.deadline();
        let judgement = act(breaker);
        let after = breaker.deadline();
        if before != after {
            if let Some(deadline) = before {
                self.deadlines.remove(&(deadline, cell));
            }
            if let Some(deadline) = after {
                self.deadlines.insert((deadline, cell));
            }
        }
        Some(judgement)
    }
}

/// As bad as the least share of failures that reopens by default.
const RELAPSE_SEVERITY: f64 = 0.5;
/// Spreads neighbouring cell numbers over the seed space.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
