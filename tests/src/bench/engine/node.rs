//! Our engine on a trace: the kernel's decisions and counts, and the daemon's loop around them.
//!
//! Invariant: the engine is told what the kernel would have counted and when it would have been told:
//! at every tick, and at once when a run of failures reaches its limit.

use std::time::Duration;

use anyhow::Result;
use shedder_common::decision::{Ask, Decision, decide};
use shedder_common::histogram::bucket;
use shedder_common::time::{Monotonic, nanos};
use shedder_common::verdict::{Action, Verdict, VerdictWord};
use shedder_user::engine::{
    Buckets, CellId, Counts, Directive, Engine, NodeRules, Place, Sample, ShedAction,
};

use super::fleet::TICK;
use super::policy::{CALLER_TIMEOUT, SLOW, policy};
use super::replay::{Ended, Subject};

/// A node with one caller and one endpoint.
#[derive(Debug)]
pub(super) struct Node {
    engine: Engine,
    directive: Directive,
    verdict: Verdict,
    /// What the kernel has counted since the last look.
    sample: Sample,
    tokens_taken: u64,
    turns: u64,
    next_tick: Monotonic,
}

/// What the kernel remembers of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    epoch: u16,
    is_probe: bool,
}

impl Node {
    pub(super) fn new() -> Result<Self> {
        let mut engine = Engine::new(1, NodeRules::default());
        let now = Monotonic::from_nanos(0);
        engine.insert(CELL, Place { caller: 0, service: 0, endpoint: 0 }, policy()?, now);
        let directive = engine.directive(CELL, now);
        let directive = directive.ok_or_else(|| anyhow::anyhow!("the engine lost its breaker"))?;
        Ok(Self {
            engine,
            directive,
            verdict: Verdict::CLEAR,
            sample: Sample::default(),
            tokens_taken: 0,
            turns: 0,
            next_tick: now.plus(TICK),
        })
    }

    /// As the daemon's: what happened, what is due, what to publish.
    fn look(&mut self, now: Monotonic) {
        let run = self.sample.failure_run;
        if !self.sample.is_empty() {
            let sample = std::mem::take(&mut self.sample);
            self.engine.observe(CELL, &sample, now);
        }
        self.sample.failure_run = run;
        self.engine.handle_timeout(now);
        while self.engine.poll_transition().is_some() {}
        while self.engine.poll_notice().is_some() {}
        if let Some(directive) = self.engine.directive(CELL, now) {
            self.publish(directive);
        }
    }

    fn publish(&mut self, directive: Directive) {
        if directive.epoch != self.directive.epoch {
            self.sample.failure_run = 0;
            self.tokens_taken = 0;
        }
        // The engine has seen the burst and lets the endpoint be.
        if directive.burst_limit.is_some_and(|limit| self.sample.failure_run >= limit.into()) {
            self.sample.failure_run = 0;
        }
        let action = directive.shed.map_or(Action::Allow, |shed| match shed {
            ShedAction::Deny(errno) | ShedAction::Redirect(errno) => Action::Deny(errno),
            ShedAction::Delay(milliseconds) => Action::Delay(milliseconds),
        });
        let word = VerdictWord {
            action,
            enforce_percent: directive.enforce_percent,
            half_open: directive.tokens.is_some(),
            on_burst: directive.burst_limit.is_some(),
            admit_permille: directive.admit_permille,
            epoch: directive.epoch,
        };
        self.verdict = Verdict {
            word: word.pack(),
            token_limit: directive.tokens.unwrap_or(0).into(),
            burst_limit: directive.burst_limit.unwrap_or(0),
            ..Verdict::CLEAR
        };
        self.directive = directive;
    }
}

impl Ask for Node {
    fn failure_run(&mut self) -> u64 {
        self.sample.failure_run
    }

    // The loop is never late here.
    fn is_in_force(&mut self) -> bool {
        true
    }

    fn take_token(&mut self, limit: u64) -> bool {
        let is_left = self.tokens_taken < limit;
        self.tokens_taken += u64::from(is_left);
        is_left
    }

    fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns - 1
    }
}

impl Subject for Node {
    type Ticket = Tag;

    fn ask(&mut self, _at_ns: u64) -> Option<Tag> {
        let verdict = self.verdict;
        let decision = decide(verdict.word, &verdict, 0, self);
        let sample = &mut self.sample;
        sample.counts.connects += 1;
        let is_probe = decision == Decision::Probe;
        sample.probes += u64::from(is_probe);
        if let Decision::Shed(_) = decision {
            sample.counts.shed += 1;
            return None;
        }
        Some(Tag { epoch: self.directive.epoch, is_probe })
    }

    fn tell(&mut self, tag: Tag, ended: &Ended) {
        if tag.epoch != self.directive.epoch {
            return;
        }
        let sample = &mut self.sample;
        let latency = Duration::from_nanos(ended.latency_ns);
        let is_given_up = !ended.is_ok && latency >= CALLER_TIMEOUT;
        if ended.is_ok || is_given_up {
            add(&mut sample.response, latency);
        }
        let Counts { successes, refused, timed_out, .. } = &mut sample.counts;
        *(if ended.is_ok {
            successes
        } else if is_given_up {
            timed_out
        } else {
            refused
        }) += 1;
        if tag.is_probe && ended.is_ok && latency <= SLOW {
            sample.probe_successes += 1;
        } else if tag.is_probe {
            sample.probe_failures += 1;
        }
        sample.failure_run = if ended.is_ok { 0 } else { sample.failure_run + 1 };
        if sample.failure_run == u64::from(self.directive.failure_run_limit) {
            sample.failure_bursts += 1;
            self.look(Monotonic::from_nanos(ended.at_ns));
        }
    }

    fn is_shedding(&mut self, _at_ns: u64) -> bool {
        self.directive.sheds()
    }

    fn due_ns(&self) -> Option<u64> {
        let due = self.engine.poll_timeout().map_or(self.next_tick, |due| due.min(self.next_tick));
        Some(due.as_nanos())
    }

    fn wake(&mut self, at_ns: u64) {
        let now = Monotonic::from_nanos(at_ns);
        self.look(now);
        if self.next_tick <= now {
            self.next_tick = self.next_tick.plus(TICK);
        }
    }
}

fn add(buckets: &mut Buckets, latency: Duration) {
    let Ok(bucket) = u8::try_from(bucket(nanos(latency) / 1000)) else { return };
    match buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
        Ok(at) => buckets[at].1 += 1,
        Err(at) => buckets.insert(at, (bucket, 1)),
    }
}

const CELL: CellId = CellId(0);
