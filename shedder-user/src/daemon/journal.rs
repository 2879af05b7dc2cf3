//! What happened: kept for those who ask and for later, sent to those who follow, logged for the rest.
//!
//! Invariant: each event has the next number, and whoever follows or reads gets them in that order.

mod audit;
mod breakers;
mod disk;
#[cfg(test)]
mod disk_tests;
mod files;
#[cfg(any(test, fuzzing))]
mod fuzzing;
#[cfg(test)]
mod model;
mod past;
mod threads;

use std::collections::VecDeque;

use humantime::format_rfc3339_millis;
use tokio::sync::broadcast;
use tracing::{info, warn};

use super::guard::Change;
use super::panics::Panic;
use crate::api::Follow;
use crate::api::model::{Event, EventKind};
use crate::clock;
use crate::config::{Config, JournalLimits, Node};
use crate::metrics::JournalCounts;
use crate::printable::printable;

pub(super) use self::audit::by;
use self::disk::{Disk, Report};
#[cfg(any(test, fuzzing))]
pub(crate) use self::fuzzing::run as fuzz;

#[derive(Debug)]
pub(super) struct Journal {
    past: VecDeque<Event>,
    future: broadcast::Sender<Event>,
    next: u64,
    /// Nothing where the policy names no `state_dir`.
    disk: Option<Disk>,
    /// What `disk` is about, for people.
    place: String,
    /// Why nothing is written now.
    trouble: Option<String>,
}

impl Journal {
    /// Goes on where the journal in `state_dir` ends. `group` may read what is written.
    pub(super) fn open(node: &Node, group: Option<u32>) -> Self {
        let (future, _) = broadcast::channel(KEPT);
        let directory = node.state_dir.as_deref();
        let past = directory.map(|directory| past::read(directory, KEPT)).unwrap_or_default();
        let mut journal = Self {
            past: past.events.into(),
            future,
            next: past.sequence + 1,
            disk: None,
            place: directory.map_or_else(String::new, |it| it.display().to_string()),
            trouble: None,
        };
        match directory.map(|directory| Disk::start(directory, group, node.journal)) {
            Some(Ok(disk)) => journal.disk = Some(disk),
            Some(Err(error)) => journal.trouble_begins(&error.to_string()),
            None => {}
        }
        journal
    }

    /// Tells what the disk has told.
    pub(super) fn look(&mut self) {
        while let Some(report) = self.disk.as_ref().and_then(Disk::report) {
            match report {
                Report::Failing(why) => self.trouble_begins(&why),
                Report::Recovered => self.trouble_ends(),
            }
        }
    }

    /// Why events are not written now.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn counts(&self) -> JournalCounts {
        self.disk.as_ref().map(Disk::counts).unwrap_or_default()
    }

    pub(super) fn limit(&self, limits: JournalLimits) {
        if let Some(disk) = &self.disk {
            disk.limit(limits);
        }
    }

    pub(super) fn follow(&self) -> Follow {
        Follow { past: self.past.iter().cloned().collect(), future: self.future.subscribe() }
    }

    pub(super) fn started(&mut self) {
        self.push(EventKind::Started, format!("shedder {} started", env!("CARGO_PKG_VERSION")));
    }

    /// The daemon does not start after all; whoever started it is told by other ways.
    pub(super) fn refused(&mut self, why: &str) {
        self.push(EventKind::Error, format!("not started: {why}"));
    }

    /// Goes on with the breakers of an earlier daemon.
    pub(super) fn takes_over(&mut self, breakers: usize, not_closed: usize) {
        let text = format!(
            "going on where an earlier shedder was: {breakers} breakers, {not_closed} of them not closed"
        );
        info!("{text}");
        self.push(EventKind::TookOver { breakers, not_closed }, text);
    }

    /// The daemon before this one.
    pub(super) fn panicked(&mut self, panic: &Panic, trace: Option<&str>) {
        let Panic { message, place, .. } = panic;
        let at = format_rfc3339_millis(panic.at());
        let text = format!(
            "the daemon panicked at {at} ({place}: {message}), and until now everything was let through"
        );
        warn!(trace.id = trace, "{text}");
        self.push(EventKind::Error, text);
    }

    pub(super) fn stopping(&mut self) {
        self.push(EventKind::Stopping, "stopping".to_owned());
    }

    pub(super) fn error(&mut self, text: &str) {
        warn!("{text}");
        self.push(EventKind::Error, text.to_owned());
    }

    pub(super) fn guard(&mut self, config: &Config, change: &Change) {
        let name = |caller: usize| config.callers[caller].name.clone();
        match change {
            Change::Attached { path, caller } => {
                info!(cgroup = path, caller = name(*caller), "attached");
                let text = format!("guarding {} as {}", printable(path), name(*caller));
                self.push(
                    EventKind::Attached { cgroup: path.clone(), caller: name(*caller) },
                    text,
                );
            }
            Change::Detached { path, caller } => {
                info!(cgroup = path, caller = name(*caller), "detached");
                let text = format!("{} is gone and no longer guarded", printable(path));
                self.push(
                    EventKind::Detached { cgroup: path.clone(), caller: name(*caller) },
                    text,
                );
            }
            Change::Dropped { path, caller } => {
                info!(cgroup = path, caller = name(*caller), "dropped");
                let text = format!("{} is no longer guarded as {}", printable(path), name(*caller));
                self.push(
                    EventKind::Detached { cgroup: path.clone(), caller: name(*caller) },
                    text,
                );
            }
            Change::Refused { path, why } => {
                self.error(&printable(&format!("{path} is not guarded: {why}")));
            }
        }
    }

    fn trouble_begins(&mut self, why: &str) {
        self.trouble = Some(why.to_owned());
        let (place, room) = (&self.place, threads::QUEUE);
        self.error(&format!(
            "the journal in {place} cannot be written: {why}; breakers go on, {room} events may wait in memory, and it is tried again every second"
        ));
    }

    fn trouble_ends(&mut self) {
        self.trouble = None;
        let lost = self.counts().lost;
        let text = format!(
            "the journal in {} is written again; events lost since the start: {lost}",
            self.place
        );
        warn!("{text}");
        self.push(EventKind::Notice { notice: "journal".to_owned(), breaker: None }, text);
    }

    fn push(&mut self, kind: EventKind, text: String) {
        let at = format_rfc3339_millis(clock::wall(clock::now())).to_string();
        let event = Event { sequence: self.next, at, kind, text };
        self.next += 1;
        if self.past.len() == KEPT {
            self.past.pop_front();
        }
        if let Some(disk) = &mut self.disk {
            disk.write(&event);
        }
        self.past.push_back(event.clone());
        // Nobody following is no error.
        drop(self.future.send(event));
    }
}

/// Events kept in memory.
const KEPT: usize = 1000;
