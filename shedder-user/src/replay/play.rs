//! One policy and its engine, going along with the recording.
//!
//! Invariant: the engine is shown what the policy would have let through, in steps of its tick.

use std::collections::BTreeSet;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::guarded::{Guarded, Part, Tally};
use super::terms::Terms;
use crate::engine::{CellId, Chance, Change, Engine, Place, State};
use crate::picture::Point;
use crate::recording::{Name, Second};

/// A policy at some point of the recording.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) terms: Terms,
    engine: Engine,
    chance: Chance,
    steps: u64,
    guarded: Vec<Option<Guarded>>,
    /// For each breaker what came of it.
    pub(super) breakers: Vec<Lane>,
    /// For each second.
    pub(super) points: Vec<Point>,
    /// Recorded cells the policy says nothing about, and why.
    pub(super) unmatched: BTreeSet<String>,
    pub(super) notices: Vec<(Monotonic, String)>,
}

/// What came of one breaker.
#[derive(Debug)]
pub(super) struct Lane {
    /// Whether the policy says anything about it.
    pub(super) is_matched: bool,
    pub(super) refused: u64,
    pub(super) good: f64,
    pub(super) unknown: f64,
    pub(super) leaked: u64,
    pub(super) states: Vec<(Monotonic, State)>,
    pub(super) changes: Vec<Change>,
}

impl Play {
    pub(super) fn new(terms: Terms) -> Self {
        let tick = terms.tick.clamp(SHORTEST_STEP, SECOND);
        Self {
            engine: Engine::new(SEED, terms.rules.clone()),
            chance: Chance::new(SEED),
            steps: u64::try_from(SECOND.as_nanos() / tick.as_nanos()).unwrap_or(1),
            terms,
            guarded: Vec::new(),
            breakers: Vec::new(),
            points: Vec::new(),
            unmatched: BTreeSet::new(),
            notices: Vec::new(),
        }
    }

    /// A daemon begins, and knows nothing.
    pub(super) fn start(&mut self, now: Monotonic) {
        self.run_until(now);
        self.engine = Engine::new(SEED, self.terms.rules.clone());
        for breaker in 0..self.guarded.len() {
            self.close(breaker, now);
        }
    }

    /// A cell is there from now on.
    pub(super) fn insert(&mut self, breaker: usize, name: &Name, place: Place, now: Monotonic) {
        if self.breakers.len() <= breaker {
            self.guarded.resize(breaker + 1, None);
            self.breakers.resize_with(breaker + 1, Lane::new);
        }
        match self.terms.policy(name) {
            Ok(policy) => {
                let lane = &mut self.breakers[breaker];
                if !lane.is_matched {
                    lane.is_matched = true;
                    lane.states.push((now, State::Closed));
                }
                self.engine.insert(id(breaker), place, policy, now);
                self.guarded[breaker] = Some(Guarded::new(now));
            }
            Err(why) => {
                let Name { caller, service, endpoint, .. } = name;
                self.unmatched.insert(format!("{caller} calling {service} at {endpoint}: {why}"));
            }
        }
    }

    /// A cell is forgotten.
    pub(super) fn remove(&mut self, breaker: usize, now: Monotonic) {
        self.run_until(now);
        self.engine.remove(id(breaker));
        self.close(breaker, now);
    }

    /// What happened within a second that began at `begin`.
    pub(super) fn second(&mut self, number: u64, seen: &[(usize, Second)], begin: Monotonic) {
        let mut point = Point::default();
        for step in 0..self.steps {
            let now = begin.plus(middle(step, self.steps));
            self.run_until(now);
            for (breaker, second) in seen {
                let part = Part { second, number, step, steps: self.steps, now };
                point = point.plus(&self.meet(*breaker, &part));
            }
            self.run_until(now);
        }
        let index = usize::try_from(number).expect("a week has few seconds");
        if self.points.len() <= index {
            self.points.resize_with(index + 1, Point::default);
        }
        self.points[index] = point;
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, now: Monotonic) {
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due < now) {
            self.settle(due);
            if self.engine.poll_timeout().is_some_and(|next| next <= due) {
                break;
            }
        }
        self.settle(now);
    }

    fn settle(&mut self, now: Monotonic) {
        self.engine.handle_timeout(now);
        while let Some(transition) = self.engine.poll_transition() {
            let lane = &mut self.breakers[transition.cell.0 as usize];
            lane.states.push((transition.change.at, transition.change.to));
            lane.changes.push(transition.change);
        }
        while let Some(notice) = self.engine.poll_notice() {
            self.notices.push((now, notice.to_string()));
        }
    }

    fn meet(&mut self, breaker: usize, part: &Part<'_>) -> Point {
        let counts = &part.second.sample.counts;
        let directive = self.engine.directive(id(breaker), part.now);
        let guarded = self.guarded.get_mut(breaker).and_then(Option::as_mut);
        let (Some(guarded), Some(directive)) = (guarded, directive) else {
            // Nothing is done about it, so everything is as it was; shown once, at its end.
            let is_last = part.step + 1 == part.steps;
            return if is_last { as_it_was(counts) } else { Point::default() };
        };
        let (sample, tally) = guarded.meet(part, &directive, &mut self.chance);
        if let Some(sample) = sample {
            self.engine.observe(id(breaker), &sample, part.now);
        }
        let Tally { connects, refused, good, unknown, successes, failures } = tally;
        let lane = &mut self.breakers[breaker];
        lane.refused += refused;
        lane.good += good;
        lane.unknown += unknown;
        lane.leaked += failures;
        Point {
            calls: successes + failures + refused,
            served: successes,
            tries: connects,
            shed: refused,
        }
    }

    fn close(&mut self, breaker: usize, now: Monotonic) {
        self.guarded[breaker] = None;
        let states = &mut self.breakers[breaker].states;
        if states.last().is_some_and(|(_, state)| *state != State::Closed) {
            states.push((now, State::Closed));
        }
    }
}

impl Lane {
    pub(super) const fn new() -> Self {
        Self {
            is_matched: false,
            refused: 0,
            good: 0.0,
            unknown: 0.0,
            leaked: 0,
            states: Vec::new(),
            changes: Vec::new(),
        }
    }
}

/// Traffic as it was recorded.
pub(super) const fn as_it_was(counts: &crate::engine::Counts) -> Point {
    Point {
        calls: counts.attempts() + counts.shed,
        served: counts.successes,
        tries: counts.connects,
        shed: counts.shed,
    }
}

/// From the beginning of a second to the middle of one of its steps, so that what is decided there
/// belongs to this second and no other.
fn middle(step: u64, steps: u64) -> Duration {
    SECOND * u32::try_from(2 * step + 1).unwrap_or(1) / u32::try_from(2 * steps).unwrap_or(2)
}

fn id(breaker: usize) -> CellId {
    CellId(u32::try_from(breaker).expect("a recording has no four billion cells"))
}

const SECOND: Duration = Duration::from_secs(1);
/// Finer steps would say more than a recording of whole seconds knows.
const SHORTEST_STEP: Duration = Duration::from_millis(100);
/// The same recording and policies give the same report.
const SEED: u64 = 1;
