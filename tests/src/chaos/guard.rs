//! A real daemon for one scenario, and what it told.
//!
//! Invariant: every event is kept with the moment it was heard of, in order.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use shedder_user::api::model::{Event, EventKind};

use crate::clock::now;
use crate::daemon::{Daemon, Events};

/// Ends the daemon with its value.
#[derive(Debug)]
pub(super) struct Guard {
    chronicle: Arc<Chronicle>,
    thread: Option<JoinHandle<()>>,
    pub(super) daemon: Daemon,
}

/// One service of a policy, with the rules for its only caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) endpoints: &'a [SocketAddr],
    /// Further lines of the service.
    pub(super) more: &'a str,
    /// Lines of the policy.
    pub(super) rules: &'a str,
}

/// A breaker that changed its state.
#[derive(Clone, Debug)]
pub(super) struct Transition {
    pub(super) at: Instant,
    pub(super) endpoint: String,
    pub(super) to: String,
}

#[derive(Debug, Default)]
struct Chronicle {
    events: Mutex<Vec<(Instant, Event)>>,
    is_over: AtomicBool,
}

impl Guard {
    /// Starts a daemon with a policy.
    pub(super) fn start(policy: &str) -> Result<Self> {
        Self::start_with(policy, &[])
    }

    /// As [`Guard::start`], with further arguments.
    pub(super) fn start_with(policy: &str, arguments: &[&str]) -> Result<Self> {
        let daemon = Daemon::start_or_advise(policy, arguments)?;
        let events = daemon.events()?;
        let chronicle = Arc::new(Chronicle::default());
        let writing = Arc::clone(&chronicle);
        let thread = thread::Builder::new()
            .name("chronicle".to_owned())
            .spawn(move || writing.write(&events))
            .context("cannot start a thread for events")?;
        Ok(Self { chronicle, thread: Some(thread), daemon })
    }

    /// What `wanted` makes something of, since a moment.
    pub(super) fn events<T>(
        &self,
        since: Instant,
        wanted: impl Fn(Instant, &Event) -> Option<T>,
    ) -> Vec<T> {
        let events = self.chronicle.events.lock().unwrap_or_else(PoisonError::into_inner);
        let after = events.iter().filter(|(at, _)| *at >= since);
        after.filter_map(|(at, event)| wanted(*at, event)).collect()
    }

    /// All changes of state since a moment.
    pub(super) fn transitions(&self, since: Instant) -> Vec<Transition> {
        self.events(since, |at, event| {
            let EventKind::Transition { endpoint, to, .. } = &event.kind else { return None };
            Some(Transition { at, endpoint: endpoint.clone(), to: to.clone() })
        })
    }

    /// How often the breakers of an endpoint became `to` since a moment.
    pub(super) fn times(&self, endpoint: SocketAddr, to: &str, since: Instant) -> usize {
        let endpoint = endpoint.to_string();
        let all = self.transitions(since);
        all.iter().filter(|it| it.endpoint == endpoint && it.to == to).count()
    }

    /// How many breakers of these are closed.
    pub(super) fn closed(&self, endpoints: &[SocketAddr]) -> Result<usize> {
        let names: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        let breakers = self.daemon.status()?.breakers;
        let of_these = breakers.iter().filter(|breaker| names.contains(&breaker.endpoint));
        Ok(of_these.filter(|breaker| breaker.state == "closed").count())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.chronicle.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Chronicle {
    fn write(&self, events: &Events) {
        // Ends with the daemon, too.
        while let Ok(event) = events.next_within(STEP) {
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            let mut written = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend(event.map(|event| (now(), event)));
        }
    }
}

/// A policy file: lines of `[node]`, the cgroups of the only caller, and services.
pub(super) fn policy(node: &str, cgroups: &[&str], services: &[Service<'_>]) -> String {
    let callers = format!("[node]\n{node}\n[[caller]]\nname = \"app\"\ncgroups = {cgroups:?}\n");
    services.iter().fold(callers, |text, service| text + &service.lines())
}

impl Service<'_> {
    fn lines(&self) -> String {
        let Service { name, more, rules, .. } = self;
        let endpoints: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        // Faults last for seconds here, and so does what is refused after their end: a far greater share
        // than on any node.
        format!(
            "[[service]]\nname = \"{name}\"\nendpoints = {endpoints:?}\n{more}\n\
             [[policy]]\ncaller = \"app\"\nservice = \"{name}\"\nmode = \"enforce\"\n\
             open.errno = \"EHOSTUNREACH\"\nsafety.false_refusals = 0\n{rules}\n"
        )
    }
}

const STEP: Duration = Duration::from_millis(50);
