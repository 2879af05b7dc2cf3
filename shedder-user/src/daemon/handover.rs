//! From one daemon to the next: what is kept of breakers for it, and how it goes on with them.
//!
//! Invariant: what is kept is at most as old as the last thing the kernel was told, however the daemon
//! ends; an endpoint whose owner cannot be found is let through after [`GRACE`].

use std::time::Duration;

use shedder_common::breaker::BreakerRow;
use shedder_common::endpoint::EndpointKey;
use shedder_common::time::Monotonic;

use super::cells::{Cell, caller_id};
use super::{Daemon, fnv};
use crate::config::Config;
use crate::engine::{CellId, Engine, State};
use crate::kernel::{Kernel, Left};

/// What is to be kept for the next daemon.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// Whether anything outlives this one.
    pub(super) is_wanted: bool,
    /// Cells that may have something new to keep.
    touched: Vec<CellId>,
    /// Until when endpoints of an earlier daemon may wait for their owners.
    wait_until: Option<Monotonic>,
}

impl Handover {
    /// `has_left`: whether an earlier daemon has left breakers.
    pub(super) fn new(is_wanted: bool, has_left: bool, now: Monotonic) -> Self {
        let wait_until = has_left.then(|| now.plus(GRACE));
        Self { is_wanted, touched: Vec::new(), wait_until }
    }

    /// Something may have changed about a breaker.
    pub(super) fn touch(&mut self, cell: CellId) {
        if self.is_wanted {
            self.touched.push(cell);
        }
    }
}

impl Daemon {
    /// Keeps what has changed.
    pub(super) fn hand_on(&mut self) {
        let Self { handover, cells, kernel, engine, config, .. } = self;
        for id in handover.touched.drain(..) {
            if let Some(cell) = cells.by_id(id) {
                keep(kernel, engine, config, cell);
            }
        }
    }

    /// Keeps everything, because the daemon stops.
    pub(super) fn hand_on_all(&mut self) {
        let Self { handover, cells, kernel, engine, config, .. } = self;
        for cell in cells.iter().filter(|_| handover.is_wanted) {
            keep(kernel, engine, config, cell);
        }
    }

    /// Goes on with the breakers of endpoints that an earlier daemon met in a network of the policy.
    /// Others of a caller and service that the policy still has wait for a name to be looked up, or for
    /// [`GRACE`] to pass. What is left then is let go of at once: its caller's number is another's now.
    pub(super) fn take_left(&mut self, now: Monotonic) {
        for (key, row) in self.kernel.left() {
            let is_ours = self.config.bindings.iter().any(|binding| {
                caller_id(binding.caller) == key.caller
                    && names(&self.config, binding.caller, binding.service) == row.names
            });
            if !is_ours {
                self.let_go(&key, now);
            } else if key.network == 0 {
                self.discover(key, 0);
            }
        }
    }

    /// Says what becomes of what an earlier daemon has left.
    pub(super) fn tell_of_earlier(&mut self, left: &Left) {
        match left {
            Left::Nothing => {}
            Left::Taken => {
                let states = self.cells.iter().filter_map(|cell| self.engine.state(cell.id));
                let not_closed = states.filter(|state| *state != State::Closed).count();
                self.journal.takes_over(self.cells.len(), not_closed);
            }
            Left::Refused { why, links } => self.journal.error(&format!(
                "everything an earlier shedder knew is forgotten, and its {links} links are removed: {why}"
            )),
        }
    }

    /// Lets go of endpoints of an earlier daemon that nobody has asked for.
    pub(super) fn drop_left(&mut self, now: Monotonic) {
        if self.handover.wait_until.is_none_or(|until| now < until) {
            return;
        }
        self.handover.wait_until = None;
        for (key, _) in self.kernel.left() {
            self.let_go(&key, now);
        }
    }

    fn let_go(&mut self, key: &EndpointKey, now: Monotonic) {
        if let Err(error) = self.kernel.remove_slot(key, now) {
            let endpoint = key.endpoint().map_or_else(String::new, |it| it.to_string());
            self.journal.error(&format!("{endpoint} keeps an earlier daemon's slot: {error}"));
        }
    }
}

fn keep(kernel: &mut Kernel, engine: &Engine, config: &Config, cell: &Cell) {
    let Some(row) = engine.hand_on(cell.id) else { return };
    let row = BreakerRow {
        key: cell.key,
        names: names(config, cell.caller, cell.service),
        tripped_ns: cell.tripped.map_or(0, Monotonic::as_nanos),
        tokens_before: cell.tokens_before,
        ..row
    };
    kernel.keep(cell.slot, &row);
}

/// Stands for a caller and a service, by their names, in every daemon there will be.
pub(super) fn names(config: &Config, caller: usize, service: usize) -> u64 {
    let (caller, service) = (&config.callers[caller].name, &config.services[service].name);
    fnv::hash(caller.bytes().chain([0]).chain(service.bytes()))
}

/// Longer than looking up a name takes.
const GRACE: Duration = Duration::from_secs(30);
