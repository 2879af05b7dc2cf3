//! Which services are in use, and which of them have gone bad: most of them at once is the node's own
//! fault.
//!
//! Invariant: what one caller alone finds bad never suffices to make the node suspect to another, where
//! more than one service is needed for that.

use std::collections::BTreeMap;
use std::time::Duration;

use shedder_common::time::Monotonic;

/// Every service of the node.
#[derive(Debug, Default)]
pub(super) struct Services(BTreeMap<u32, Service>);

#[derive(Debug, Default)]
struct Service {
    traffic: Option<Monotonic>,
    /// When a rule about it held last, by caller.
    bad: BTreeMap<u32, Monotonic>,
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

    /// What callers that are gone have found.
    pub(super) fn retain_callers(&mut self, is_wanted: impl Fn(u32) -> bool) {
        for service in self.0.values_mut() {
            service.bad.retain(|caller, _| is_wanted(*caller));
        }
    }

    /// It has answered, or failed to; whether it was not in use before.
    pub(super) fn note_traffic(&mut self, service: u32, now: Monotonic) -> bool {
        let Some(service) = self.0.get_mut(&service) else { return false };
        let before = service.traffic.replace(now);
        !is_recent(before, now)
    }

    /// A rule about it holds for a caller.
    pub(super) fn note_bad(&mut self, service: u32, caller: u32, now: Monotonic) {
        if let Some(service) = self.0.get_mut(&service) {
            service.bad.insert(caller, now);
        }
    }

    /// How many have gone bad lately, whoever says so.
    pub(super) fn bad(&self, now: Monotonic) -> BadServices {
        let active = || self.0.values().filter(|service| is_recent(service.traffic, now));
        let bad = active().filter(|service| service.bad.values().any(|at| is_at_once(*at, now)));
        BadServices { bad: bad.count(), active: active().count() }
    }

    /// As [`Services::bad`], in the eyes of one caller: of those that another one alone finds bad, no more
    /// than half of what makes suspicious. `besides` is bad for the caller in any case.
    pub(super) fn bad_for(
        &self,
        caller: u32,
        besides: Option<u32>,
        permille: u16,
        now: Monotonic,
    ) -> BadServices {
        let is_besides = |number: u32| besides == Some(number);
        let active: Vec<(u32, &Service)> = self
            .0
            .iter()
            .filter(|(number, service)| is_besides(**number) || is_recent(service.traffic, now))
            .map(|(number, service)| (*number, service))
            .collect();
        let enough = (active.len() * usize::from(permille)).div_ceil(1000);
        let most_of_one = (enough / 2).max(1);
        let mut bad = 0;
        let mut counted: BTreeMap<u32, usize> = BTreeMap::new();
        for (number, service) in &active {
            let mut by = service.bad.iter().filter(|(_, at)| is_at_once(**at, now)).map(|it| *it.0);
            if is_besides(*number) || by.clone().any(|it| it == caller) {
                bad += 1;
            } else if let Some(other) =
                by.find(|it| counted.get(it).is_none_or(|count| *count < most_of_one))
            {
                *counted.entry(other).or_default() += 1;
                bad += 1;
            }
        }
        BadServices { bad, active: active.len() }
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
    at.is_some_and(|at| is_at_once(at, now))
}

fn is_at_once(at: Monotonic, now: Monotonic) -> bool {
    now.since(at) <= AT_ONCE
}

/// Services that go bad within this time go bad at once.
const AT_ONCE: Duration = Duration::from_secs(10);
/// With fewer services than this there is no telling whose fault it is.
const MIN_SERVICES: usize = 3;
