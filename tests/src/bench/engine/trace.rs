//! What happens to the callers of one endpoint, and whether the endpoint was at fault.
//!
//! Invariant: a trace is made from its seed alone, before anyone plays it, so everyone is asked the
//! same.

use std::time::Duration;

use super::policy::SLOW;
use crate::chance::Chance;

/// What a trace is made from. Times are in seconds from its beginning.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Calls a second.
    rate: u32,
    /// Calls that come at once.
    burst: u32,
    /// From when to when the endpoint is at fault.
    faults: &'static [(u64, u64)],
    well: Behaviour,
    at_fault: Behaviour,
}

/// How an endpoint answers.
#[derive(Clone, Copy, Debug)]
struct Behaviour {
    errors_permille: u64,
    /// Of answers, give or take half.
    answer: Duration,
    /// Of errors, give or take half.
    error: Duration,
}

/// One call: what comes of it if it is let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// When it is made, from the beginning.
    pub(super) at_ns: u64,
    pub(super) latency_ns: u64,
    pub(super) is_ok: bool,
    /// Whether the endpoint is at fault at this moment.
    pub(super) is_at_fault: bool,
}

/// A scenario, played out.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) scenario: &'static Scenario,
    /// In the order in which they are made.
    pub(super) calls: Vec<Call>,
}

impl Trace {
    pub(super) fn of(scenario: &'static Scenario, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let batches = u64::from(scenario.rate / scenario.burst) * SECONDS;
        let gap = SECONDS * SECOND_NS / batches;
        let mut calls = Vec::new();
        for batch in 0..batches {
            let at_ns = batch * gap + chance.below(gap / 2);
            for _ in 0..scenario.burst {
                calls.push(scenario.call(at_ns, &mut chance));
            }
        }
        Self { scenario, calls }
    }
}

impl Scenario {
    /// When the endpoint is at fault for the first time.
    pub(super) fn first_fault_ns(&self) -> Option<u64> {
        self.faults.first().map(|(from, _)| from * SECOND_NS)
    }

    /// Whether the endpoint is at fault.
    pub(super) fn is_at_fault(&self, at_ns: u64) -> bool {
        let second = at_ns / SECOND_NS;
        self.faults.iter().any(|(from, to)| (*from..*to).contains(&second))
    }

    /// Whether it is at fault again and again.
    pub(super) const fn is_flapping(&self) -> bool {
        self.faults.len() > 1
    }

    /// Whether callers come all at once.
    pub(super) const fn has_bursts(&self) -> bool {
        self.burst > 1
    }

    fn call(&self, at_ns: u64, chance: &mut Chance) -> Call {
        let is_at_fault = self.is_at_fault(at_ns);
        let behaviour = if is_at_fault { self.at_fault } else { self.well };
        let is_ok = chance.below(1000) >= behaviour.errors_permille;
        let usual = if is_ok { behaviour.answer } else { behaviour.error };
        let usual_ns = u64::try_from(usual.as_nanos()).unwrap_or(u64::MAX);
        Call { at_ns, latency_ns: usual_ns / 2 + chance.below(usual_ns), is_ok, is_at_fault }
    }
}

impl Call {
    /// Whether nobody would have wanted it.
    pub(super) fn is_bad(&self) -> bool {
        !self.is_ok || Duration::from_nanos(self.latency_ns) > SLOW
    }
}

const fn answers(milliseconds: u64) -> Behaviour {
    Behaviour {
        errors_permille: 0,
        answer: Duration::from_millis(milliseconds),
        error: Duration::from_millis(milliseconds),
    }
}

const fn errors(permille: u64, milliseconds: u64) -> Behaviour {
    Behaviour { errors_permille: permille, ..answers(milliseconds) }
}

const fn fault(
    name: &'static str,
    rate: u32,
    faults: &'static [(u64, u64)],
    at_fault: Behaviour,
) -> Scenario {
    Scenario { name, rate, burst: 1, faults, well: answers(20), at_fault }
}

const fn noise(name: &'static str, rate: u32, well: Behaviour) -> Scenario {
    Scenario { name, rate, burst: 1, faults: &[], well, at_fault: well }
}

/// All of them.
pub(super) static SCENARIOS: [Scenario; 10] = [
    fault("refuses at once, 40 s", 100, &[(20, 60)], errors(1000, 1)),
    fault("80 % errors, 40 s", 100, &[(20, 60)], errors(800, 20)),
    fault("40 % errors, all after 2 s, 40 s", 100, &[(20, 60)], errors(400, 2000)),
    fault("answers after 1 s, no errors, 40 s", 100, &[(20, 60)], answers(1000)),
    noise("5 % errors by chance, well", 100, errors(50, 20)),
    noise("10 % errors by chance, 1000/s, well", 1000, errors(100, 20)),
    fault(
        "flaps: 5 s down, 5 s up, six times",
        100,
        &[(20, 25), (30, 35), (40, 45), (50, 55), (60, 65), (70, 75)],
        errors(1000, 1),
    ),
    fault("dies for 60 s, one call a second", 1, &[(20, 80)], errors(1000, 20)),
    fault("refuses for 10 s, then is well", 100, &[(20, 30)], errors(1000, 1)),
    Scenario {
        name: "64 callers at once, dead for 40 s",
        rate: 256,
        burst: 64,
        faults: &[(20, 60)],
        well: answers(50),
        at_fault: errors(1000, 200),
    },
];

/// How long each trace is.
const SECONDS: u64 = 120;
const SECOND_NS: u64 = 1_000_000_000;
