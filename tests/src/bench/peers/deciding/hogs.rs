//! Processes that only count, one for each CPU, so that nothing is idle.
//!
//! Invariant: they run at the priority of everything else here, outside of every guarded cgroup, and
//! end with their value.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::clock::{now, remaining};
use crate::interrupt;
use crate::vitals::processor_time;

/// The processes. To be started by a process that is in no guarded cgroup yet: they stay where they
/// are started.
#[derive(Debug)]
pub(super) struct Hogs {
    processes: Vec<Child>,
}

impl Hogs {
    /// Starts this many and waits until each has run for a while.
    pub(super) fn start(count: usize) -> Result<Self> {
        let mut hogs = Self { processes: Vec::new() };
        for _ in 0..count {
            let mut command = Command::new("sh");
            command.args(["-c", COUNTING]).stdin(Stdio::null());
            hogs.processes.push(command.spawn().context("cannot start a busy loop")?);
        }
        let deadline = now() + PATIENCE;
        for process in &hogs.processes {
            while processor_time(process.id())? < WARM {
                interrupt::check()?;
                if remaining(deadline).is_none() {
                    bail!("a busy loop does not run");
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Both fail only for a process that has ended and been waited for.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// The limit, seconds of processor time, ends what a killed parent leaves behind.
const COUNTING: &str = "ulimit -t 600; while :; do :; done";
/// How long each runs before anything is measured.
const WARM: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);
