//! An engine full of breakers, some of them busy.
//!
//! Invariant: in each tick the engine is asked what the daemon asks: what happened to the busy
//! breakers, what is due, and what to publish for every one of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use shedder_common::histogram::bucket;
use shedder_common::time::Monotonic;
use shedder_user::engine::{Buckets, CellId, Counts, Engine, NodeRules, Place, Sample};

use super::policy::policy;
use crate::clock::thread_time;
use crate::statistics::percentile;

/// Breakers of a node.
#[derive(Debug)]
pub(super) struct Fleet {
    engine: Engine,
    size: u32,
    now: Monotonic,
    /// In tick numbers, for what differs from one tick to the next.
    ticks: u32,
    samples: [Sample; 2],
    /// What it takes to read the clock.
    reading_ns: u64,
}

/// How many of the breakers see traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Load {
    /// None.
    Idle,
    /// One in a hundred, spread out.
    OnePercent,
    /// Every one.
    All,
}

/// What one tick cost, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct TickCost {
    /// Evidence of the busy breakers taken in and judged.
    pub(super) observe: u64,
    /// Timers.
    pub(super) timers: u64,
    /// What to publish for every breaker.
    pub(super) directives: u64,
}

impl Fleet {
    /// Breakers that have seen nothing: a thousand endpoints, four to a service, and as many
    /// callers of each as it takes.
    pub(super) fn new(size: u32) -> Result<Self> {
        let policy = policy()?;
        let now = Monotonic::from_nanos(HOUR_NS);
        let mut engine = Engine::new(1, NodeRules::default());
        for index in 0..size {
            let endpoint = index % ENDPOINTS;
            let place = Place { caller: index / ENDPOINTS, service: endpoint / 4, endpoint };
            engine.insert(CellId(index), place, Arc::clone(&policy), now);
        }
        let samples = [sample(0), sample(1)];
        Ok(Self { engine, size, now, ticks: 0, samples, reading_ns: reading_ns() })
    }

    /// One tick of the daemon, `step` after the one before.
    pub(super) fn tick(&mut self, load: Load, step: Duration) -> TickCost {
        self.now = self.now.plus(step);
        self.ticks += 1;
        // Now and then one fails.
        let sample = &self.samples[usize::from(self.ticks.is_multiple_of(10))];
        let start = thread_time();
        if let Some(stride) = load.stride() {
            for index in (0..self.size).step_by(stride) {
                self.engine.observe(CellId(index), sample, self.now);
            }
        }
        let observed = thread_time();
        self.engine.handle_timeout(self.now);
        let timed = thread_time();
        for index in 0..self.size {
            std::hint::black_box(self.engine.directive(CellId(index), self.now));
        }
        let directed = thread_time();
        while self.engine.poll_transition().is_some() {}
        while self.engine.poll_notice().is_some() {}
        // Reading the clock is part of what lies between two readings of it.
        let between = |from: u64, to: u64| (to - from).saturating_sub(self.reading_ns);
        TickCost {
            observe: between(start, observed),
            timers: between(observed, timed),
            directives: between(timed, directed),
        }
    }

    /// Ticks until the windows hold as much as they ever will.
    pub(super) fn fill(&mut self, load: Load) {
        for _ in 0..SLICES {
            self.tick(load, SLICE);
        }
    }

    /// Time passes without traffic; timers fire when they are due.
    pub(super) fn rest(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.engine.handle_timeout(due);
        }
        self.now = end;
    }

    /// Bytes the engine counts for all its breakers.
    pub(super) fn bytes(&self) -> usize {
        (0..self.size).filter_map(|index| self.engine.bytes(CellId(index))).sum()
    }
}

impl Load {
    /// Breakers that see traffic in a fleet of `size`.
    pub(super) fn busy(self, size: u32) -> u64 {
        self.stride().map_or(0, |stride| u64::from(size).div_ceil(stride as u64))
    }

    /// As people read it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::OnePercent => "1 % busy",
            Self::All => "all busy",
        }
    }

    const fn stride(self) -> Option<usize> {
        match self {
            Self::Idle => None,
            Self::OnePercent => Some(100),
            Self::All => Some(1),
        }
    }
}

impl TickCost {
    /// All of it.
    pub(super) const fn total(&self) -> u64 {
        self.observe + self.timers + self.directives
    }
}

fn reading_ns() -> u64 {
    let readings = (0..101).map(|_| {
        let start = thread_time();
        thread_time() - start
    });
    let mut readings: Vec<u64> = readings.collect();
    readings.sort_unstable();
    percentile(&readings, 50).unwrap_or_default()
}

/// A tick's worth of one breaker: ten calls, of which `refused` were refused.
fn sample(refused: u64) -> Sample {
    let one = |microseconds, count| -> Buckets {
        u8::try_from(bucket(microseconds)).map(|bucket| (bucket, count)).into_iter().collect()
    };
    Sample {
        counts: Counts { connects: 10, successes: 10 - refused, refused, ..Counts::default() },
        connect: one(900, 10),
        response: [one(20_000, 6), one(25_000, 3)].concat(),
        ..Sample::default()
    }
}

/// A tick of the daemon.
pub(super) const TICK: Duration = Duration::from_millis(100);
const ENDPOINTS: u32 = 1024;
const HOUR_NS: u64 = 3_600_000_000_000;
/// A slice of a window of ten seconds, and how many there are.
const SLICE: Duration = Duration::from_millis(250);
const SLICES: u32 = 41;
