//! The recording as it is read, shown to every policy at once.
//!
//! Invariant: a second is shown when it is known as a whole, and never twice.

use std::collections::BTreeMap;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::faults::{Fault, Faults};
use super::play::{Lane, Play, as_it_was};
use super::report::Report;
use super::terms::Terms;
use crate::engine::{Counts, Place, State};
use crate::picture::Point;
use crate::recording::{self, Ending, Frame, Name, Second};

/// A recording being played.
#[derive(Debug)]
pub struct Replay {
    pub(super) plays: Vec<Play>,
    pub(super) tape: Tape,
    /// The second that is being put together.
    second: u64,
    seen: BTreeMap<usize, Second>,
}

/// What the recording says, whatever policy is played.
#[derive(Debug, Default)]
pub(super) struct Tape {
    /// When the first daemon began, in milliseconds since 1970.
    pub(super) wall_ms: Option<u64>,
    pub(super) starts: u64,
    pub(super) seconds: u64,
    pub(super) lost: u64,
    pub(super) unknown_frames: u64,
    pub(super) counts: Counts,
    /// Policies in force, and whether any of them enforced.
    pub(super) policies: Vec<String>,
    pub(super) names: Vec<Name>,
    pub(super) faults: Vec<Fault>,
    /// What the daemon's own breakers did.
    pub(super) lanes: Vec<Lane>,
    pub(super) changes: Vec<(usize, recording::Change, Monotonic)>,
    pub(super) points: Vec<Point>,
    found: Faults,
    /// From the first start to the present one, in seconds.
    base: u64,
    /// For each cell of the present start the number of its breaker.
    numbers: Vec<usize>,
    breakers: BTreeMap<(String, String, String, Option<String>), usize>,
    callers: BTreeMap<String, u32>,
    services: BTreeMap<String, u32>,
    endpoints: BTreeMap<(String, Option<String>), u32>,
}

impl Replay {
    /// Begins to play under each of `terms`.
    pub fn new(terms: Vec<Terms>) -> Self {
        let plays = terms.into_iter().map(Play::new).collect();
        Self { plays, tape: Tape::default(), second: 0, seen: BTreeMap::new() }
    }

    /// Takes in a frame. `base` is what [`Reader::base`](recording::Reader::base) says after it was
    /// read.
    pub fn take(&mut self, frame: Frame, base: u64) {
        match frame {
            Frame::Start(start) => {
                self.end_second();
                self.tape.starts += 1;
                self.tape.base = base;
                self.tape.numbers.clear();
                self.tape.wall_ms.get_or_insert(start.wall_ms);
                self.second = base;
                let now = at(base);
                self.plays.iter_mut().for_each(|play| play.start(now));
                self.tape.close_all(now);
            }
            Frame::Cell(name) => {
                // Within a second that is being put together it is as if it had always been there.
                let (breaker, place) = self.tape.name(&name, at(self.second));
                for play in &mut self.plays {
                    play.insert(breaker, &name, place, at(self.second));
                }
            }
            Frame::Second { second, cells } => {
                let second = self.tape.base + second;
                if second != self.second {
                    self.end_second();
                    self.second = second;
                }
                for (cell, evidence) in cells {
                    let Some(breaker) = self.tape.breaker(cell) else { continue };
                    self.seen.insert(breaker, evidence);
                }
                self.tape.seconds = self.tape.seconds.max(second + 1);
            }
            Frame::Change(change) => self.tape.change(change),
            Frame::Gone(cell) => {
                self.end_second();
                let Some(breaker) = self.tape.breaker(cell) else { return };
                let now = at(self.second + 1);
                self.plays.iter_mut().for_each(|play| play.remove(breaker, now));
            }
            Frame::Lost(seconds) => self.tape.lost += seconds,
            Frame::End => {}
            Frame::Unknown(_) => self.tape.unknown_frames += 1,
        }
    }

    /// What came of it.
    pub fn finish(mut self, ending: Ending) -> Report {
        self.end_second();
        let end = at(self.tape.seconds);
        self.plays.iter_mut().for_each(|play| play.run_until(end));
        self.tape.faults = std::mem::take(&mut self.tape.found).into_vec();
        Report::of(self, ending)
    }

    fn end_second(&mut self) {
        let seen: Vec<(usize, Second)> = std::mem::take(&mut self.seen).into_iter().collect();
        if seen.is_empty() {
            return;
        }
        self.tape.see(self.second, &seen);
        for play in &mut self.plays {
            play.second(self.second, &seen, at(self.second));
        }
    }
}

impl Tape {
    fn see(&mut self, second: u64, seen: &[(usize, Second)]) {
        let index = usize::try_from(second).expect("a week has few seconds");
        if self.points.len() <= index {
            self.points.resize_with(index + 1, Point::default);
        }
        for (breaker, evidence) in seen {
            let counts = &evidence.sample.counts;
            self.counts += counts;
            let lane = &mut self.lanes[*breaker];
            lane.refused += counts.shed;
            lane.leaked += counts.failures();
            self.found.see(*breaker, second, &evidence.sample);
            self.points[index] = self.points[index].plus(&as_it_was(counts));
        }
    }

    /// The number of a cell that is named, and its place among the others.
    fn name(&mut self, name: &Name, now: Monotonic) -> (usize, Place) {
        let Name { caller, service, network, policy, observes, .. } = name;
        let endpoint = name.endpoint.to_string();
        let number = |known: usize| u32::try_from(known).expect("a recording has few names");
        let next = number(self.callers.len());
        let of_caller = *self.callers.entry(caller.clone()).or_insert(next);
        let next = number(self.services.len());
        let of_service = *self.services.entry(service.clone()).or_insert(next);
        let next = number(self.endpoints.len());
        let of_endpoint =
            *self.endpoints.entry((endpoint.clone(), network.clone())).or_insert(next);
        let place = Place { caller: of_caller, service: of_service, endpoint: of_endpoint };
        let mode = if *observes { "observing" } else { "enforcing" };
        let policy = format!("{policy} ({mode})");
        if !self.policies.contains(&policy) && self.policies.len() < MOST_POLICIES {
            self.policies.push(policy);
        }
        let key = (caller.clone(), service.clone(), endpoint, network.clone());
        let next = self.names.len();
        let breaker = *self.breakers.entry(key).or_insert(next);
        if breaker == next {
            self.names.push(name.clone());
            let states = vec![(now, State::Closed)];
            self.lanes.push(Lane { is_matched: true, states, ..Lane::new() });
        }
        self.numbers.push(breaker);
        (breaker, place)
    }

    fn breaker(&self, cell: u32) -> Option<usize> {
        self.numbers.get(usize::try_from(cell).ok()?).copied()
    }

    fn change(&mut self, change: recording::Change) {
        let Some(breaker) = self.breaker(change.cell) else { return };
        let now = at(self.base).plus(Duration::from_millis(change.at_ms));
        self.lanes[breaker].states.push((now, change.to));
        self.changes.push((breaker, change, now));
    }

    fn close_all(&mut self, now: Monotonic) {
        for lane in &mut self.lanes {
            if lane.states.last().is_some_and(|(_, state)| *state != State::Closed) {
                lane.states.push((now, State::Closed));
            }
        }
    }
}

/// So many seconds after the recording began.
fn at(seconds: u64) -> Monotonic {
    Monotonic::default().plus(Duration::from_secs(seconds))
}

/// More are not told of.
const MOST_POLICIES: usize = 8;
