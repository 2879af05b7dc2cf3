//! What came of a scenario, as numbers.
//!
//! Invariant: a contract for programs; fields are only added. Times are whole milliseconds.

use serde::Serialize;
use shedder_common::time::Monotonic;

use super::record::{Record, Second, milliseconds};
use super::scenario::{Fault, Scenario};
use crate::engine::{Change, State};

mod bounds;

pub use self::bounds::Bound;

/// A scenario and what came of it, under one policy or several.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// What it is about.
    pub summary: String,
    /// Where chance came from.
    pub seed: u64,
    /// How long it lasted.
    pub duration_ms: u64,
    /// In the order asked for.
    pub policies: Vec<PolicyReport>,
}

/// What came of a scenario under one policy.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyReport {
    /// The policy.
    pub policy: String,
    /// Calls that ended.
    pub calls: u64,
    /// The share of them that succeeded.
    pub success: Success,
    /// Connects, and requests on kept connections.
    pub tries: u64,
    /// Tries that were shed.
    pub shed: u64,
    /// Of those, how many would have been served.
    pub false_refusals: u64,
    /// Tries let through to an endpoint at fault that failed or were slow.
    pub leaked: u64,
    /// Breakers that opened, probes that failed not counted.
    pub opens: u64,
    /// Breakers that throttled.
    pub throttles: u64,
    /// Breakers that opened again after probing.
    pub failed_probes: u64,
    /// Trips of a breaker beyond one for each fault.
    pub flaps: u64,
    /// Breakers that opened, for whatever reason, after the last fault had ended.
    pub opens_after_end: u64,
    /// Calls under way, most at once.
    pub most_in_flight: u64,
    /// What came of each fault, in order of their beginning.
    pub faults: Vec<FaultReport>,
    /// The share of calls that succeeded, for each service.
    pub services: Vec<(String, Option<f64>)>,
    /// For each breaker: caller and endpoint, connects shed, and how many of them wrongly.
    pub breakers: Vec<(String, u64, u64)>,
    /// Every change of state.
    pub transitions: Vec<TransitionReport>,
    /// What else was told: when, and what.
    pub notices: Vec<(u64, String)>,
    #[serde(skip)]
    pub(super) timeline: Timeline,
}

/// Shares of calls that succeeded; nothing where there were none.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Success {
    /// In all.
    pub whole: Option<f64>,
    /// Before the first fault.
    pub before: Option<f64>,
    /// While any fault lasted.
    pub during: Option<f64>,
    /// After the last fault, and between faults.
    pub after: Option<f64>,
}

/// What came of one fault.
#[derive(Clone, Debug, Serialize)]
pub struct FaultReport {
    /// The fault.
    pub fault: String,
    /// When it began.
    pub from_ms: u64,
    /// When it ended.
    pub to_ms: u64,
    /// From then to the first connect shed; nothing when none was.
    pub first_shed_ms: Option<u64>,
    /// From then to the first trip; nothing when there was none while it lasted.
    pub detected_ms: Option<u64>,
    /// The rule that tripped.
    pub detected_by: Option<String>,
    /// Tries let through that failed or were slow, until the first connect was shed.
    pub leaked_before_shed: u64,
    /// And after.
    pub leaked_after_shed: u64,
    /// From its end until at least 99.2 % of the calls of ten seconds succeeded.
    pub recovered_ms: Option<u64>,
    /// From its end until every breaker concerned was closed.
    pub admitted_ms: Option<u64>,
}

/// One change of state.
#[derive(Clone, Debug, Serialize)]
pub struct TransitionReport {
    /// When.
    pub at_ms: u64,
    /// Whose breaker.
    pub caller: String,
    /// For which endpoint.
    pub endpoint: String,
    /// From this state.
    pub from: &'static str,
    /// To this one.
    pub to: &'static str,
    /// Why, and what comes next.
    pub why: String,
}

/// What a picture is drawn from.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    pub(super) seconds: Vec<Second>,
    /// Name and states of each breaker.
    pub(super) lanes: Vec<(String, Vec<(Monotonic, State)>)>,
}

impl PolicyReport {
    /// Compares with what the scenario expects.
    pub fn bounds(&self, scenario: &Scenario) -> Vec<Bound> {
        bounds::check(scenario, self)
    }
}

