//! When looks may be further apart: while all is well.
//!
//! Invariant: nothing is decided later for it that matters. The kernel wakes the loop for the first failure and the
//! first slow answer (`shedder_common::counters::NodeRow::is_calm`), a look that finds a call that waits is followed by
//! the next a tick later, and while calls are made a rest is no longer than the rules for them have patience.

use std::collections::BTreeSet;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::Daemon;
use crate::clock;
use crate::engine::{CellId, Engine, Sample, State};

/// Whether all is well, as far as the last looks tell.
#[derive(Debug)]
pub(super) struct Calm {
    /// Until when looks stay a tick apart.
    wary_until: Monotonic,
    /// Of the rules for what was called before this look.
    patience: Duration,
    /// Breakers to which something had happened before this look.
    seen: u32,
    /// Breakers that wait for something, or did when they were last touched.
    unsettled: BTreeSet<CellId>,
    rests: bool,
}

impl Default for Calm {
    fn default() -> Self {
        Self {
            wary_until: Monotonic::default(),
            patience: Duration::MAX,
            seen: 0,
            unsettled: BTreeSet::new(),
            rests: false,
        }
    }
}

impl Calm {
    /// Something was not as it is in health, or somebody watches.
    pub(super) fn disturb(&mut self, now: Monotonic) {
        self.wary_until = now.plus(WARY);
        self.rests = false;
    }

    /// A look begins.
    pub(super) const fn begin(&mut self) {
        self.patience = Duration::MAX;
        self.seen = 0;
    }

    /// A breaker in this state, whose rules have so much patience, was looked at, and this happened to it.
    pub(super) fn see(
        &mut self,
        state: Option<State>,
        patience: Duration,
        sample: &Sample,
        now: Monotonic,
    ) {
        if state.is_some_and(|state| !state.is_settled()) || is_trouble(sample) {
            self.disturb(now);
        }
        self.patience = self.patience.min(patience);
        self.seen = self.seen.saturating_add(1);
    }

    /// These breakers may have changed.
    pub(super) fn touch(&mut self, engine: &Engine, touched: &[CellId]) {
        self.unsettled.extend(touched.iter().filter(|id| waits(engine, **id)));
    }

    /// Whether every breaker waits for nothing.
    pub(super) fn is_settled(&mut self, engine: &Engine) -> bool {
        self.unsettled.retain(|id| waits(engine, *id));
        self.unsettled.is_empty()
    }

    /// Whether a look that finds nothing may be followed by a rest.
    pub(super) fn may_rest(&self, now: Monotonic) -> bool {
        self.wary_until <= now
    }

    /// A look has ended, and may be followed by a rest or not.
    pub(super) const fn end(&mut self, may_rest: bool) {
        self.rests = may_rest && self.seen <= MANY;
    }

    /// From one look to the next, which is a tick, or `most` at most.
    pub(super) fn between_looks(&self, tick: Duration, most: Duration) -> Duration {
        if self.rests { (tick * REST).min(most).min(self.patience).max(tick) } else { tick }
    }
}

impl Daemon {
    /// Looks, where the last look is longer ago than a tick: who asks is told what is.
    pub(super) fn catch_up(&mut self) {
        if clock::now() >= self.metrics.last_look().plus(self.config.node.tick) {
            self.look();
        }
    }

    /// From this look to the next.
    pub(super) fn between_looks(&self) -> Duration {
        let node = &self.config.node;
        // Verdicts are renewed with each look, and cgroups are searched for with one.
        let most = node.rescan.min(node.verdict_ttl / 3);
        self.calm.between_looks(node.tick, most)
    }
}

fn waits(engine: &Engine, id: CellId) -> bool {
    engine.state(id).is_some_and(|state| !state.is_settled())
}

fn is_trouble(sample: &Sample) -> bool {
    let counts = &sample.counts;
    counts.failures() != 0 || counts.shed != 0 || sample.failure_run != 0
}

