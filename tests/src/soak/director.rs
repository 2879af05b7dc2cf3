//! Makes endpoints ill and well again, and notes what shedder makes of it.
//!
//! Invariant: an endpoint counts as well again only when it has been healed for longer than anything of
//! its illness can still arrive, and all its breakers are closed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use shedder_user::api::model::{Event, EventKind, Status};

use super::callers::PATIENCE;
use super::faults::{Fault, Faults};
use super::record::{Case, Record};
use super::stage::Stage;
use super::table;
use crate::backend::Behaviour;
use crate::clock::{now, remaining};
use crate::interrupt;
use crate::vitals::{Vitals, map_entries};

/// Plays once.
#[derive(Debug)]
pub(super) struct Director<'a> {
    stage: &'a mut Stage,
    faults: Faults,
    length: Duration,
    record: Record,
}

impl<'a> Director<'a> {
    /// Waits until every breaker has seen a call.
    pub(super) fn prepare(stage: &'a mut Stage, seed: u64, length: Duration) -> Result<Self> {
        let deadline = now() + WARM_UP_LIMIT;
        loop {
            interrupt::check()?;
            stage.callers.check()?;
            let status = stage.daemon.status()?;
            if status.breakers.iter().all(|breaker| breaker.allowed_total > 0) {
                break;
            }
            ensure!(now() < deadline, "the callers do not reach every endpoint");
        }
        let record = Record::new(map_entries(stage.daemon.pid())?);
        let faults = Faults::new(seed, stage.field.len(), length);
        Ok(Self { stage, faults, length, record })
    }

    /// Lets endpoints fall ill for the length of the soak, then waits until all are well again or that
    /// takes too long.
    pub(super) fn play(mut self) -> Result<Record> {
        let end = now() + self.length;
        let (mut next_fault, mut next_look) = (now(), now());
        let mut given_up = None;
        loop {
            self.take_note(now() + STEP)?;
            self.stage.callers.check()?;
            self.heal_and_toggle()?;
            if now() < end && now() >= next_fault {
                self.fall_ill()?;
                next_fault = now() + self.faults.gap();
            }
            if now() >= next_look {
                self.look(remaining(end))?;
                next_look = now() + LOOK;
            }
            let is_healed = self.record.cases.iter().all(|case| case.healed.is_some());
            if now() >= end && is_healed {
                let limit = *given_up.get_or_insert_with(|| now() + CLOSE_LIMIT);
                if self.record.is_all_well() || now() >= limit {
                    return Ok(self.record);
                }
            }
        }
    }

    /// Notes transitions until `end`.
    fn take_note(&mut self, end: Instant) -> Result<()> {
        while let Some(left) = remaining(end) {
            interrupt::check()?;
            if let Some(event) = self.stage.events.next_within(left)? {
                self.note(&event);
            }
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        let EventKind::Transition { endpoint, from, to, .. } = &event.kind else { return };
        let Some(endpoint) = self.stage.field.find(endpoint) else { return };
        let case = self.record.case_of(endpoint);
        match (from.as_str(), to.as_str(), case) {
            (_, "closed", Some(case)) => case.last_closed = Some(now()),
            ("closed", _, Some(case)) => {
                case.breakers_opened += 1;
                case.opened_after.get_or_insert_with(|| case.began.elapsed());
            }
            ("closed", _, None) => self.record.trips_while_well.push(event.text.clone()),
            _ => {}
        }
    }

    fn fall_ill(&mut self) -> Result<()> {
        if self.record.open_cases() >= MOST_UNWELL {
            return Ok(());
        }
        let field = &self.stage.field;
        let Some(fault) = self.faults.next(|endpoint| field.is_well(endpoint)) else {
            return Ok(());
        };
        field.fall_ill(fault.endpoint);
        self.set(fault, true)?;
        self.record.cases.push(Case::new(fault, field.address(fault.endpoint), TOGGLE));
        Ok(())
    }

    fn heal_and_toggle(&mut self) -> Result<()> {
        for position in 0..self.record.cases.len() {
            let case = &mut self.record.cases[position];
            if case.healed.is_some() {
                continue;
            }
            let fault = case.fault;
            if case.is_due() {
                self.set(fault, false)?;
                self.record.cases[position].healed = Some(now());
            } else if !fault.illness.must_open() && now() >= case.toggles {
                case.toggles += TOGGLE;
                case.is_away = !case.is_away;
                let is_away = case.is_away;
                self.set(fault, is_away)?;
            }
        }
        Ok(())
    }

    /// Asks the daemon for its breakers, and the kernel what the daemon holds.
    fn look(&mut self, left: Option<Duration>) -> Result<()> {
        let status = self.stage.daemon.status()?;
        self.discharge(&status);
        self.record.vitals.push(Vitals::of(self.stage.daemon.pid())?);
        let open = status.breakers.iter().filter(|breaker| breaker.state != "closed").count();
        table::progress(left, self.record.open_cases(), open, self.stage.callers.calls());
        Ok(())
    }

    /// Lets endpoints be well again that are.
    fn discharge(&mut self, status: &Status) {
        let is_closed = |case: &Case| {
            let address = case.address.to_string();
            let mut own = status.breakers.iter().filter(|breaker| breaker.endpoint == address);
            own.all(|breaker| breaker.state == "closed")
        };
        for case in self.record.cases.iter_mut().filter(|case| case.well_after.is_none()) {
            let Some(healed) = case.healed else { continue };
            if healed.elapsed() > GRACE && is_closed(case) {
                let closed = case.last_closed.unwrap_or(healed).max(healed);
                case.well_after = Some(closed.duration_since(healed));
                self.stage.field.get_well(case.fault.endpoint);
            }
        }
    }

    fn set(&self, fault: Fault, is_ill: bool) -> Result<()> {
        let behaviour = if is_ill { fault.illness.behaviour() } else { Behaviour::Healthy };
        let backend =
            self.stage.backends.get(fault.endpoint).context("there is no such backend")?;
        backend.set(behaviour)
    }
}

/// How long nothing is decided.
const STEP: Duration = Duration::from_millis(100);
/// Between two looks at the daemon.
const LOOK: Duration = Duration::from_secs(1);
/// Of endpoints that come and go.
const TOGGLE: Duration = Duration::from_millis(400);
/// What began before the healing has ended by then, and the daemon has seen it.
const GRACE: Duration = PATIENCE.saturating_mul(2);
/// A quarter of the endpoints, so that half of them, above which shedder would open no more, is far.
const MOST_UNWELL: usize = 12;
const WARM_UP_LIMIT: Duration = Duration::from_mins(1);
/// A breaker that flaps stays open for half a minute, and its traffic takes a minute to return.
const CLOSE_LIMIT: Duration = Duration::from_mins(3);
