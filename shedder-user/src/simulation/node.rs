//! The daemon of the node: it looks, lets the engine decide, and publishes.
//!
//! Invariant: it does what `daemon.rs` does, in the same order, and nothing else.

use std::sync::Arc;

use shedder_common::time::Monotonic;
use shedder_common::verdict::{Verdict, epoch};

use super::kernel::Slot;
use super::record::Record;
use super::scenario::{Cell, Scenario, Trouble};
use crate::engine::{CellId, Engine, Policy};
use crate::verdict_row::{Candidate, Group, Siblings, Tenant, action, row};

/// The daemon.
#[derive(Debug)]
pub(super) struct Node<'a> {
    scenario: &'a Scenario,
    policy: Arc<Policy>,
    seed: u64,
    engine: Engine,
    published: Vec<Published>,
    generation: u32,
    next_tick: Monotonic,
    /// Stopped or dead.
    is_absent: bool,
    /// Killed since it last started.
    is_killed: bool,
}

/// What the kernel was last told of a cell.
#[derive(Clone, Copy, Debug, Default)]
struct Published {
    row: Option<Verdict>,
    failure_run: u64,
    tokens_before: u64,
}

impl<'a> Node<'a> {
    /// A daemon that has just started, and the slots it took.
    pub(super) fn new(scenario: &'a Scenario, policy: Arc<Policy>, seed: u64) -> (Self, Vec<Slot>) {
        let mut slots = Vec::new();
        let mut node = Self {
            scenario,
            policy,
            seed,
            engine: Engine::new(seed, scenario.node.rules.clone()),
            published: Vec::new(),
            generation: 0,
            next_tick: Monotonic::default(),
            is_absent: false,
            is_killed: false,
        };
        node.start(&mut slots, Monotonic::default());
        (node, slots)
    }

    /// When it next does something by itself.
    pub(super) fn next_at(&self) -> Monotonic {
        let due = if self.is_absent { None } else { self.engine.poll_timeout() };
        due.map_or(self.next_tick, |due| due.min(self.next_tick))
    }

    /// Does what is due: a tick, or a deadline of the engine.
    pub(super) fn act(&mut self, slots: &mut Vec<Slot>, record: &mut Record, now: Monotonic) {
        if self.next_tick <= now {
            self.next_tick = now.plus(self.scenario.node.tick);
        }
        let absent = self.absent_until(now);
        self.is_absent = absent.is_some();
        if let Some((until, is_killed)) = absent {
            self.is_killed |= is_killed;
            // A stopped daemon is woken by nothing before its end.
            self.next_tick = until;
            return;
        }
        if self.is_killed {
            self.start(slots, now);
            record.restarted(now);
        }
        for cell in 0..slots.len() {
            self.look_at(cell, slots, now);
        }
        self.settle(slots, record, now);
    }

    /// The kernel says that cells are urgent.
    pub(super) fn wake(
        &mut self,
        cells: &mut Vec<usize>,
        slots: &mut [Slot],
        record: &mut Record,
        now: Monotonic,
    ) {
        if self.is_absent || self.absent_until(now).is_some() {
            cells.clear();
            return;
        }
        for cell in cells.drain(..) {
            self.look_at(cell, slots, now);
        }
        self.settle(slots, record, now);
    }

    /// Begins with nothing known and every slot taken anew.
    fn start(&mut self, slots: &mut Vec<Slot>, now: Monotonic) {
        self.is_killed = false;
        self.generation += 1;
        let seed = self.seed.wrapping_add(self.generation.into());
        self.engine = Engine::new(seed, self.scenario.node.rules.clone());
        slots.clear();
        for cell in 0..self.scenario.cells.len() {
            let place = self.scenario.place(cell);
            self.engine.insert(id(cell), place, Arc::clone(&self.policy), now);
            slots.push(Slot::new(self.generation));
        }
        self.published = vec![Published::default(); self.scenario.cells.len()];
    }

    fn look_at(&mut self, cell: usize, slots: &mut [Slot], now: Monotonic) {
        let sample = slots[cell].take();
        self.published[cell].failure_run = sample.failure_run;
        if !sample.is_empty() {
            self.engine.observe(id(cell), &sample, now);
        }
    }

    fn settle(&mut self, slots: &mut [Slot], record: &mut Record, now: Monotonic) {
        self.engine.handle_timeout(now);
        self.publish(slots, now);
        while let Some(transition) = self.engine.poll_transition() {
            record.transition(&transition);
        }
        while let Some(notice) = self.engine.poll_notice() {
            record.notice(&notice, now);
        }
    }

    fn publish(&mut self, slots: &mut [Slot], now: Monotonic) {
        let verdict_until = now.plus(self.scenario.node.verdict_ttl);
        let policy = &*self.policy;
        let cells = self.scenario.cells.iter().enumerate();
        let siblings = Siblings::find(
            cells.map(|(index, cell)| Candidate {
                cell: id(index),
                group: group(cell),
                rank: (false, index as u64),
                policy,
            }),
            &self.engine,
        );
        for (index, (slot, published)) in slots.iter_mut().zip(&mut self.published).enumerate() {
            slot.verdict_until = verdict_until;
            let Some(directive) = self.engine.directive(id(index), now) else { continue };
            if directive.burst_limit.is_some_and(|limit| published.failure_run >= limit.into()) {
                slot.counted.failure_run = 0;
                published.failure_run = 0;
            }
            let sibling = siblings.of(id(index), group(&self.scenario.cells[index]));
            let action = action(directive.shed, sibling);
            let is_new_epoch = published.row.is_none_or(|row| epoch(row.word) != directive.epoch);
            if is_new_epoch {
                published.tokens_before = slot.tokens_taken;
            }
            let tokens_before = published.tokens_before;
            let token_limit =
                directive.tokens.map_or(0, |tokens| tokens_before.saturating_add(tokens.into()));
            let tenant = Tenant {
                policy,
                protocol: 0,
                generation: self.generation,
                jiffies_per_second: Some(JIFFIES_PER_SECOND),
                udp: false,
            };
            let row = row(&tenant, &directive, action, token_limit);
            if published.row == Some(row) {
                continue;
            }
            if is_new_epoch {
                slot.counted.failure_run = 0;
            }
            slot.verdict = row;
            published.row = Some(row);
        }
    }

    /// Until when it is stopped or dead, and whether it is dead.
    fn absent_until(&self, now: Monotonic) -> Option<(Monotonic, bool)> {
        self.scenario.faults.iter().find_map(|fault| {
            let until = fault.active_until(now).filter(|_| fault.trouble.is_daemons())?;
            Some((until, fault.trouble == Trouble::DaemonKilled))
        })
    }
}

fn id(cell: usize) -> CellId {
    CellId(u32::try_from(cell).expect("a file has no four billion names"))
}

const fn group(cell: &Cell) -> Group {
    (cell.caller, cell.service, true, 0)
}

const JIFFIES_PER_SECOND: u32 = 250;
