//! What happened, and what is left of it when the calls have ended.
//!
//! Invariant: each case is about one endpoint, and an endpoint has at most one case that is not over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use shedder_user::api::model::Status;

use super::faults::Fault;
use super::figures::{FaultFigures, Figures};
use super::in_flight::InFlight;
use super::stage::Stage;
use crate::clock::now;
use crate::daemon::Daemon;
use crate::vitals::{Vitals, map_entries};

/// Everything noted.
#[derive(Debug)]
pub(super) struct Record {
    began: Instant,
    pub(super) cases: Vec<Case>,
    pub(super) trips_while_well: Vec<String>,
    map_entries: BTreeMap<String, usize>,
    /// Once a second or so.
    pub(super) vitals: Vec<Vitals>,
}

/// One fault.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) fault: Fault,
    pub(super) address: SocketAddr,
    pub(super) began: Instant,
    pub(super) healed: Option<Instant>,
    pub(super) breakers_opened: u32,
    /// From the beginning until the first breaker opened.
    pub(super) opened_after: Option<Duration>,
    /// When the last breaker to do so closed.
    pub(super) last_closed: Option<Instant>,
    /// From the healing until the last breaker closed; then the case is over.
    pub(super) well_after: Option<Duration>,
    /// Of an endpoint that comes and goes: whether it is away, and until when.
    pub(super) is_away: bool,
    pub(super) toggles: Instant,
}

impl Case {
    pub(super) fn new(fault: Fault, address: SocketAddr, toggle: Duration) -> Self {
        Self {
            fault,
            address,
            began: now(),
            healed: None,
            breakers_opened: 0,
            opened_after: None,
            last_closed: None,
            well_after: None,
            is_away: true,
            toggles: now() + toggle,
        }
    }

    /// Whether it is time to heal it. A fault that must be noticed is given time for that, however
    /// slow the machine is.
    pub(super) fn is_due(&self) -> bool {
        let is_noticed = self.breakers_opened > 0 || !self.fault.illness.must_open();
        let elapsed = self.began.elapsed();
        elapsed >= self.fault.lasts && (is_noticed || elapsed >= NOTICE_LIMIT)
    }

    fn figures(&self) -> FaultFigures {
        FaultFigures {
            endpoint: self.address.to_string(),
            illness: self.fault.illness,
            lasted_ms: self.healed.map(|healed| milliseconds(healed.duration_since(self.began))),
            breakers_opened: self.breakers_opened,
            opened_after_ms: self.opened_after.map(milliseconds),
            closed_after_ms: self.well_after.map(milliseconds),
        }
    }
}

impl Record {
    /// `map_entries` are those before the first fault.
    pub(super) fn new(map_entries: BTreeMap<String, usize>) -> Self {
        Self {
            began: now(),
            cases: Vec::new(),
            trips_while_well: Vec::new(),
            map_entries,
            vitals: Vec::new(),
        }
    }

    /// The case of this endpoint that is not over.
    pub(super) fn case_of(&mut self, endpoint: usize) -> Option<&mut Case> {
        let mut open = self.cases.iter_mut().filter(|case| case.well_after.is_none());
        open.find(|case| case.fault.endpoint == endpoint)
    }

    /// How many are not over.
    pub(super) fn open_cases(&self) -> usize {
        self.cases.iter().filter(|case| case.well_after.is_none()).count()
    }

    pub(super) fn is_all_well(&self) -> bool {
        self.open_cases() == 0
    }

    /// Ends the calls, waits until the daemon has let go of what it needed for them, and adds it all up.
    pub(super) fn end(self, stage: Stage) -> Result<Figures> {
        let seconds = self.began.elapsed().as_secs_f64();
        let Stage { callers, events, daemon, backends, field: _ } = stage;
        // The daemon holds something for each cgroup, so they stay until it has been looked at.
        let (calls, cgroups) = callers.dismiss()?;
        let (early, late) = self.vitals.split_at(self.vitals.len() / 2);
        let fewest = early.iter().map(|vitals| vitals.descriptors).min();
        let fewest = fewest.context("the soak was too short")?;
        let (status, left) = settled(&daemon, fewest)?;
        let map_entries = map_entries(daemon.pid())?;
        let in_flight = InFlight::of(&status);
        let Status { node, .. } = serde_json::from_value(status)?;
        drop((events, daemon, backends, cgroups));
        let most = |half: &[Vitals]| {
            half.iter().map(|vitals| vitals.resident_kib).max().context("the soak was too short")
        };
        Ok(Figures {
            seconds,
            calls,
            faults: self.cases.iter().map(Case::figures).collect(),
            trips_while_well: self.trips_while_well,
            map_entries: [self.map_entries, map_entries],
            descriptors: [fewest, left],
            resident_kib: [most(early)?, most(late)?],
            in_flight,
            events_lost: node.events_lost,
            untagged: node.untagged,
            actions_failed: node.actions_failed,
        })
    }
}

/// The daemon's status and how many descriptors it has, once that are no more than `fewest` and nothing
/// is in flight, or it has had time enough for that.
fn settled(daemon: &Daemon, fewest: usize) -> Result<(Value, usize)> {
    let deadline = now() + SETTLE_LIMIT;
    loop {
        let status: Value = serde_json::from_str(&daemon.succeed(&["status", "--json"])?)?;
        let is_idle = InFlight::of(&status).is_none_or(InFlight::is_zero);
        let left = Vitals::of(daemon.pid())?.descriptors;
        if (is_idle && left <= fewest) || now() >= deadline {
            return Ok((status, left));
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Far longer than three calls of one caller to one endpoint take.
const NOTICE_LIMIT: Duration = Duration::from_secs(30);
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