/// Makes the report of one policy.
pub(super) fn policy(scenario: &Scenario, name: &str, record: &Record) -> PolicyReport {
    let seconds = total(&record.seconds);
    let whole = sum(&seconds);
    let changes = || record.transitions.iter().map(|(_, change)| change);
    let count = |is_meant: fn(&Change) -> bool| {
        u64::try_from(changes().filter(|change| is_meant(change)).count()).unwrap_or(u64::MAX)
    };
    let end = scenario.faults.iter().map(|fault| fault.to).max();
    let after_end = changes()
        .filter(|change| change.to == State::Open && end.is_some_and(|end| change.at >= end));
    let of_service = |service: usize| {
        let flows = scenario.flows.iter().zip(&record.seconds);
        let mut all = Second::default();
        for (_, seconds) in flows.filter(|(flow, _)| flow.service == service) {
            all.add(&sum(seconds));
        }
        share(&all)
    };
    PolicyReport {
        policy: name.to_owned(),
        calls: whole.calls(),
        success: success(scenario, &seconds),
        tries: whole.tries,
        shed: whole.tries_shed,
        false_refusals: record.cells.iter().map(|cell| cell.falsely).sum(),
        leaked: record.leaked,
        opens: count(|change| change.to == State::Open && change.from != State::HalfOpen),
        throttles: count(|change| change.to == State::Throttled),
        failed_probes: count(|change| change.to == State::Open && change.from == State::HalfOpen),
        flaps: flaps(scenario, record),
        opens_after_end: u64::try_from(after_end.count()).unwrap_or(u64::MAX),
        most_in_flight: record.most_in_flight,
        faults: (0..scenario.faults.len()).map(|fault| of_fault(scenario, record, fault)).collect(),
        services: scenario
            .services
            .iter()
            .enumerate()
            .map(|(index, service)| (service.name.clone(), of_service(index)))
            .collect(),
        breakers: (0..)
            .zip(&record.cells)
            .map(|(index, cell)| (cell_name(scenario, index), cell.shed, cell.falsely))
            .collect(),
        transitions: record
            .transitions
            .iter()
            .map(|(cell, change)| transition(scenario, *cell, change))
            .collect(),
        notices: record.notices.iter().map(|(at, text)| (since_start(*at), text.clone())).collect(),
        timeline: Timeline {
            lanes: (0..)
                .zip(&record.cells)
                .map(|(index, cell)| (cell_name(scenario, index), cell.states.clone()))
                .collect(),
            seconds,
        },
    }
}

fn of_fault(scenario: &Scenario, record: &Record, index: usize) -> FaultReport {
    let (fault, seen) = (&scenario.faults[index], &record.faults[index]);
    let since = |at: Monotonic| milliseconds(at.since(fault.from));
    let trip = record.transitions.iter().find(|(cell, change)| {
        matches!(change.to, State::Open | State::Throttled)
            && change.at >= fault.from
            && change.at <= fault.to
            && scenario.affects(fault, *cell)
    });
    FaultReport {
        fault: fault.name.clone(),
        from_ms: since_start(fault.from),
        to_ms: since_start(fault.to),
        first_shed_ms: seen.first_shed.map(since),
        detected_ms: trip.map(|(_, change)| since(change.at)),
        detected_by: trip.map(|(_, change)| change.cause.name().to_owned()),
        leaked_before_shed: seen.leaked_before,
        leaked_after_shed: seen.leaked_after,
        recovered_ms: recovered(scenario, record, fault),
        admitted_ms: seen.first_shed.and_then(|_| admitted(scenario, record, fault)),
    }
}

/// From the end of a fault until enough calls of those concerned succeeded.
fn recovered(scenario: &Scenario, record: &Record, fault: &Fault) -> Option<u64> {
    let mut concerned = Vec::new();
    for (flow, seconds) in scenario.flows.iter().zip(&record.seconds) {
        let mut endpoints = scenario.services[flow.service].endpoints.iter();
        if endpoints.any(|endpoint| fault.concerns(flow.caller, *endpoint)) {
            concerned.push(seconds.clone());
        }
    }
    let seconds = total(&concerned);
    let end = since_start(fault.to);
    let first = usize::try_from(end.div_ceil(1000)).ok()?;
    let found =
        (first..).zip(seconds.get(first..)?.windows(RECOVERY_SECONDS)).find(|(_, window)| {
            let calls = sum(window);
            share(&calls).is_some_and(|share| share >= RECOVERED)
        });
    found.map(|(second, _)| (u64::try_from(second).unwrap_or(u64::MAX) * 1000).saturating_sub(end))
}

