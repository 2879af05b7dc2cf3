//! What is written down while a scenario is played.

use std::time::Duration;

use shedder_common::time::Monotonic;

use super::scenario::Scenario;
use crate::engine::{Change, Notice, State, Transition};

/// What became of one try of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TryFate {
    Served,
    Failed,
    /// It never left the caller's machine.
    Local,
    Shed,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallFate {
    Served,
    /// Served, but too late to be of use.
    Slow,
    Failed,
    Shed,
    /// The caller had too many others going on.
    Busy,
}

/// Everything written down.
#[derive(Debug)]
pub(super) struct Record {
    /// For each flow one entry for each second.
    pub(super) seconds: Vec<Vec<Second>>,
    pub(super) cells: Vec<CellRecord>,
    pub(super) faults: Vec<FaultRecord>,
    pub(super) transitions: Vec<(usize, Change)>,
    pub(super) notices: Vec<(Monotonic, String)>,
    pub(super) restarts: Vec<Monotonic>,
    /// Tries under way, most at once.
    pub(super) most_in_flight: u64,
    pub(super) leaked: u64,
}

/// The calls of one flow that began within a second, by what became of them, and the connects made
/// in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Second {
    pub(super) served: u64,
    pub(super) slow: u64,
    pub(super) failed: u64,
    pub(super) shed: u64,
    pub(super) busy: u64,
    /// Connects and requests on kept connections.
    pub(super) tries: u64,
    pub(super) tries_shed: u64,
}

/// What one breaker did.
#[derive(Clone, Debug, Default)]
pub(super) struct CellRecord {
    pub(super) shed: u64,
    /// Shed, although the endpoint would have served.
    pub(super) falsely: u64,
    /// Its states and when they began.
    pub(super) states: Vec<(Monotonic, State)>,
}

/// What came of one fault.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultRecord {
    pub(super) first_shed: Option<Monotonic>,
    /// Let through and failed or slow, begun before the first shed connect.
    pub(super) leaked_before: u64,
    /// And after.
    pub(super) leaked_after: u64,
}

impl Record {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let seconds = usize::try_from(scenario.duration.as_secs()).unwrap_or(0) + 1;
        let closed = CellRecord {
            states: vec![(Monotonic::default(), State::Closed)],
            ..CellRecord::default()
        };
        Self {
            seconds: vec![vec![Second::default(); seconds]; scenario.flows.len()],
            cells: vec![closed; scenario.cells.len()],
            faults: vec![FaultRecord::default(); scenario.faults.len()],
            transitions: Vec::new(),
            notices: Vec::new(),
            restarts: Vec::new(),
            most_in_flight: 0,
            leaked: 0,
        }
    }

    /// A connect or a request on a kept connection.
    pub(super) fn tried(&mut self, flow: usize, now: Monotonic) {
        if let Some(second) = self.second(flow, now) {
            second.tries += 1;
        }
    }

    /// A connect was shed, although it would have been served if `falsely`.
    pub(super) fn shed(
        &mut self,
        scenario: &Scenario,
        flow: usize,
        cell: usize,
        falsely: bool,
        now: Monotonic,
    ) {
        if let Some(second) = self.second(flow, now) {
            second.tries_shed += 1;
        }
        self.cells[cell].shed += 1;
        self.cells[cell].falsely += u64::from(falsely);
        for (fault, record) in scenario.faults.iter().zip(&mut self.faults) {
            let is_during = fault.from <= now && now < fault.to;
            if record.first_shed.is_none() && is_during && scenario.affects(fault, cell) {
                record.first_shed = Some(now);
            }
        }
    }

    /// A try that was let through failed or was slow.
    pub(super) fn leaked(
        &mut self,
        scenario: &Scenario,
        cell: usize,
        begun: Monotonic,
        now: Monotonic,
    ) {
        let mut is_by_fault = false;
        for (fault, record) in scenario.faults.iter().zip(&mut self.faults) {
            if begun >= fault.to || now < fault.from || !scenario.affects(fault, cell) {
                continue;
            }
            is_by_fault = true;
            if record.first_shed.is_some_and(|first| begun >= first) {
                record.leaked_after += 1;
            } else {
                record.leaked_before += 1;
            }
        }
        self.leaked += u64::from(is_by_fault);
    }

    pub(super) fn call(&mut self, flow: usize, begun: Monotonic, fate: CallFate) {
        let Some(second) = self.second(flow, begun) else { return };
        match fate {
            CallFate::Served => second.served += 1,
            CallFate::Slow => second.slow += 1,
            CallFate::Failed => second.failed += 1,
            CallFate::Shed => second.shed += 1,
            CallFate::Busy => second.busy += 1,
        }
    }

    pub(super) fn transition(&mut self, transition: &Transition) {
        let cell = transition.cell.0 as usize;
        let change = &transition.change;
        self.cells[cell].states.push((change.at, change.to));
        self.transitions.push((cell, change.clone()));
    }

    pub(super) fn notice(&mut self, notice: &Notice, now: Monotonic) {
        self.notices.push((now, notice.to_string()));
    }

    /// The daemon has begun afresh.
    pub(super) fn restarted(&mut self, now: Monotonic) {
        self.restarts.push(now);
        for cell in &mut self.cells {
            if cell.states.last().is_some_and(|(_, state)| *state != State::Closed) {
                cell.states.push((now, State::Closed));
            }
        }
    }

    fn second(&mut self, flow: usize, at: Monotonic) -> Option<&mut Second> {
        let second = at.since(Monotonic::default()).as_secs();
        self.seconds[flow].get_mut(usize::try_from(second).ok()?)
    }
}

impl Second {
    pub(super) const fn calls(&self) -> u64 {
        self.served + self.slow + self.failed + self.shed + self.busy
    }

    pub(super) const fn add(&mut self, other: &Self) {
        self.served += other.served;
        self.slow += other.slow;
        self.failed += other.failed;
        self.shed += other.shed;
        self.busy += other.busy;
        self.tries += other.tries;
        self.tries_shed += other.tries_shed;
    }
}

/// What lies between two moments, in whole milliseconds.
pub(super) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
