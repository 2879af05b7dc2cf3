//! Clients: processes in one cgroup that call the backends in turn, at a steady rate.
//!
//! Invariant: both populations run this same code, and a client waits for the end of one call
//! before it begins the next, as a worker of a real service does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::record::{ClientAttempt, ClientCall, Outcome, Summary};
use super::script::{CALLERS, CLIENT_PATIENCE, PERIOD, SHED_ERRNO, SLOW};
use crate::caller::{Call, Caller, Phase};
use crate::cgroup::Cgroup;
use crate::clock::{now, remaining};

/// A running population. Its drop ends the processes at once, whatever they wait for.
#[derive(Debug)]
pub(super) struct Population {
    cgroup: Option<Cgroup>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads that drive the processes share with the demo.
#[derive(Debug)]
struct Shared {
    targets: Vec<SocketAddr>,
    act: AtomicUsize,
    is_over: AtomicBool,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// In the order of their ends.
    calls: Vec<ClientCall>,
    /// For each client the start of the call it is busy with.
    busy_since: Vec<Option<Instant>>,
    failure: Option<anyhow::Error>,
}

/// A population at this moment.
#[derive(Debug)]
pub(super) struct Glance {
    /// The calls that ended within [`GLANCE_SPAN`].
    pub(super) recent: Summary,
    /// Failed or slow attempts since the start of the act.
    pub(super) bad_attempts: usize,
    /// Clients that have waited for longer than [`SLOW`].
    pub(super) stuck: usize,
}

impl Population {
    /// Starts the processes in `cgroup`; they call until the end.
    pub(super) fn start(cgroup: Cgroup, targets: &[SocketAddr]) -> Result<Self> {
        let ledger = Ledger { busy_since: vec![None; CALLERS as usize], ..Ledger::default() };
        let shared = Arc::new(Shared {
            targets: targets.to_vec(),
            act: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            ledger: Mutex::new(ledger),
        });
        let mut population = Self { cgroup: Some(cgroup), shared, threads: Vec::new() };
        for number in 0..CALLERS {
            population.add_client(number)?;
        }
        Ok(population)
    }

    /// Calls that begin from now on belong to this act.
    pub(super) fn begin_act(&self, act: usize) {
        self.shared.act.store(act, Ordering::Release);
    }

    /// Fails once a client could not go on.
    pub(super) fn check(&self) -> Result<()> {
        self.shared.ledger().failure.take().map_or(Ok(()), Err)
    }

    /// How it goes right now, in the act `act`.
    pub(super) fn glance(&self, act: usize) -> Glance {
        let ledger = self.shared.ledger();
        let is_recent = |call: &&ClientCall| call.ended.elapsed() < GLANCE_SPAN;
        let is_stuck = |since: &&Option<Instant>| since.is_some_and(|since| since.elapsed() > SLOW);
        Glance {
            recent: Summary::of(ledger.calls.iter().rev().take_while(is_recent)),
            bad_attempts: Summary::of(ledger.calls.iter().filter(|call| call.act == act))
                .bad_attempts,
            stuck: ledger.busy_since.iter().filter(is_stuck).count(),
        }
    }

    /// Lets every client finish its call; all calls there were.
    pub(super) fn dismiss(mut self) -> Result<Vec<ClientCall>> {
        self.shared.is_over.store(true, Ordering::Release);
        self.join();
        self.check()?;
        Ok(std::mem::take(&mut self.shared.ledger().calls))
    }

    fn add_client(&mut self, number: u32) -> Result<()> {
        let cgroup = self.cgroup.as_ref().context("the population has been ended")?;
        let mut caller = Caller::spawn(cgroup)?;
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name(format!("client-{number}"))
            .spawn(move || {
                if let Err(error) = shared.be_client(&mut caller, number) {
                    shared.ledger().failure.get_or_insert(error);
                }
            })
            .context("cannot start a thread for a client")?;
        self.threads.push(thread);
        Ok(())
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic of the thread has already been printed by the thread.
            drop(thread.join());
        }
    }
}

impl Drop for Population {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Ends the processes, and so what the threads wait for.
        drop(self.cgroup.take());
        self.join();
    }
}

impl Shared {
    /// The life of one client.
    fn be_client(&self, caller: &mut Caller, number: u32) -> Result<()> {
        let index = number as usize;
        // Spread over the period, and over the backends.
        let mut due = now() + PERIOD * number / CALLERS;
        for first in (0..self.targets.len()).cycle().skip(index) {
            if let Some(left) = remaining(due) {
                thread::sleep(left);
            }
            if self.is_over.load(Ordering::Acquire) {
                break;
            }
            self.set_busy(index, Some(now()));
            let call = self.call(caller, first)?;
            let mut ledger = self.ledger();
            ledger.calls.push(call);
            drop(ledger);
            self.set_busy(index, None);
            // What was missed is not made up for, and no client changes its place in the period.
            while remaining(due).is_none() {
                due += PERIOD;
            }
        }
        Ok(())
    }

    /// One call, at the backend `first` and, where there is no connection, at the others once.
    fn call(&self, caller: &mut Caller, first: usize) -> Result<ClientCall> {
        let act = self.act.load(Ordering::Acquire);
        let mut attempts = Vec::new();
        let mut took = Duration::ZERO;
        let backends = self.targets.iter().enumerate().cycle().skip(first);
        for (backend, target) in backends.take(self.targets.len()) {
            let left = CLIENT_PATIENCE.saturating_sub(took);
            if left.is_zero() {
                break;
            }
            let started = now();
            let report = caller.call(*target, left)?;
            let spent = Duration::from_micros(report.total_us);
            took += spent;
            let outcome = outcome(&report);
            attempts.push(ClientAttempt { backend, started, ended: started + spent, outcome });
            // A request that was sent may have been carried out, so it is not sent again.
            if report.failure.is_none_or(|failure| failure.phase != Phase::Connect) {
                break;
            }
        }
        Ok(ClientCall { act, ended: now(), took, attempts })
    }

    fn set_busy(&self, client: usize, since: Option<Instant>) {
        if let Some(entry) = self.ledger().busy_since.get_mut(client) {
            *entry = since;
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outcome(report: &Call) -> Outcome {
    if report.connect_errno() == Some(SHED_ERRNO) {
        Outcome::Shed
    } else if !report.answered() {
        Outcome::Failed
    } else if Duration::from_micros(report.total_us) > SLOW {
        Outcome::Slow
    } else {
        Outcome::Answered
    }
}

/// What "now" means on the screen.
pub(super) const GLANCE_SPAN: Duration = Duration::from_secs(2);
