//! Local ports: a caller has only so many towards one endpoint, and each connection it closes first
//! keeps one taken for a minute. Who comes near the end of them is told before connects fail.
//!
//! Invariant: the engine hears nothing of it, because a caller without ports says nothing about the
//! endpoint. How many ports there are is found out by a thread, for callers that take many.

mod alarm;
mod time_waits;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::Daemon;
use super::guard::Guard;
use super::journal::Journal;
use crate::kernel::connections::LocalPorts;
use crate::outpost;

use self::alarm::Alarm;
use self::time_waits::TimeWaits;

/// The ports there are.
#[derive(Debug, Default)]
pub(super) struct Ports {
    known: BTreeMap<Whose, Known>,
    search: Option<JoinHandle<Vec<Found>>>,
    /// What was last complained about.
    complaint: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    ports: Option<LocalPorts>,
    asked: Monotonic,
}

/// A caller, and the cookie of a network namespace where its endpoints are told apart by that.
type Whose = (usize, Option<u64>);

/// What there is for whom.
type Found = (Whose, io::Result<LocalPorts>);

/// The ports that one caller takes towards one endpoint, as of the last look.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) in_use: u64,
    /// By connections that were closed.
    pub(super) closed: u64,
    /// There are, as far as somebody asked.
    pub(super) available: Option<u64>,
    time_waits: TimeWaits,
    alarm: Alarm,
}

/// Counts the ports that are taken where the look went, asks how many there are where it may matter, and tells.
pub(super) fn advance(daemon: &mut Daemon, now: Monotonic) {
    let Daemon { config, cells, guard, ports, journal, attention, .. } = daemon;
    ports.take_found(journal);
    let mut wanted = BTreeSet::new();
    for id in attention.words().flat_map(|word| attention.cells(word)) {
        let Some(cell) = cells.by_id_mut(id) else { continue };
        let connections = cell.seen.established.saturating_sub(cell.seen.ended);
        cell.ports.count(connections + cell.ring.connecting(), now);
        let taken = cell.ports.all();
        if taken == 0 && !cell.ports.is_pressing() {
            continue;
        }
        let whose = (cell.caller, cell.network_cookie());
        let known = ports.known.get(&whose);
        if cell.ports.want_attention()
            && known.is_none_or(|known| now.since(known.asked) >= ASK_AGAIN)
        {
            wanted.insert(whose);
        }
        let Some(there) = known.and_then(|known| known.ports) else { continue };
        if cell.ports.compare(&there, there.come_back_soon(cell.endpoint.ip()), now) {
            journal.ports(config, cell);
        }
    }
    ports.search_for(wanted, guard, journal, now);
}

impl Taken {
    pub(super) const fn new() -> Self {
        Self {
            in_use: 0,
            closed: 0,
            available: None,
            time_waits: TimeWaits::new(),
            alarm: Alarm::new(),
        }
    }

    /// Notes connections that the caller closed first.
    pub(super) fn close(&mut self, count: u64, now: Monotonic) {
        self.time_waits.add(count, now);
    }

    pub(super) const fn all(&self) -> u64 {
        self.in_use + self.closed
    }

    /// Whether they are told, or soon may be.
    pub(super) const fn want_attention(&self) -> bool {
        self.is_pressing() || self.all() >= WORTH_ASKING
    }

    pub(super) const fn is_pressing(&self) -> bool {
        self.alarm.is_on()
    }

    fn count(&mut self, in_use: u64, now: Monotonic) {
        self.time_waits.pass(now);
        self.in_use = in_use;
        self.closed = self.time_waits.all();
    }

    /// Whether to tell.
    fn compare(&mut self, there: &LocalPorts, come_back_soon: bool, now: Monotonic) -> bool {
        self.available = Some(there.count);
        if come_back_soon {
            self.closed = self.time_waits.latest();
        }
        self.alarm.look(self.all(), there.count, now)
    }
}

impl Ports {
    fn take_found(&mut self, journal: &mut Journal) {
        let Some(search) = self.search.take_if(|search| search.is_finished()) else { return };
        let Ok(found) = search.join() else {
            return self.complain("the thread that looks for them has died", journal);
        };
        for (whose, ports) in found {
            match (ports, self.known.get_mut(&whose)) {
                (Ok(ports), Some(known)) => known.ports = Some(ports),
                (Ok(_), None) => {}
                (Err(error), _) => self.complain(&error.to_string(), journal),
            }
        }
    }

    fn search_for(
        &mut self,
        wanted: BTreeSet<Whose>,
        guard: &Guard,
        journal: &mut Journal,
        now: Monotonic,
    ) {
        if wanted.is_empty() || self.search.is_some() {
            return;
        }
        let mut orders = Vec::new();
        // Who has not asked again by then has enough.
        self.known.retain(|_, known| now.since(known.asked) < 2 * ASK_AGAIN);
        for whose in wanted {
            let ports = self.known.get(&whose).and_then(|known| known.ports);
            self.known.insert(whose, Known { ports, asked: now });
            orders.push((whose, guard.directories(whose.0, 100)));
        }
        match outpost::spawn("ports", || search(orders)) {
            Ok(search) => self.search = Some(search),
            Err(error) => self.complain(&format!("no thread can be started: {error}"), journal),
        }
    }

    /// Tells what goes wrong when it begins to, not each time.
    fn complain(&mut self, why: &str, journal: &mut Journal) {
        if self.complaint.as_deref() != Some(why) {
            journal.error(&format!("nobody is warned of local ports that run short: {why}"));
            self.complaint = Some(why.to_owned());
        }
    }
}

fn search(orders: Vec<(Whose, Vec<PathBuf>)>) -> Vec<Found> {
    let found =
        |(whose, cgroups): (Whose, Vec<PathBuf>)| (whose, LocalPorts::of(&cgroups, whose.1));
    orders.into_iter().map(found).collect()
}

/// Whoever takes fewer has enough, however narrow the range.
const WORTH_ASKING: u64 = 64;
/// A range may be widened, and processes come and go.
const ASK_AGAIN: Duration = Duration::from_mins(1);