/// From the end of a fault until every breaker concerned is closed.
fn admitted(scenario: &Scenario, record: &Record, fault: &Fault) -> Option<u64> {
    let concerned = || (0..).zip(&record.cells).filter(|(cell, _)| scenario.affects(fault, *cell));
    let mut moments: Vec<Monotonic> = concerned()
        .flat_map(|(_, cell)| cell.states.iter().map(|(at, _)| *at))
        .filter(|at| *at > fault.to)
        .collect();
    moments.push(fault.to);
    moments.sort_unstable();
    let all_closed = |moment: &Monotonic| {
        concerned().all(|(_, cell)| {
            let state = cell.states.iter().rev().find(|(at, _)| at <= moment);
            state.is_none_or(|(_, state)| *state == State::Closed)
        })
    };
    let moment = moments.iter().find(|moment| all_closed(moment))?;
    Some(milliseconds(moment.since(fault.to)))
}

fn flaps(scenario: &Scenario, record: &Record) -> u64 {
    let extra = |cell: usize| {
        let is_trip = |change: &Change| {
            matches!(change.to, State::Open | State::Throttled)
                && matches!(change.from, State::Closed | State::Recovering)
        };
        let own = record.transitions.iter().filter(|(other, _)| *other == cell);
        let trips = own.filter(|(_, change)| is_trip(change)).count();
        let faults = scenario.faults.iter().filter(|fault| scenario.affects(fault, cell)).count();
        u64::try_from(trips.saturating_sub(faults.max(1))).unwrap_or(u64::MAX)
    };
    (0..scenario.cells.len()).map(extra).sum()
}

fn success(scenario: &Scenario, seconds: &[Second]) -> Success {
    let first = scenario.faults.iter().map(|fault| fault.from).min();
    let [mut before, mut during, mut after] = [Second::default(); 3];
    for (second, calls) in (0..).zip(seconds) {
        let begins = Monotonic::from_nanos(second * 1_000_000_000);
        let ends = Monotonic::from_nanos((second + 1) * 1_000_000_000);
        let is_during = scenario.faults.iter().any(|fault| fault.from < ends && begins < fault.to);
        let phase = if is_during {
            &mut during
        } else if first.is_none_or(|first| begins < first) {
            &mut before
        } else {
            &mut after
        };
        phase.add(calls);
    }
    Success {
        whole: share(&sum(seconds)),
        before: share(&before),
        during: share(&during),
        after: share(&after),
    }
}

fn transition(scenario: &Scenario, cell: usize, change: &Change) -> TransitionReport {
    let cell = scenario.cells[cell];
    TransitionReport {
        at_ms: since_start(change.at),
        caller: scenario.callers[cell.caller].name.clone(),
        endpoint: scenario.endpoints[cell.endpoint].name.clone(),
        from: change.from.name(),
        to: change.to.name(),
        why: change.to_string(),
    }
}

pub(super) fn cell_name(scenario: &Scenario, cell: usize) -> String {
    let cell = scenario.cells[cell];
    format!("{}/{}", scenario.callers[cell.caller].name, scenario.endpoints[cell.endpoint].name)
}

/// The flows added up, second by second.
fn total(flows: &[Vec<Second>]) -> Vec<Second> {
    let mut total = vec![Second::default(); flows.first().map_or(0, Vec::len)];
    for flow in flows {
        for (sum, second) in total.iter_mut().zip(flow) {
            sum.add(second);
        }
    }
    total
}

fn sum(seconds: &[Second]) -> Second {
    let mut sum = Second::default();
    for second in seconds {
        sum.add(second);
    }
    sum
}

/// The share of calls that succeeded, to six digits.
pub(super) fn share(calls: &Second) -> Option<f64> {
    if calls.calls() == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let share = calls.served as f64 / calls.calls() as f64;
    Some((share * 1e6).floor() / 1e6)
}

fn since_start(at: Monotonic) -> u64 {
    milliseconds(at.since(Monotonic::default()))
}

/// From this share on calls succeed again.
const RECOVERED: f64 = 0.992;
const RECOVERY_SECONDS: usize = 10;
