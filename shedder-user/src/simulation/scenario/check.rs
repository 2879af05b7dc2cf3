//! From the shape of the file to a scenario whose parts fit together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize as _;
use shedder_common::time::Monotonic;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::file::{self, File};
use super::value::{at_least_one, found, one_of, or_between, share, unique};
use super::{
    Arrivals, Caller, Cell, Choose, Endpoint, Expect, Fault, Flow, Network, Scenario, Service,
    Trouble,
};
use crate::config::{At, Complaint, Config, Text, Time};

pub(super) fn scenario(name: &str, text: &str) -> Result<Scenario, Complaint> {
    let mut document = DeTable::parse(text)?;
    let config = Config::from_tables(document.get_mut(), text)?;
    let file = File::deserialize(Deserializer::from(document))?;
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
    let duration = file.duration.between("duration", SECOND, DAY)?;
    let mut scenario = Scenario {
        name: file.name.as_ref().map_or_else(|| stem.into_owned(), |name| name.value.clone()),
        summary: file.summary.map(|summary| summary.value).unwrap_or_default(),
        seed: file.seed.map_or(1, |seed| seed.value),
        duration,
        policy: Arc::clone(&config.bindings[0].policy),
        node: config.node,
        network: network(&file.network)?,
        services: Vec::new(),
        endpoints: Vec::new(),
        callers: Vec::new(),
        flows: Vec::new(),
        cells: Vec::new(),
        faults: Vec::new(),
        expect: Expect::default(),
    };
    unique("service", file.service.iter().map(|service| &service.name))?;
    unique("endpoint", file.service.iter().flat_map(|service| &service.endpoints))?;
    unique("caller", file.caller.iter().map(|caller| &caller.name))?;
    if file.service.is_empty() || file.caller.is_empty() {
        return Err(Complaint::whole(
            "a scenario needs at least one [[service]] and one [[caller]]",
        ));
    }
    for service in &file.service {
        add_service(&mut scenario, service)?;
    }
    for caller in &file.caller {
        add_caller(&mut scenario, caller)?;
    }
    for fault in &file.fault {
        let fault = self::fault(&scenario, fault)?;
        scenario.faults.push(fault);
    }
    scenario.faults.sort_by_key(|fault| fault.from);
    scenario.expect = expect(&scenario, file.expect)?;
    Ok(scenario)
}

fn network(file: &file::Network) -> Result<Network, Complaint> {
    Ok(Network {
        rtt: or_between("network.rtt", file.rtt.as_ref(), Duration::from_micros(500), MINUTE)?,
        loss: share("network.loss", file.loss.as_ref(), 0.0)?,
    })
}

fn add_service(scenario: &mut Scenario, file: &file::Service) -> Result<(), Complaint> {
    if file.endpoints.is_empty() {
        let message = format!("service {:?} has no endpoints", &file.name.value);
        return Err(file.name.complaint(message));
    }
    let first = scenario.endpoints.len();
    let response = or_between("response", file.response.as_ref(), DEFAULT_RESPONSE, HOUR)?;
    let workers = at_least_one("workers", file.workers.as_ref())?;
    for name in &file.endpoints {
        let name = name.value.clone();
        scenario.endpoints.push(Endpoint { name, response, workers });
    }
    let endpoints = (first..scenario.endpoints.len()).collect();
    scenario.services.push(Service { name: file.name.value.clone(), endpoints });
    Ok(())
}

fn add_caller(scenario: &mut Scenario, file: &file::Caller) -> Result<(), Complaint> {
    let choose = one_of(
        "choose",
        file.choose.as_ref(),
        &[
            ("round_robin", Choose::RoundRobin),
            ("random", Choose::Random),
            ("first", Choose::First),
        ],
    )?;
    let timeout = or_between("timeout", file.timeout.as_ref(), SECOND, HOUR)?;
    let caller = scenario.callers.len();
    scenario.callers.push(Caller {
        name: file.name.value.clone(),
        arrivals: arrivals(file)?,
        concurrency: at_least_one("concurrency", file.concurrency.as_ref())?,
        choose,
        timeout,
        slow_after: or_between("slow_after", file.slow_after.as_ref(), timeout, HOUR)?,
        retries: file.retries.as_ref().map_or(0, |retries| retries.value.min(100)),
        retry_after: or_between("retry_after", file.retry_after.as_ref(), DEFAULT_RETRY, HOUR)?,
        turns: at_least_one("turns", file.turns.as_ref())?.unwrap_or(1),
    });
    let names: Vec<&str> = scenario.services.iter().map(|service| service.name.as_str()).collect();
    let called = match &file.services {
        None => (0..names.len()).collect(),
        Some(called) => found("service", called, &names)?,
    };
    for service in called {
        scenario.flows.push(Flow { caller, service });
        for &endpoint in &scenario.services[service].endpoints {
            scenario.cells.push(Cell { caller, endpoint, service });
        }
    }
    Ok(())
}

