//! Plays the script on the stage, shows what happens meanwhile, and notes when it happened.
//!
//! Invariant: a backend is healed before the next act begins, so no attempt is blamed on an act
//! whose illness it did not meet.

use std::time::{Duration, Instant};

use anyhow::Result;
use shedder_user::api::model::{Breaker, Event, EventKind};

use super::live::{BackendRow, Frame};
use super::screen::Screen;
use super::script::{ACTS, Act, LETTERS};
use super::stage::Stage;
use crate::backend::Behaviour;
use crate::clock::{now, remaining};
use crate::interrupt;

/// Plays once.
#[derive(Debug)]
pub(super) struct Director<'a> {
    stage: &'a Stage,
    screen: &'a mut Screen,
    act_length: Duration,
    addresses: Vec<String>,
    /// For each backend, whether the last event told of it left its breaker closed.
    told_closed: Vec<bool>,
    timeline: Vec<ActTimes>,
}

/// When an act and what followed from it happened.
#[derive(Clone, Debug)]
pub(super) struct ActTimes {
    /// The backend turned sick, where one did.
    pub(super) began: Instant,
    /// The backend was healed.
    pub(super) ended: Instant,
    /// The breaker of the healed backend closed.
    pub(super) closed: Option<Instant>,
}

impl<'a> Director<'a> {
    pub(super) fn new(
        stage: &'a Stage,
        screen: &'a mut Screen,
        act_length: Duration,
    ) -> Result<Self> {
        let addresses: Vec<String> =
            stage.backends.iter().map(|backend| backend.addr().to_string()).collect();
        for (letter, address) in LETTERS.iter().zip(&addresses) {
            screen.say(&format!("  backend {letter} is at {address}"))?;
        }
        let told_closed = vec![true; addresses.len()];
        Ok(Self { stage, screen, act_length, addresses, told_closed, timeline: Vec::new() })
    }

    /// Plays all acts. Fails when interrupted, and when something on the stage does.
    pub(super) fn play(mut self) -> Result<Vec<ActTimes>> {
        for (number, act) in ACTS.iter().enumerate() {
            self.begin(number, act)?;
            let is_last = number + 1 == ACTS.len();
            self.wait_for_end(number, act, is_last)?;
            self.end(act)?;
        }
        self.screen.clear_panel()?;
        Ok(self.timeline)
    }

    fn begin(&mut self, number: usize, act: &Act) -> Result<()> {
        self.screen
            .heading(&format!("{} of {}: {}", number + 1, ACTS.len(), act.title), act.why)?;
        self.stage.guarded.begin_act(number);
        self.stage.unguarded.begin_act(number);
        let began = now();
        if let Some(illness) = act.sick {
            self.set(illness.backend, illness.behaviour)?;
        }
        self.timeline.push(ActTimes { began, ended: began, closed: None });
        Ok(())
    }

    fn end(&mut self, act: &Act) -> Result<()> {
        if let Some(illness) = act.sick {
            self.set(illness.backend, Behaviour::Healthy)?;
        }
        if let Some(times) = self.timeline.last_mut() {
            times.ended = now();
        }
        Ok(())
    }

    /// The last act ends when all breakers are closed and their closing was told too, if that
    /// happens within [`OVERTIME`].
    fn wait_for_end(&mut self, number: usize, act: &Act, is_last: bool) -> Result<()> {
        let due = now() + self.act_length;
        loop {
            self.narrate_until(now() + FRAME)?;
            self.stage.check()?;
            let breakers = self.stage.daemon.status()?.breakers;
            let all_closed = self.told_closed.iter().all(|closed| *closed)
                && breakers.iter().all(|breaker| breaker.state == "closed");
            let is_waiting = is_last && !all_closed && now() < due + OVERTIME;
            let frame = self.frame(number, act, &breakers, due);
            self.screen.show(&frame)?;
            if now() >= due && !is_waiting {
                return Ok(());
            }
        }
    }

    /// Repeats the daemon's words as they come.
    fn narrate_until(&mut self, end: Instant) -> Result<()> {
        while let Some(left) = remaining(end) {
            interrupt::check()?;
            if let Some(event) = self.stage.events.next_within(left.min(GLIMPSE))? {
                self.narrate(&event)?;
            }
        }
        Ok(())
    }

    fn narrate(&mut self, event: &Event) -> Result<()> {
        let EventKind::Transition { endpoint, from, to, reason, .. } = &event.kind else {
            return Ok(());
        };
        let Some(backend) = self.addresses.iter().position(|address| address == endpoint) else {
            return Ok(());
        };
        let is_closed = to == "closed";
        if let Some(told) = self.told_closed.get_mut(backend) {
            *told = is_closed;
        }
        if is_closed {
            self.note_closed(backend);
        }
        let letter = LETTERS.get(backend).unwrap_or(&'?');
        let change = format!("  shedder: {letter} {from} -> {to},");
        self.screen.narrate(&change, &format!("because {}", reason.text))
    }

    fn note_closed(&mut self, backend: usize) {
        // The act that is playing has not ended, so only healed backends are found.
        let over = self.timeline.len().saturating_sub(1);
        for (act, times) in ACTS.iter().zip(&mut self.timeline).take(over) {
            if act.sick.is_some_and(|illness| illness.backend == backend) {
                times.closed.get_or_insert_with(now);
            }
        }
    }

    fn frame(&self, number: usize, act: &Act, breakers: &[Breaker], due: Instant) -> Frame {
        let rows =
            self.addresses.iter().zip(LETTERS).enumerate().map(|(index, (address, letter))| {
                let illness = act.sick.filter(|illness| illness.backend == index);
                let breaker = breakers.iter().find(|breaker| breaker.endpoint == *address);
                BackendRow::new(letter, address, illness.map(|illness| illness.label), breaker)
            });
        Frame {
            title: act.title,
            left: remaining(due).unwrap_or_default(),
            guarded: self.stage.guarded.glance(number),
            unguarded: self.stage.unguarded.glance(number),
            backends: rows.collect(),
        }
    }

    fn set(&self, backend: usize, behaviour: Behaviour) -> Result<()> {
        self.stage.backends.get(backend).map_or(Ok(()), |backend| backend.set(behaviour))
    }
}

/// Between two looks at the daemon's status.
const FRAME: Duration = Duration::from_millis(300);
/// Between two looks for a signal.
const GLIMPSE: Duration = Duration::from_millis(50);
/// Longer than the longest open time and the ramp together.
const OVERTIME: Duration = Duration::from_secs(10);
