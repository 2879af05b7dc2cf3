//! The processes that connect: all threads of the load, and how they end.
//!
//! Invariant: a thread gives orders to processes of its own only, and every connect is in the tally.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};

use super::churn;
use super::stage::Stage;
use crate::caller::{Caller, Tally};

/// What the threads do together.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) stage: Stage,
    is_over: AtomicBool,
    connects: AtomicU64,
    cgroups: AtomicU64,
}

impl Shared {
    pub(super) fn new(stage: Stage) -> Self {
        Self {
            stage,
            is_over: AtomicBool::new(false),
            connects: AtomicU64::new(0),
            cgroups: AtomicU64::new(0),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Connects so far, refused ones too.
    pub(super) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// Cgroups that came and went so far.
    pub(super) fn cgroups(&self) -> u64 {
        self.cgroups.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self, tally: &Tally) {
        let connects = tally.connected + tally.failed.values().sum::<u64>();
        self.connects.fetch_add(connects, Ordering::Relaxed);
    }

    pub(super) fn note_cgroup(&self) {
        self.cgroups.fetch_add(1, Ordering::Relaxed);
    }

    /// The life of a process that connects throughout.
    fn connect_steadily(&self, number: usize) -> Result<Tally> {
        let cgroup = &self.stage.steady[number];
        let mut caller = Caller::spawn_in(cgroup, &self.stage.namespace)?;
        let addresses = self.stage.steadily_called();
        let mut sum = Tally::default();
        while !self.is_over() {
            let tally = caller.burst(&addresses, ROUNDS, 1)?;
            self.note(&tally);
            sum = Tally::sum([sum, tally]);
        }
        Ok(sum)
    }
}

/// All of them. Their drop ends them after the order they carry out.
#[derive(Debug)]
pub(super) struct Callers {
    shared: Arc<Shared>,
    steady: Vec<JoinHandle<Result<Tally>>>,
    passing: Vec<JoinHandle<Result<Tally>>>,
}

/// What all connects came to.
#[derive(Clone, Debug)]
pub(super) struct Tallies {
    pub(super) steady: Tally,
    pub(super) passing: Tally,
}

impl Callers {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self> {
        let mut callers =
            Self { shared: Arc::clone(shared), steady: Vec::new(), passing: Vec::new() };
        for number in 0..shared.stage.steady.len() {
            let shared = Arc::clone(shared);
            callers
                .steady
                .push(spawn(format!("steady-{number}"), move || shared.connect_steadily(number))?);
        }
        for number in 0..churn::AT_ONCE {
            let shared = Arc::clone(shared);
            callers.passing.push(spawn(format!("passing-{number}"), move || {
                churn::come_and_go(&shared, number)
            })?);
        }
        Ok(callers)
    }

    /// Fails once a thread could not go on.
    pub(super) fn check(&mut self) -> Result<()> {
        for threads in [&mut self.steady, &mut self.passing] {
            if let Some(ended) = threads.iter().position(JoinHandle::is_finished) {
                let early = || anyhow!("a caller ended before its time");
                return Err(join(threads.swap_remove(ended)).err().unwrap_or_else(early));
            }
        }
        Ok(())
    }

    /// Lets every process finish what it does.
    pub(super) fn dismiss(mut self) -> Result<Tallies> {
        self.shared.is_over.store(true, Ordering::Release);
        let [steady, passing] = [&mut self.steady, &mut self.passing]
            .map(|threads| threads.drain(..).map(join).collect::<Result<Vec<_>>>().map(Tally::sum));
        Ok(Tallies { steady: steady?, passing: passing? })
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        for thread in self.steady.drain(..).chain(self.passing.drain(..)) {
            // Something else has failed already.
            drop(thread.join());
        }
    }
}

fn spawn(
    name: String,
    work: impl FnOnce() -> Result<Tally> + Send + 'static,
) -> Result<JoinHandle<Result<Tally>>> {
    thread::Builder::new().name(name).spawn(work).context("cannot start a thread for a caller")
}

fn join(thread: JoinHandle<Result<Tally>>) -> Result<Tally> {
    thread.join().map_err(|_panic| anyhow!("a caller's thread panicked"))?
}

/// Of an order: a fraction of a second.
const ROUNDS: u32 = 500;