fn arrivals(file: &file::Caller) -> Result<Arrivals, Complaint> {
    let mut rates = vec![(Monotonic::default(), rate(file.rate.as_ref())?)];
    for change in &file.rates {
        let at = Monotonic::default().plus(change.at.duration());
        if rates.last().is_some_and(|(before, _)| *before > at) {
            return Err(change.at.complaint("rates are given in order of time"));
        }
        rates.push((at, rate(Some(&change.rate))?));
    }
    let mut calls = Vec::new();
    for call in &file.calls {
        calls.push(Monotonic::default().plus(call.duration()));
    }
    calls.sort_unstable();
    if calls.is_empty() && rates.iter().all(|(_, rate)| *rate <= 0.0) {
        let message =
            format!("caller {:?} never calls: set rate, rates or calls", &file.name.value);
        return Err(file.name.complaint(message));
    }
    let evenly = one_of("arrivals", file.arrivals.as_ref(), &[("poisson", false), ("even", true)])?;
    Ok(Arrivals { rates, evenly, calls })
}

fn rate(rate: Option<&At<f64>>) -> Result<f64, Complaint> {
    let Some(rate) = rate else { return Ok(0.0) };
    let value = rate.value;
    if (0.0..=MAX_RATE).contains(&value) {
        return Ok(value);
    }
    Err(rate.complaint(format!("rate is {value}, outside 0 to {MAX_RATE} calls a second")))
}

fn fault(scenario: &Scenario, spanned: &Spanned<file::Fault>) -> Result<Fault, Complaint> {
    let file = spanned.get_ref();
    let (trouble, takes) = trouble(file)?;
    let without = |key: &str| format!("a fault of kind {:?} has no {key}", &file.kind.value);
    if let Some(share) = file.share.as_ref().filter(|_| !takes.share) {
        return Err(share.complaint(without("share")));
    }
    if let Some(by) = file.by.as_ref().filter(|_| !takes.by) {
        return Err(by.complaint(without("by")));
    }
    let from = Monotonic::default().plus(file.from.duration());
    let to = Monotonic::default().plus(file.to.duration());
    if to <= from || from >= scenario.end() {
        let message = "a fault ends after it begins and begins before the scenario ends";
        return Err(file.to.complaint(message));
    }
    let pulse = match (&file.every, &file.lasts) {
        (None, None) => None,
        (Some(every), Some(lasts)) => {
            let (period, length) = (every.duration(), lasts.duration());
            if length.is_zero() || length >= period {
                return Err(lasts.complaint("lasts is less than every, and not zero"));
            }
            Some((period, length))
        }
        (Some(one), None) | (None, Some(one)) => {
            return Err(one.complaint("every and lasts are given together or not at all"));
        }
    };
    let endpoints: Vec<&str> = scenario.endpoints.iter().map(|it| it.name.as_str()).collect();
    let callers: Vec<&str> = scenario.callers.iter().map(|it| it.name.as_str()).collect();
    let some_of = |kind, wanted: &Option<Vec<Text>>, names: &[&str]| match wanted {
        None => Ok((0..names.len()).collect()),
        Some(wanted) => found(kind, wanted, names),
    };
    Ok(Fault {
        name: file.name.as_ref().unwrap_or(&file.kind).value.clone(),
        trouble,
        share: share("share", file.share.as_ref(), 1.0)?,
        from,
        to,
        pulse,
        endpoints: some_of("endpoint", &file.endpoints, &endpoints)?,
        callers: some_of("caller", &file.callers, &callers)?,
    })
}

/// Which optional keys a kind of fault has.
struct Takes {
    share: bool,
    by: bool,
}