/// How long looks stay a tick apart after something was not well.
const WARY: Duration = Duration::from_secs(1);
/// Breakers that make a look of two milliseconds. Who has as much to see looks more often, so that what the kernel tells
/// does not wait for long looks.
const MANY: u32 = 256;
/// Ticks between two looks while all is well.
const REST: u32 = 5;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::presets;
    use crate::engine::{Counts, Force, NodeRules, Place};

    const TICK: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn it_rests_where_nothing_is_found_for_a_while() {
        let mut calm = Calm::default();
        calm.end(true);
        assert_eq!(calm.between_looks(TICK, MOST), 5 * TICK);
        calm.end(false);
        assert_eq!(calm.between_looks(TICK, MOST), TICK);
        calm.end(true);
        assert_eq!(calm.between_looks(TICK, MOST), 5 * TICK);

        calm.disturb(at(800));
        assert_eq!(calm.between_looks(TICK, MOST), TICK);
        assert_eq!([at(1799), at(1800)].map(|now| calm.may_rest(now)), [false, true]);
    }

    #[test]
    fn a_rest_is_no_longer_than_it_may_be() {
        let mut calm = Calm::default();
        calm.end(true);
        assert_eq!(calm.between_looks(TICK, 3 * TICK), 3 * TICK);
        assert_eq!(calm.between_looks(TICK, TICK / 2), TICK);
    }

    #[test]
    fn a_rest_is_no_longer_than_the_rules_for_what_was_called_have_patience() {
        let mut calm = Calm::default();
        let called = Sample::default();
        let mut rest = |patience: &[Duration]| {
            calm.begin();
            for patience in patience {
                calm.see(Some(State::Closed), *patience, &called, at(100));
            }
            calm.end(true);
            calm.between_looks(TICK, MOST)
        };
        assert_eq!(rest(&[4 * TICK, 3 * TICK, Duration::MAX]), 3 * TICK);
        assert_eq!(rest(&[Duration::ZERO]), TICK);
        assert_eq!(rest(&[]), 5 * TICK);
        assert_eq!(rest(&[Duration::MAX; 256]), 5 * TICK);
        assert_eq!(rest(&[Duration::MAX; 257]), TICK, "looks would be long");
    }

    #[test]
    fn who_waits_for_something_is_remembered_until_it_has_come() {
        let (mut engine, mut calm) = (Engine::new(1, NodeRules::default()), Calm::default());
        let policy = Arc::new(presets()[0].policy());
        for cell in [7, 8] {
            let place = Place { caller: 0, service: 0, endpoint: cell };
            engine.insert(CellId(cell), place, Arc::clone(&policy), at(0));
        }
        let mut is_settled = |engine: &mut Engine| {
            let touched = engine.take_touched();
            calm.touch(engine, &touched);
            calm.is_settled(engine)
        };
        assert!(is_settled(&mut engine));
        for cell in [7, 8] {
            engine.force(CellId(cell), Force::Open, TICK, at(100));
        }
        assert!(!is_settled(&mut engine));
        // One of them is nobody's any more, the other waits on.
        engine.remove(CellId(7));
        assert!(!is_settled(&mut engine));
        engine.reset(CellId(8), at(200));
        assert!(is_settled(&mut engine));
    }

    #[test]
    fn trouble_keeps_it_awake() {
        let well = Sample {
            counts: Counts { connects: 9, successes: 9, ..Counts::default() },
            ..Sample::default()
        };
        let failed =
            Sample { counts: Counts { reset: 1, ..Counts::default() }, ..Sample::default() };
        for (state, sample, rests) in [
            (State::Closed, &well, true),
            (State::Observe, &well, true),
            (State::Closed, &failed, false),
            (State::Recovering, &well, false),
            (State::ForcedClosed, &well, false),
        ] {
            let mut calm = Calm::default();
            calm.see(Some(state), Duration::MAX, sample, at(100));
            assert_eq!(calm.may_rest(at(200)), rests, "{state:?} {sample:?}");
        }
    }
}
