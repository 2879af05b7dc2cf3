//! The processor time a daemon takes over a while, and the looks at the evidence in it.
//!
//! Invariant: both are the kernel's word: its account of each thread, and the map the daemon renews at
//! each look.

use std::mem::offset_of;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use shedder_common::counters::NodeRow;
use shedder_common::map;

use super::super::maps::Rows;
use crate::clock::now;
use crate::interrupt;
use crate::statistics::figure;
use crate::vitals::{Turns, processor_time};

/// What was taken over a while.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Effort {
    /// How long it was watched.
    pub(super) wall_ns: u64,
    /// Processor time of the daemon's loop, which looks at the evidence.
    pub(super) loop_ns: u64,
    /// Processor time of all threads of the daemon.
    pub(super) daemon_ns: u64,
    /// Looks in that time.
    pub(super) looks: u64,
}

impl Effort {
    /// Share of one core the whole daemon takes.
    pub(super) fn share(&self) -> f64 {
        figure(self.daemon_ns) / figure(self.wall_ns.max(1))
    }

    /// Share of one core the loop takes.
    pub(super) fn loop_share(&self) -> f64 {
        figure(self.loop_ns) / figure(self.wall_ns.max(1))
    }

    /// Processor time of the loop for each look, microseconds.
    pub(super) fn look_us(&self) -> f64 {
        figure(self.loop_ns) / figure(self.looks.max(1)) / 1e3
    }

    /// Time between two looks, microseconds.
    pub(super) fn between_looks_us(&self) -> f64 {
        figure(self.wall_ns) / figure(self.looks.max(1)) / 1e3
    }
}

/// Watches the daemon while `work` goes on.
pub(super) fn during<T>(pid: u32, work: impl FnOnce() -> Result<T>) -> Result<(Effort, T)> {
    let rows = Rows::of(pid, map::NODE)?;
    // Fails here where it would on the thread that counts.
    rows.word(offset_of!(NodeRow, verdicts_until_ns))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let counting = scope.spawn(|| count_looks(&rows, &is_over));
        let over = Over(&is_over);
        let (begun, of_loop, of_daemon) = (now(), Turns::of_loop(pid)?.ran, processor_time(pid)?);
        let outcome = work()?;
        let (wall, of_loop, of_daemon) = (
            begun.elapsed(),
            Turns::of_loop(pid)?.ran.saturating_sub(of_loop),
            processor_time(pid)?.saturating_sub(of_daemon),
        );
        drop(over);
        let looks = counting.join().ok().context("the looks could not be counted")??;
        ensure!(looks > 0, "the daemon does not look at the evidence");
        let effort = Effort {
            wall_ns: nanoseconds(wall),
            loop_ns: nanoseconds(of_loop),
            daemon_ns: nanoseconds(of_daemon),
            looks,
        };
        Ok((effort, outcome))
    })
}

/// Sleeps, and wakes for Ctrl-C.
pub(super) fn rest(time: Duration) -> Result<()> {
    let deadline = now() + time;
    while let Some(left) = crate::clock::remaining(deadline) {
        interrupt::check()?;
        thread::sleep(left.min(GRAIN));
    }
    Ok(())
}

/// Dropping it ends the counting, also where something fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn count_looks(rows: &Rows, is_over: &AtomicBool) -> Result<u64> {
    let until = rows.word(offset_of!(NodeRow, verdicts_until_ns))?;
    let (mut last, mut looks) = (until.load(), 0);
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(BETWEEN_READS);
        let said = until.load();
        looks += u64::from(said != last);
        last = said;
    }
    Ok(looks)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Far shorter than a tick, so that no look is missed.
const BETWEEN_READS: Duration = Duration::from_millis(10);
const GRAIN: Duration = Duration::from_millis(200);
