//! Which services are in use, and which of them have gone bad: most of them at once is the node's own
//! fault.

use std::collections::BTreeMap;
use std::time::Duration;

use shedder_common::time::Monotonic;

/// Every service of the node.
#[derive(Debug, Default)]
pub(super) struct Services(BTreeMap<u32, Service>);

#[derive(Debug, Default)]
struct Service {
    traffic: Option<Monotonic>,
    bad: Option<Monotonic>,
}

/// How many services are bad, of those in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct BadServices {
    pub(super) bad: usize,
    pub(super) active: usize,
}

impl Services {
    pub(super) fn insert(&mut self, service: u32) {
        self.0.entry(service).or_default();
    }

    pub(super) fn retain(&mut self, is_wanted: impl Fn(u32) -> bool) {
        self.0.retain(|service, _| is_wanted(*service));
    }

    /// It has answered, or failed to; whether it was not in use before.
    pub(super) fn note_traffic(&mut self, service: u32, now: Monotonic) -> bool {
        let Some(service) = self.0.get_mut(&service) else { return false };
        let before = service.traffic.replace(now);
        !is_recent(before, now)
    }

    /// A rule about it holds.
    pub(super) fn note_bad(&mut self, service: u32, now: Monotonic) {
        if let Some(service) = self.0.get_mut(&service) {
            service.bad = Some(now);
        }
    }

    /// How many have gone bad lately.
    pub(super) fn bad(&self, now: Monotonic) -> BadServices {
        let active = || self.0.values().filter(|service| is_recent(service.traffic, now));
        BadServices {
            bad: active().filter(|service| is_recent(service.bad, now)).count(),
            active: active().count(),
        }
    }

    /// How many would be bad if `service` went bad besides those that are.
    pub(super) fn bad_with(&self, bad: BadServices, service: u32, now: Monotonic) -> BadServices {
        let seen = self.0.get(&service);
        let is_active = seen.is_some_and(|service| is_recent(service.traffic, now));
        let is_bad = is_active && seen.is_some_and(|service| is_recent(service.bad, now));
        BadServices {
            bad: bad.bad + usize::from(!is_bad),
            active: bad.active + usize::from(!is_active),
        }
    }
}

impl BadServices {
    /// Whether they are so large a share, in thousandths, of enough services that it is no accident.
    pub(super) fn are_suspect(self, permille: u16) -> bool {
        self.active >= MIN_SERVICES && self.bad * 1000 >= self.active * usize::from(permille)
    }
}

/// Whether it was so short a time ago that it happens at once with what happens now.
fn is_recent(at: Option<Monotonic>, now: Monotonic) -> bool {
    at.is_some_and(|at| now.since(at) <= AT_ONCE)
}

/// Services that go bad within this time go bad at once.
const AT_ONCE: Duration = Duration::from_secs(10);
/// With fewer services than this there is no telling whose fault it is.
const MIN_SERVICES: usize = 3;
