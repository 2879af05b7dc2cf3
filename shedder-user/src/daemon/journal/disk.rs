//! The thread that writes the journal, so that a slow or full disk holds up nothing else.
//!
//! Invariant: an event is written, or waits to be, or is counted as lost, and then a line in its place
//! says how many. It is compiled a second time, for threads whose every interleaving a test chooses (`model.rs`).

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::files::Files;
use super::threads::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use super::threads::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use super::threads::thread::{self, Thread};
use super::threads::{Arc, QUEUE};
use crate::api::model::{Event, EventKind};
use crate::clock;
use crate::config::JournalLimits;
use crate::daemon::{confinement, turns};
use crate::directory;
use crate::metrics::JournalCounts;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Disk {
    /// Nothing once the thread is to end.
    queue: Option<SyncSender<Event>>,
    pub(super) reports: Receiver<Report>,
    shared: Arc<Shared>,
    thread: Thread,
    lost: u64,
    /// Of those lost, the ones no line tells of yet, and the number of the last.
    untold: Option<(u64, u64)>,
}

/// What the thread tells, once each time it changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// Nothing is written, for this reason.
    Failing(String),
    /// Everything that has waited is written.
    Recovered,
}

#[derive(Debug)]
struct Shared {
    written: AtomicU64,
    errors: AtomicU64,
    max_kib: AtomicU32,
    files: AtomicU32,
    is_stopping: AtomicBool,
}

impl Disk {
    /// Starts the thread; the directory is touched with the first event.
    pub(super) fn start(
        directory: &Path,
        group: Option<u32>,
        limits: JournalLimits,
    ) -> io::Result<Self> {
        let (queue, events) = sync_channel(QUEUE);
        let (sender, reports) = channel();
        let shared = Arc::new(Shared {
            written: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            max_kib: AtomicU32::new(limits.max_kib),
            files: AtomicU32::new(limits.files),
            is_stopping: AtomicBool::new(false),
        });
        let writer = Writer {
            files: Files::new(directory, group, limits),
            shared: Arc::clone(&shared),
            reports: sender,
            pending: VecDeque::new(),
            unsynced_since: None,
            is_failing: false,
            is_in_trouble: false,
        };
        let thread = thread::Builder::new().name("journal".to_owned());
        let own = directory.to_owned();
        let write = move || {
            turns::interrupt_nobody();
            // What keeps it from being made is told with the first event.
            drop(directory::prepare(&own, group));
            confinement::confine_journal(&own);
            writer.run(&events);
        };
        let thread = thread.spawn(write)?.thread().clone();
        Ok(Self { queue: Some(queue), reports, shared, thread, lost: 0, untold: None })
    }

    /// Has an event written, sooner or later.
    pub(super) fn write(&mut self, event: &Event) {
        let has_told = match self.untold {
            Some((count, sequence)) => self.offer(missed(count, sequence, &event.at)),
            None => true,
        };
        if has_told {
            self.untold = None;
            if self.offer(event.clone()) {
                return;
            }
        }
        self.lost += 1;
        let untold = self.untold.map_or(0, |(count, _)| count);
        self.untold = Some((untold + 1, event.sequence));
    }

    /// Holds from the next event on.
    pub(super) fn limit(&self, limits: JournalLimits) {
        self.shared.max_kib.store(limits.max_kib, Ordering::Relaxed);
        self.shared.files.store(limits.files, Ordering::Relaxed);
    }

    /// What the thread has told since it was asked last.
    pub(super) fn report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    pub(super) fn counts(&self) -> JournalCounts {
        JournalCounts {
            written: self.shared.written.load(Ordering::Relaxed),
            lost: self.lost,
            errors: self.shared.errors.load(Ordering::Relaxed),
        }
    }

    /// Whether there was room for it.
    fn offer(&self, event: Event) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.try_send(event).is_ok())
    }
}

/// What can be written is written, but a disk that hangs does not keep the process.
impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.queue = None;
        self.thread.unpark();
        let until = clock::now().plus(GRACE);
        loop {
            match self.reports.recv_timeout(until.since(clock::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    tracing::warn!("the disk of the journal does not answer; leaving it");
                    return;
                }
            }
        }
    }
}

