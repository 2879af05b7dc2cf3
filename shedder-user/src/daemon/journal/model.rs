//! The journal's thread and the loop in every order that chance comes upon: `disk.rs` once more, with threads
//! and channels of which a test chooses who goes on, files that fail when they like, and time that passes
//! when it likes.
//!
//! Invariant: what is promised in `disk.rs` holds in each of them, and each ends.

#[expect(clippy::duplicate_mod, reason = "the same protocol, with threads a test directs")]
#[path = "disk.rs"]
mod disk;

use std::path::Path;

use self::disk::Disk;
use self::files::Script;
use crate::api::model::{Event, EventKind};
use crate::config::JournalLimits;

/// Without trouble everything that had room is written, in its order, and what had none is told of.
#[test]
fn an_event_is_written_or_a_line_says_that_it_is_not() {
    check(|| {
        Script::begin(0);
        let disk = filled(MORE_THAN_FITS);
        let lost = disk.counts().lost;
        drop(disk);
        let lines = Script::lines();
        let numbers = numbers(&lines);
        assert!(numbers.is_sorted(), "{lines:?}");
        assert_eq!(numbers.len() as u64 + lost, MORE_THAN_FITS, "{lines:?}");
        // What is lost last of all has no line, because no event comes after it.
        let is_told = missed(&lines) == lost;
        assert!(is_told || !numbers.contains(&MORE_THAN_FITS), "{lost} lost: {lines:?}");
    });
}

/// A disk that fails for a while loses nothing that had room, and both is told of once.
#[test]
fn a_failure_that_passes_is_told_of_and_loses_nothing() {
    check(|| {
        Script::begin(2);
        let disk = filled(FITS);
        let lost = disk.counts().lost;
        let mut reports = Vec::new();
        while let Some(report) = disk.report() {
            reports.push(matches!(report, disk::Report::Recovered));
        }
        // One after the other, beginning with a failure.
        assert!((0..reports.len()).all(|at| reports[at] == (at % 2 == 1)), "{reports:?}");
        assert!(disk.counts().written <= FITS);
        assert_eq!(lost, 0);
        drop(disk);
        let lines = Script::lines();
        // One that is still in trouble when it is to end may leave the rest.
        let numbers = numbers(&lines);
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{lines:?}");
        assert!(numbers.len() as u64 == FITS || Script::has_failed(), "{lines:?}");
    });
}

/// A disk that never works does not keep the daemon from ending.
#[test]
fn a_disk_that_never_works_keeps_nobody() {
    check(|| {
        Script::begin(u32::MAX);
        drop(filled(MORE_THAN_FITS));
        assert_eq!(Script::lines(), [], "it never worked");
    });
}

fn check(run: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(run, ORDERS);
}

fn filled(events: u64) -> Disk {
    let mut disk = Disk::start(Path::new("nowhere"), None, LIMITS).expect("a thread");
    disk.limit(LIMITS);
    for sequence in 1..=events {
        let at = "now".to_owned();
        disk.write(&Event { sequence, at, kind: EventKind::Started, text: String::new() });
    }
    disk
}

/// Of the events, not of the lines in the place of some.
fn numbers(lines: &[Event]) -> Vec<u64> {
    let events = lines.iter().filter(|line| line.kind == EventKind::Started);
    events.map(|event| event.sequence).collect()
}

fn missed(lines: &[Event]) -> u64 {
    let count = |line: &Event| {
        if let EventKind::Missed { count } = line.kind { count } else { 0 }
    };
    lines.iter().map(count).sum()
}

const LIMITS: JournalLimits = JournalLimits { max_kib: 16, files: 1 };
const FITS: u64 = threads::QUEUE as u64;
const MORE_THAN_FITS: u64 = FITS + 3;
const ORDERS: usize = 2_000;

/// Threads whose order a test chooses.
mod threads {
    pub(super) use shuttle::sync::{Arc, atomic};

    pub(super) const QUEUE: usize = 3;

    pub(super) mod thread {
        use std::time::Duration;

        pub(in super::super) use shuttle::thread::{Builder, Thread};

        /// However long that is, others may do something meanwhile.
        pub(in super::super) fn park_timeout(_: Duration) {
            shuttle::thread::yield_now();
        }
    }

    /// As those of the standard library, with time that may have passed whenever nothing has come.
    pub(super) mod mpsc {
        use std::time::Duration;

