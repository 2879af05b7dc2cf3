//! The callers: processes in cgroups of their own that call endpoints by chance, at a steady rate.
//!
//! Invariant: a process waits for the end of one call before it begins the next, so an endpoint that
//! hangs keeps only those waiting that called it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::field::Field;
use super::ledger::Ledger;
use crate::caller::Caller;
use crate::cgroup::Cgroup;
use crate::chance::Chance;
use crate::clock::{now, remaining};
use crate::netns::NetNs;

/// All of them. Their drop ends the processes at once, whatever they wait for.
#[derive(Debug)]
pub(super) struct Callers {
    cgroups: Vec<Cgroup>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Ledger>>>,
}

#[derive(Debug)]
struct Shared {
    field: Arc<Field>,
    is_over: AtomicBool,
    calls: AtomicU64,
}

impl Callers {
    /// Starts [`PROCESSES`] in each cgroup; they call until the end.
    pub(super) fn start(
        cgroups: Vec<Cgroup>,
        namespace: &NetNs,
        field: &Arc<Field>,
        seed: u64,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            field: Arc::clone(field),
            is_over: AtomicBool::new(false),
            calls: AtomicU64::new(0),
        });
        let mut callers = Self { cgroups, shared, threads: Vec::new() };
        for number in 0..callers.cgroups.len() * PROCESSES {
            callers.add(namespace, number, seed)?;
        }
        Ok(callers)
    }

    /// Calls that have ended.
    pub(super) fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Fails once a process could not go on.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.threads.iter().position(JoinHandle::is_finished) {
            Some(ended) => Err(join(self.threads.swap_remove(ended))
                .err()
                .unwrap_or_else(|| anyhow!("a caller ended before its time"))),
            None => Ok(()),
        }
    }

    /// Lets every process finish its call; what became of all calls, and the cgroups, empty now.
    pub(super) fn dismiss(mut self) -> Result<(Ledger, Vec<Cgroup>)> {
        self.shared.is_over.store(true, Ordering::Release);
        let ledgers: Result<Vec<Ledger>> = self.threads.drain(..).map(join).collect();
        let ledger = ledgers?.into_iter().fold(Ledger::default(), Ledger::merge);
        Ok((ledger, std::mem::take(&mut self.cgroups)))
    }

    fn add(&mut self, namespace: &NetNs, number: usize, seed: u64) -> Result<()> {
        let cgroup = &self.cgroups[number % self.cgroups.len()];
        let mut caller = Caller::spawn_in(cgroup, namespace)?;
        let shared = Arc::clone(&self.shared);
        let chance = Chance::of_part(seed, number as u64);
        let thread = thread::Builder::new()
            .name(format!("caller-{number}"))
            .spawn(move || shared.be_caller(&mut caller, chance))
            .context("cannot start a thread for a caller")?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Ends the processes, and so what the threads wait for.
        self.cgroups.clear();
        for thread in self.threads.drain(..) {
            // It failed because its process was ended just now, or nobody asked whether it had.
            drop(thread.join());
        }
    }
}

impl Shared {
    /// The life of one process.
    fn be_caller(&self, caller: &mut Caller, mut chance: Chance) -> Result<Ledger> {
        let mut ledger = Ledger::default();
        let endpoints = u64::try_from(self.field.len()).context("too many endpoints")?;
        let mut due = now() + PERIOD.mul_f64(0.001) * u32::try_from(chance.below(1000))?;
        while !self.is_over.load(Ordering::Acquire) {
            if let Some(left) = remaining(due) {
                thread::sleep(left);
            }
            let endpoint = usize::try_from(chance.below(endpoints))?;
            let address = self.field.address(endpoint);
            let before = self.field.spell(endpoint);
            let call = caller.call(address, PATIENCE)?;
            let was_well = before.is_well() && self.field.spell(endpoint) == before;
            ledger.note(address, was_well, &call);
            self.calls.fetch_add(1, Ordering::Relaxed);
            // What was missed is not made up for.
            while remaining(due).is_none() {
                due += PERIOD;
            }
        }
        Ok(ledger)
    }
}

fn join(thread: JoinHandle<Result<Ledger>>) -> Result<Ledger> {
    thread.join().map_err(|_panic| anyhow!("a caller's thread panicked"))?
}

/// In each cgroup.
pub(super) const PROCESSES: usize = 3;
/// From the start of one call of a process to the start of its next, if it is over by then.
const PERIOD: Duration = Duration::from_millis(25);
/// How long a caller waits for an answer; longer than the policy's `caller_timeout`.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);