/// What the thread owns.
#[derive(Debug)]
struct Writer {
    files: Files,
    shared: Arc<Shared>,
    reports: Sender<Report>,
    /// Lines that are not written yet.
    pending: VecDeque<Vec<u8>>,
    unsynced_since: Option<Monotonic>,
    /// The last attempt has failed.
    is_failing: bool,
    /// It has, and since then not everything that waited is written.
    is_in_trouble: bool,
}

impl Writer {
    fn run(mut self, events: &Receiver<Event>) {
        loop {
            if self.is_failing {
                // Events stay in the queue meanwhile, which bounds how many there are.
                if !self.shared.is_stopping.load(Ordering::Acquire) {
                    thread::park_timeout(RETRY);
                }
            } else {
                match self.wait(events) {
                    Ok(event) => self.pending.push_back(line(&event)),
                    Err(RecvTimeoutError::Timeout) => {
                        self.settle();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                self.pending.extend(events.try_iter().take(BATCH).map(|event| line(&event)));
            }
            self.write();
            if self.is_failing && self.shared.is_stopping.load(Ordering::Acquire) {
                let lost = self.pending.len() + events.try_iter().count();
                tracing::warn!(lost, "the last events are not in the journal");
                return;
            }
        }
        self.sync();
    }

    /// The next event, or that what was written has to be made sure of: because it is time, or because
    /// nothing waits any more of what could not be written.
    fn wait(&self, events: &Receiver<Event>) -> Result<Event, RecvTimeoutError> {
        match self.unsynced_since {
            _ if self.is_in_trouble => events.recv_timeout(Duration::ZERO),
            Some(since) => events.recv_timeout(since.plus(SYNC).since(clock::now())),
            None => events.recv().map_err(|_ended| RecvTimeoutError::Disconnected),
        }
    }

    fn write(&mut self) {
        self.files.limit(JournalLimits {
            max_kib: self.shared.max_kib.load(Ordering::Relaxed),
            files: self.shared.files.load(Ordering::Relaxed),
        });
        let before = self.pending.len();
        let outcome = self.files.append(&mut self.pending);
        let written = before - self.pending.len();
        self.shared.written.fetch_add(written.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        if written > 0 && self.unsynced_since.is_none() {
            self.unsynced_since = Some(clock::now());
        }
        let is_due = self.unsynced_since.is_some_and(|since| clock::now().since(since) >= SYNC);
        if let Err(error) = outcome {
            self.fail(&error);
            return;
        }
        self.is_failing = false;
        if is_due {
            self.sync();
        }
    }

    /// Nothing waits: makes sure of what was written, and that is the end of any trouble.
    fn settle(&mut self) {
        self.sync();
        if self.is_in_trouble && !self.is_failing {
            self.is_in_trouble = false;
            self.report(Report::Recovered);
        }
    }

    fn sync(&mut self) {
        match self.files.sync() {
            Ok(()) => self.unsynced_since = None,
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
        self.is_failing = true;
        if !self.is_in_trouble {
            self.is_in_trouble = true;
            self.report(Report::Failing(error.to_string()));
        }
    }

    fn report(&self, report: Report) {
        // A daemon that has ended wants to know nothing.
        drop(self.reports.send(report));
    }
}

/// Stands in the place of events that had no room; `sequence` is the last one's number.
fn missed(count: u64, sequence: u64, at: &str) -> Event {
    let text = format!(
        "{count} events are missing here: the journal could not be written, and no more could wait"
    );
    Event { sequence, at: at.to_owned(), kind: EventKind::Missed { count }, text }
}

fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).expect("an event has only text keys");
    line.push(b'\n');
    line
}

/// Lines written at once.
const BATCH: usize = 256;
/// A power failure takes no more than this with it.
const SYNC: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(1);
/// What a disk that hangs may hold up the end.
pub(super) const GRACE: Duration = Duration::from_secs(2);