        use shuttle::rand::{Rng as _, thread_rng};
        pub(in super::super) use shuttle::sync::mpsc::{
            RecvError, RecvTimeoutError, Sender, SyncSender, TryIter, TryRecvError,
        };
        use shuttle::{sync::mpsc, thread::yield_now};

        #[derive(Debug)]
        pub(in super::super) struct Receiver<T> {
            receiver: mpsc::Receiver<T>,
            /// Whether time may pass before something comes. What the loop waits for comes in time.
            is_impatient: bool,
        }

        pub(in super::super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let (sender, receiver) = mpsc::channel();
            (sender, Receiver { receiver, is_impatient: false })
        }

        pub(in super::super) fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
            let (sender, receiver) = mpsc::sync_channel(bound);
            (sender, Receiver { receiver, is_impatient: true })
        }

        impl<T> Receiver<T> {
            pub(in super::super) fn recv(&self) -> Result<T, RecvError> {
                self.receiver.recv()
            }

            pub(in super::super) fn try_recv(&self) -> Result<T, TryRecvError> {
                self.receiver.try_recv()
            }

            pub(in super::super) fn try_iter(&self) -> TryIter<'_, T> {
                self.receiver.try_iter()
            }

            pub(in super::super) fn recv_timeout(
                &self,
                _: Duration,
            ) -> Result<T, RecvTimeoutError> {
                loop {
                    match self.receiver.try_recv() {
                        Ok(value) => return Ok(value),
                        Err(TryRecvError::Disconnected) => {
                            return Err(RecvTimeoutError::Disconnected);
                        }
                        Err(TryRecvError::Empty)
                            if self.is_impatient && thread_rng().gen_bool(0.3) =>
                        {
                            return Err(RecvTimeoutError::Timeout);
                        }
                        Err(TryRecvError::Empty) => yield_now(),
                    }
                }
            }
        }
    }
}

/// Files that fail as often as a test says, in the middle of what they are to write.
mod files {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::io;
    use std::path::Path;

    use shuttle::rand::{Rng as _, thread_rng};
    use shuttle::thread::yield_now;

    use crate::api::model::Event;
    use crate::config::JournalLimits;

    /// What the files of this run are to do, and have done.
    pub(super) struct Script;

    #[derive(Default)]
    struct Run {
        failures: u32,
        has_failed: bool,
        written: Vec<Vec<u8>>,
    }

    // All threads of a run are one to the system.
    thread_local! {
        static RUN: RefCell<Run> = RefCell::default();
    }

    impl Script {
        /// A run with up to so many failures, or with nothing else.
        pub(super) fn begin(failures: u32) {
            RUN.set(Run { failures, ..Run::default() });
        }

        pub(super) fn has_failed() -> bool {
            RUN.with_borrow(|run| run.has_failed)
        }

        pub(super) fn lines() -> Vec<Event> {
            let read = |line: &Vec<u8>| serde_json::from_slice(line).expect("it is whole");
            RUN.with_borrow(|run| run.written.iter().map(read).collect())
        }

        /// What is to be done now, while others do something else.
        fn next() -> io::Result<()> {
            yield_now();
            RUN.with_borrow_mut(|run| match run.failures {
                0 => Ok(()),
                u32::MAX => Err(io::ErrorKind::StorageFull.into()),
                _ if thread_rng().gen_bool(0.5) => {
                    run.failures -= 1;
                    run.has_failed = true;
                    Err(io::ErrorKind::StorageFull.into())
                }
                _ => Ok(()),
            })
        }
    }

    #[derive(Debug)]
    pub(super) struct Files;

    #[expect(clippy::unused_self, reason = "it is asked as the real one is")]
    impl Files {
        pub(super) const fn new(_: &Path, _: Option<u32>, _: JournalLimits) -> Self {
            Self
        }

        pub(super) const fn limit(&mut self, _: JournalLimits) {}

        pub(super) fn append(&mut self, lines: &mut VecDeque<Vec<u8>>) -> io::Result<()> {
            let outcome = Script::next();
            let is_always = RUN.with_borrow(|run| run.failures == u32::MAX);
            let room = match outcome {
                Ok(()) => lines.len(),
                Err(_) if is_always => 0,
                Err(_) => thread_rng().gen_range(0..=lines.len()),
            };
            RUN.with_borrow_mut(|run| run.written.extend(lines.drain(..room)));
            outcome
        }

        pub(super) fn sync(&mut self) -> io::Result<()> {
            Script::next()
        }
    }
}
