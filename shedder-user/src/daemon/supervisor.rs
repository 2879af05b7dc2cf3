//! What systemd is told, where it started the daemon: that it guards, that it is alive, that it stops.
//!
//! Invariant: alive is told only by looking at the evidence, so that a loop that is stuck is ended and
//! started again. Telling never waits.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use shedder_common::time::Monotonic;
use tracing::warn;

/// What watches over the daemon.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// How often it wants to hear that the daemon is alive.
    period: Option<Duration>,
    heard: Monotonic,
}

impl Supervisor {
    /// As the environment says.
    pub(super) fn find() -> Self {
        // Twice in the time it waits, as its documentation asks for, and once more.
        let period = watchdog_enabled().map(|patience| patience / 3);
        Self { period, heard: Monotonic::default() }
    }

    /// The evidence was looked at.
    pub(super) fn alive(&mut self, now: Monotonic) {
        if self.period.is_some_and(|period| now.since(self.heard) >= period) {
            self.heard = now;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Everything is attached.
pub(super) fn ready(cgroups: usize, endpoints: usize) {
    let status = format!("cgroups guarded: {cgroups}, endpoints: {endpoints}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The daemon detaches, or leaves what is pinned.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        warn!(%error, "systemd cannot be told");
    }
}