fn trouble(file: &file::Fault) -> Result<(Trouble, Takes), Complaint> {
    let by = || {
        let by = file.by.as_ref().ok_or_else(|| {
            let message = format!("a fault of kind {:?} needs by, a duration", &file.kind.value);
            file.kind.complaint(message)
        })?;
        by.between("by", Duration::from_micros(1), HOUR)
    };
    let shared = Takes { share: true, by: false };
    let timed = Takes { share: true, by: true };
    let whole = Takes { share: false, by: false };
    Ok(match file.kind.value.as_str() {
        "refuse" => (Trouble::Refuse, shared),
        "down" => (Trouble::Down, shared),
        "unreachable" => (Trouble::Unreachable, shared),
        "black_hole" => (Trouble::BlackHole, shared),
        "loss" => (Trouble::Loss, shared),
        "latency" => (Trouble::Latency(by()?), timed),
        "accept_reset" => (Trouble::AcceptReset, shared),
        "reset" => (Trouble::Reset, shared),
        "hang" => (Trouble::Hang, shared),
        "slow" => (Trouble::Slow(by()?), timed),
        "drip" => (Trouble::Drip(by()?), timed),
        "hang_up" => (Trouble::HangUp(by()?), timed),
        "close_idle" => (Trouble::CloseIdle, shared),
        "forget_idle" => (Trouble::ForgetIdle, shared),
        "no_ports" => (Trouble::NoPorts, shared),
        "caller_stopped" => (Trouble::CallerStopped, whole),
        "daemon_stopped" => (Trouble::DaemonStopped, whole),
        "daemon_killed" => (Trouble::DaemonKilled, whole),
        other => {
            let message = format!("{other:?} is no kind of fault; there are {KINDS}");
            return Err(file.kind.complaint(message));
        }
    })
}

fn expect(scenario: &Scenario, file: file::Expect) -> Result<Expect, Complaint> {
    let time = |time: Option<Time>| time.map(|time| time.duration());
    let part = |key, given: &Option<At<f64>>| {
        given.as_ref().map(|given| share(key, Some(given), 0.0)).transpose()
    };
    let services: Vec<&str> = scenario.services.iter().map(|it| it.name.as_str()).collect();
    let mut of_services = Vec::new();
    for (name, least) in &file.service_success_at_least {
        let service = found("service", std::slice::from_ref(name), &services)?;
        let least = share("service_success_at_least", Some(least), 0.0)?;
        of_services.extend(service.into_iter().map(|service| (service, least)));
    }
    let cells = |names: &[Text]| names.iter().map(|name| cells(scenario, name)).collect();
    Ok(Expect {
        never_sheds: file.never_sheds.unwrap_or(false),
        first_shed: time(file.first_shed),
        leaked_at_most: file.leaked_at_most,
        leaked_before_shed_at_most: file.leaked_before_shed_at_most,
        false_refusals_at_most: file.false_refusals_at_most,
        opens_after_end_at_most: file.opens_after_end_at_most,
        opens_at_least: file.opens_at_least,
        opens_at_most: file.opens_at_most,
        flaps_at_most: file.flaps_at_most,
        recovered_within: time(file.recovered_within),
        admitted_within: time(file.admitted_within),
        in_flight_at_most: file.in_flight_at_most,
        success_at_least: part("success_at_least", &file.success_at_least)?,
        success_during_at_least: part("success_during_at_least", &file.success_during_at_least)?,
        service_success_at_least: of_services,
        sheds: Result::<_, Complaint>::from_iter([cells(&file.sheds)])
            .map(|all: Vec<Vec<_>>| all.concat())?,
        spares: Result::<_, Complaint>::from_iter([cells(&file.spares)])
            .map(|all: Vec<Vec<_>>| all.concat())?,
    })
}

/// The cells an endpoint, a caller, or caller/endpoint stands for.
fn cells(scenario: &Scenario, name: &Text) -> Result<(String, Vec<usize>), Complaint> {
    let wanted = &name.value;
    let is_meant = |cell: &Cell| {
        let caller = &scenario.callers[cell.caller].name;
        let endpoint = &scenario.endpoints[cell.endpoint].name;
        wanted == caller || wanted == endpoint || *wanted == format!("{caller}/{endpoint}")
    };
    let meant = scenario.cells.iter().enumerate().filter(|(_, cell)| is_meant(cell));
    let meant: Vec<usize> = meant.map(|(index, _)| index).collect();
    if meant.is_empty() {
        let message =
            format!("{wanted:?} is no endpoint, caller or caller/endpoint of this scenario");
        return Err(name.complaint(message));
    }
    Ok((wanted.clone(), meant))
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const DEFAULT_RESPONSE: Duration = Duration::from_millis(5);
const DEFAULT_RETRY: Duration = Duration::from_millis(100);
const MAX_RATE: f64 = 100_000.0;
const KINDS: &str = "down, refuse, unreachable, black_hole, loss, latency, accept_reset, reset, hang, slow, drip, hang_up, close_idle, forget_idle, no_ports, caller_stopped, daemon_stopped, daemon_killed";
