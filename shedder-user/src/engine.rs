//! The decision engine: evidence and a time in, verdicts and transitions out.
//!
//! Invariant: nothing in here knows a clock, a map, a file, a socket or a runtime. Time is an
//! argument, chance comes from a seed, and the same inputs give the same outputs.

mod backoff;
mod breaker;
mod evidence;
mod policy;
mod state;
mod strategy;
mod transition;
mod window;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::Monotonic;

pub use self::breaker::{Directive, View};
pub use self::evidence::{Buckets, Sample};
pub use self::policy::{HalfOpenRule, InvalidPolicy, Mode, OpenRule, Policy, RampRule, ShedAction};
pub use self::state::State;
pub use self::strategy::{Reason, Signal, Strategy};
pub use self::transition::{Cause, Next, Transition};
pub use self::window::Summary;

use self::breaker::Breaker;

/// Names one breaker. The shell decides what it stands for; here it is only an identity.
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
    cells: BTreeMap<CellId, Breaker>,
    /// When each breaker wants to be looked at, earliest first.
    deadlines: BTreeSet<(Monotonic, CellId)>,
    transitions: VecDeque<Transition>,
}

impl Engine {
    /// An engine without breakers. Jitter is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            cells: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            transitions: VecDeque::new(),
        }
    }

    /// Adds a closed breaker. One that exists under this name is replaced.
    pub fn insert(&mut self, cell: CellId, policy: Arc<Policy>, now: Monotonic) {
        self.remove(cell);
        let seed = self.seed ^ u64::from(cell.0).wrapping_mul(GOLDEN_RATIO);
        self.cells.insert(cell, Breaker::new(policy, seed, now));
    }

    /// Forgets a breaker.
    pub fn remove(&mut self, cell: CellId) {
        if let Some(deadline) = self.cells.remove(&cell).and_then(|breaker| breaker.deadline()) {
            self.deadlines.remove(&(deadline, cell));
        }
    }

    /// Takes in what happened to a breaker since its last sample and decides.
    pub fn observe(&mut self, cell: CellId, sample: &Sample, now: Monotonic) {
        self.change(cell, |breaker| breaker.observe(sample, now));
    }

    /// Lets every breaker act whose time has come.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        while let Some(&(deadline, cell)) = self.deadlines.first()
            && deadline <= now
        {
            self.change(cell, |breaker| breaker.handle_timeout(now));
        }
    }

    /// When [`Engine::handle_timeout`] next has something to do.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Overrides a breaker until `ttl` has passed; whether the breaker exists.
    pub fn force(&mut self, cell: CellId, force: Force, ttl: Duration, now: Monotonic) -> bool {
        self.change(cell, |breaker| Some(breaker.force(force, ttl, now)))
    }

    /// Drops a breaker's override, window and level, and closes it; whether it exists.
    pub fn reset(&mut self, cell: CellId, now: Monotonic) -> bool {
        self.change(cell, |breaker| Some(breaker.reset(now)))
    }

    /// The next transition not yet taken, in the order they happened.
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    /// What the kernel is to do for a breaker at `now`.
    pub fn directive(&self, cell: CellId, now: Monotonic) -> Option<Directive> {
        self.cells.get(&cell).map(|breaker| breaker.directive(now))
    }

    /// What a person is shown of a breaker at `now`.
    pub fn view(&self, cell: CellId, now: Monotonic) -> Option<View> {
        self.cells.get(&cell).map(|breaker| breaker.view(now))
    }

    /// Whether a breaker lets everything through, so that others may send their connects there.
    pub fn is_healthy(&self, cell: CellId) -> bool {
        self.cells.get(&cell).is_some_and(Breaker::is_healthy)
    }

    /// Lets `act` change a breaker, then collects its transition and deadline.
    fn change(
        &mut self,
        cell: CellId,
        act: impl FnOnce(&mut Breaker) -> Option<transition::Change>,
    ) -> bool {
        let Some(breaker) = self.cells.get_mut(&cell) else { return false };
        let before = breaker.deadline();
        let change = act(breaker);
        let after = breaker.deadline();
        if before != after {
            if let Some(deadline) = before {
                self.deadlines.remove(&(deadline, cell));
            }
            if let Some(deadline) = after {
                self.deadlines.insert((deadline, cell));
            }
        }
        self.transitions.extend(change.map(|change| change.of(cell)));
        true
    }
}

/// Spreads neighbouring cell numbers over the seed space.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
