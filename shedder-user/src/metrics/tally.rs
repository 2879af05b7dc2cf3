//! What only the daemon can count: by caller and service, over all endpoints there ever were.
//!
//! Invariant: everything here only grows, also when an endpoint is forgotten, so that no sum over
//! endpoints ever falls.

use std::time::Duration;

use shedder_common::counters::SlotCounters;

use super::Histogram;
use crate::engine::{Sample, State};

/// Of one caller and one service.
#[derive(Clone, Debug)]
pub struct Tally {
    /// SYN to connection.
    pub connect: Histogram,
    /// Request to first byte of the answer.
    pub response: Histogram,
    /// Round trips, where a rule asks for them.
    pub rtt: Histogram,
    /// Changes of state, by the new one.
    pub transitions: [u64; State::ALL.len()],
    /// From a trip until all is let through again.
    pub recovery: Histogram,
    /// What forgotten endpoints had counted that had series of their own.
    pub forgotten: SlotCounters,
    /// And those that had none.
    pub forgotten_other: SlotCounters,
}

/// Outcomes on the whole node by the state of their breaker: successes, failures, shed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls([[u64; 3]; State::ALL.len()]);

impl Tally {
    /// Of a caller and service of which nothing was seen.
    pub fn new() -> Self {
        Self {
            connect: Histogram::of_latencies(),
            response: Histogram::of_latencies(),
            rtt: Histogram::of_latencies(),
            transitions: [0; State::ALL.len()],
            recovery: Histogram::of_recoveries(),
            forgotten: SlotCounters::CLEAR,
            forgotten_other: SlotCounters::CLEAR,
        }
    }

    /// Counts the latencies of one look.
    pub fn see(&mut self, sample: &Sample) {
        self.connect.add_buckets(&sample.connect);
        self.response.add_buckets(&sample.response);
        self.rtt.add_buckets(&sample.rtt);
    }

    /// Counts a change of state.
    pub const fn change(&mut self, to: State) {
        self.transitions[to as usize] += 1;
    }

    /// Counts the time from a trip to health.
    pub fn recover(&mut self, after: Duration) {
        self.recovery.add(after.as_secs_f64(), 1);
    }

    /// Keeps what a forgotten endpoint had counted.
    pub fn forget(&mut self, counters: &SlotCounters, had_series: bool) {
        add(if had_series { &mut self.forgotten } else { &mut self.forgotten_other }, counters);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Calls {
    /// Counts what was seen while the breaker was in `state`.
    pub fn see(&mut self, state: State, sample: &Sample) {
        let counts = &sample.counts;
        let row = &mut self.0[state as usize];
        for (cell, more) in row.iter_mut().zip([counts.successes, counts.failures(), counts.shed]) {
            *cell += more;
        }
    }

    /// Outcome, state and how many.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, State, u64)> {
        State::ALL.into_iter().zip(self.0).flat_map(|(state, row)| {
            ["success", "failure", "shed"]
                .into_iter()
                .zip(row)
                .map(move |(outcome, count)| (outcome, state, count))
        })
    }
}

/// The sum of two rows, counter by counter.
pub(super) fn add(row: &mut SlotCounters, more: &SlotCounters) {
    let more: [u64; WORDS] = bytemuck::cast(*more);
    let words: &mut [u64; WORDS] = bytemuck::cast_mut(row);
    for (word, more) in words.iter_mut().zip(more) {
        *word = word.wrapping_add(more);
    }
}

const WORDS: usize = size_of::<SlotCounters>() / size_of::<u64>();
