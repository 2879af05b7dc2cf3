//! Leaves the daemon alone, loads it, and looks at it meanwhile and afterwards.
//!
//! Invariant: what is compared with the time before the load is looked at only when the daemon has had
//! the time to forget it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use shedder_user::api::model::{Breaker, InFlight};

use super::callers::{Callers, Shared, Tallies};
use super::churn::ENDPOINTS;
use super::figures::{Connects, Figures, Usage};
use super::stage::{SHED_ERRNO, Stage};
use super::table;
use crate::clock::{now, remaining};
use crate::interrupt;
use crate::vitals::{Vitals, map_entries, processor_time, some_grew};

/// Plays once.
pub(super) fn play(stage: Stage, idle: Duration, length: Duration) -> Result<Figures> {
    let shared = Arc::new(Shared::new(stage));
    let stage = &shared.stage;
    let pid = stage.daemon.pid();
    let idle = Watch::begin(pid)?.look_for(idle, |left, _| {
        table::progress("nobody calls", left, 0);
        Ok(())
    })?;

    let before = Holdings::of(stage)?;
    let known = stage.daemon.status()?.breakers;
    let mut callers = Callers::start(&shared)?;
    let mut endpoints_at_once = 0;
    let loaded = Watch::begin(pid)?.look_for(length, |left, looks| {
        callers.check()?;
        if looks % STATUS_EVERY == 0 {
            endpoints_at_once = endpoints_at_once.max(stage.daemon.status()?.node.endpoints);
        }
        table::progress("connecting", left, shared.connects());
        Ok(())
    })?;
    let tallies = callers.dismiss()?;
    let after = settled(stage, &before)?;
    let status = stage.daemon.status()?;
    let is_new = |it: &&Breaker| known.iter().all(|known| known.endpoint != it.endpoint);
    let left = status.breakers.iter().filter(is_new).map(told).collect();
    let node = status.node;
    Ok(Figures {
        idle: idle.usage()?,
        loaded: loaded.usage()?,
        connects: connects(&tallies),
        cgroups: shared.cgroups(),
        endpoints: shared.cgroups() * u64::from(ENDPOINTS),
        endpoints_at_once: endpoints_at_once.into(),
        resident_kib: loaded.halves()?,
        descriptors: [before.descriptors, after.descriptors],
        pins: [before.pins, after.pins],
        map_entries: [before.map_entries, after.map_entries],
        left,
        events_lost: node.events_lost,
        untagged: node.untagged,
        is_release: !cfg!(debug_assertions),
    })
}

/// A daemon looked at once a second for a while.
#[derive(Debug)]
struct Watch {
    pid: u32,
    began: std::time::Instant,
    busy_before: Duration,
    looks: Vec<Vitals>,
    lasted: Duration,
    busy: Duration,
}

impl Watch {
    fn begin(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            began: now(),
            busy_before: processor_time(pid)?,
            looks: Vec::new(),
            lasted: Duration::ZERO,
            busy: Duration::ZERO,
        })
    }

    /// Calls `each` between two looks with the time left and the number of looks.
    fn look_for(
        mut self,
        length: Duration,
        mut each: impl FnMut(Duration, usize) -> Result<()>,
    ) -> Result<Self> {
        let end = self.began + length;
        while let Some(left) = remaining(end) {
            thread::sleep(left.min(SECOND));
            interrupt::check()?;
            self.looks.push(Vitals::of(self.pid)?);
            each(left, self.looks.len())?;
        }
        self.lasted = self.began.elapsed();
        self.busy = processor_time(self.pid)?.saturating_sub(self.busy_before);
        Ok(self)
    }

    fn usage(&self) -> Result<Usage> {
        Ok(Usage {
            seconds: self.lasted.as_secs_f64(),
            busy_seconds: self.busy.as_secs_f64(),
            resident_kib: most(&self.looks)?,
        })
    }

    /// The most memory in each half.
    fn halves(&self) -> Result<[u64; 2]> {
        let (early, late) = self.looks.split_at(self.looks.len() / 2);
        Ok([most(early)?, most(late)?])
    }
}

fn most(looks: &[Vitals]) -> Result<u64> {
    looks.iter().map(|vitals| vitals.resident_kib).max().context("it was too short")
}

/// What must be the same before and after.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    pins: usize,
    map_entries: BTreeMap<String, usize>,
}

impl Holdings {
    fn of(stage: &Stage) -> Result<Self> {
        let pid = stage.daemon.pid();
        Ok(Self {
            descriptors: Vitals::of(pid)?.descriptors,
            pins: stage.pins.pinned()?.len(),
            map_entries: map_entries(pid)?,
        })
    }

    fn exceed(&self, earlier: &Self) -> bool {
        self.descriptors > earlier.descriptors
            || self.pins > earlier.pins
            || some_grew(&earlier.map_entries, &self.map_entries)
    }
}

/// What the daemon holds once that is no more than before, or it has had time enough for that.
fn settled(stage: &Stage, before: &Holdings) -> Result<Holdings> {
    let deadline = now() + SETTLE_LIMIT;
    loop {
        let after = Holdings::of(stage)?;
        if !after.exceed(before) || remaining(deadline).is_none() {
            return Ok(after);
        }
        interrupt::check()?;
        thread::sleep(SECOND);
    }
}

/// What keeps a breaker from being forgotten, if anything does.
fn told(breaker: &Breaker) -> String {
    let Breaker { caller, endpoint, state, level, in_flight, .. } = breaker;
    let InFlight { connecting, waiting, connections, .. } = in_flight;
    format!(
        "{caller} -> {endpoint}: {state}, level {level}, {connections} connections, {connecting} connecting, {waiting} waiting"
    )
}

fn connects(tallies: &Tallies) -> Connects {
    let Tallies { steady, passing } = tallies;
    let failed = |errno| steady.failed.get(&errno).copied().unwrap_or_default();
    let mut lost = passing.failed.clone();
    for (errno, count) in &steady.failed {
        if ![SHED_ERRNO, libc::ECONNREFUSED].contains(errno) {
            *lost.entry(*errno).or_default() += count;
        }
    }
    let made = steady.connected + passing.connected;
    let well = made + lost.values().sum::<u64>();
    Connects { made, shed: failed(SHED_ERRNO), refused: failed(libc::ECONNREFUSED), well, lost }
}

const SECOND: Duration = Duration::from_secs(1);
/// In looks.
const STATUS_EVERY: usize = 5;
/// Far longer than the policy keeps endpoints that nobody calls, and than the daemon takes to find connections of
/// whose end nobody told.
const SETTLE_LIMIT: Duration = Duration::from_mins(2);
