//! From a snapshot to the text.
//!
//! Invariant: every family is there with its head, also where it has no series yet.

use std::collections::BTreeMap;
use std::time::Duration;

use shedder_common::counters::{NodeRow, SlotCounters};

use super::families::{self as family, COUNTED, FAILURES, Family};
use super::form::{Form, Labels};
use super::tally::add;
use super::text::Text;
use super::{Calls, Delivered, Histogram, OTHER, Tally};
use crate::engine::State;

/// Everything the text tells.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Of shedder.
    pub version: &'a str,
    /// Seconds since 1970.
    pub started: f64,
    /// Memory, in bytes.
    pub resident: u64,
    /// Callers and how many of their cgroups are guarded.
    pub cgroups: Vec<(&'a str, usize)>,
    /// Slots in use and slots there are.
    pub slots: (u32, u32),
    /// What the programs counted for the node.
    pub node: NodeRow,
    /// Events that made no sense.
    pub undecodable: u64,
    /// Connections of whose end nobody told.
    pub untold_ends: u64,
    /// Looks that took too long.
    pub overruns: u64,
    /// Daemons on this node that have panicked.
    pub panics: u64,
    /// How many policies were in force so far, with this one.
    pub generation: u64,
    /// What became of events on their way to the disk.
    pub journal: JournalCounts,
    /// Clients of the control socket that were turned away.
    pub control: ControlCounts,
    /// Since the verdicts were renewed.
    pub verdict_age: Duration,
    /// Outcomes by state.
    pub calls: Calls,
    /// Breakers whose endpoints have no series of their own.
    pub unlisted: usize,
    /// Those with series of their own, and the others as one for each caller and service.
    pub endpoints: Vec<Endpoint<'a>>,
    /// What became of spans and data points, where there is a collector for them.
    pub delivered: Option<Delivered>,
    /// Caller, service, and what was counted over all of their endpoints.
    pub tallies: Vec<(&'a str, &'a str, &'a Tally)>,
}

/// Clients of the control socket that were turned away or cut off, since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlCounts {
    /// Too many at once.
    pub full: u64,
    /// Too slow to ask or to read.
    pub slow: u64,
    /// Sent too much.
    pub large: u64,
    /// Gave orders too fast.
    pub fast: u64,
}

/// What became of events on their way to the journal, since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Written.
    pub written: u64,
    /// Without room while nothing could be written.
    pub lost: u64,
    /// Attempts to write, or to make sure of it, that have failed.
    pub errors: u64,
}

/// One endpoint of one caller, or several as one.
#[derive(Debug)]
pub struct Endpoint<'a> {
    caller: &'a str,
    service: &'a str,
    /// Address and port, or [`OTHER`].
    at: String,
    network: Option<&'a str>,
    states: [u64; State::ALL.len()],
    counters: SlotCounters,
    /// Handshakes, requests, those that stall, connections.
    in_flight: [u64; 4],
    port_usage: Option<f64>,
}

impl<'a> Endpoint<'a> {
    /// An endpoint with series of its own.
    pub const fn new(
        caller: &'a str,
        service: &'a str,
        at: String,
        network: Option<&'a str>,
    ) -> Self {
        let counters = SlotCounters::CLEAR;
        let states = [0; State::ALL.len()];
        Self { caller, service, at, network, states, counters, in_flight: [0; 4], port_usage: None }
    }

    /// All those without, of which the forgotten ones had counted so much.
    pub fn other(caller: &'a str, service: &'a str, forgotten: SlotCounters) -> Self {
        Self { counters: forgotten, ..Self::new(caller, service, OTHER.to_owned(), None) }
    }

    /// Adds what is known of a breaker.
    pub fn take(
        &mut self,
        state: State,
        counters: &SlotCounters,
        in_flight: [u64; 4],
        port_usage: Option<f64>,
    ) {
        self.states[state as usize] += 1;
        add(&mut self.counters, counters);
        for (sum, more) in self.in_flight.iter_mut().zip(in_flight) {
            *sum += more;
        }
        self.port_usage = match (self.port_usage, port_usage) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }

    fn labels(&self) -> Labels<'_> {
        let labels = pair(self.caller, self.service).and("endpoint", &self.at);
        self.network.map_or_else(|| labels.clone(), |network| labels.and("network", network))
    }
}

/// The text of all families.
pub fn page(snapshot: &Snapshot<'_>) -> String {
    let mut text = Text::default();
    tell(snapshot, &mut text);
    text.finish()
}

/// Tells all families.
pub fn tell(snapshot: &Snapshot<'_>, form: &mut impl Form) {
    node(form, snapshot);
    delivery(form, snapshot);
    breakers(form, snapshot);
    let endpoints: Vec<_> = snapshot.endpoints.iter().map(|it| (it.labels(), it)).collect();
    by_endpoint(form, &endpoints);
    failures(form, snapshot);
    by_service(form, snapshot);
    for counted in &COUNTED {
        let series = form.family(&counted.family);
        for (labels, endpoint) in &endpoints {
            for (case, count) in counted.cases {
                let count = count(&endpoint.counters);
                if counted.label.is_empty() {
                    series.put(labels, count);
                } else {
                    series.put(&labels.and(counted.label, case), count);
                }
            }
        }
    }
}

fn node(form: &mut impl Form, snapshot: &Snapshot<'_>) {
    let Snapshot { node, slots, .. } = snapshot;
    let none = Labels::default();
    labelled(form, &family::BUILD_INFO, "version", &[(snapshot.version, 1)]);
    form.family(&family::START_TIME).put(&none, snapshot.started);
    form.family(&family::RESIDENT).put(&none, snapshot.resident);
    let series = form.family(&family::CGROUPS);
    for (caller, count) in &snapshot.cgroups {
        series.put(&none.and("caller", caller), *count);
    }
    labelled(form, &family::MAP_ENTRIES, "map", &[("slots", slots.0.into())]);
    labelled(form, &family::MAP_CAPACITY, "map", &[("slots", slots.1.into())]);
    let dropped = [("lost", node.events_lost), ("undecodable", snapshot.undecodable)];
    labelled(form, &family::EVENTS_DROPPED, "reason", &dropped);
    form.family(&family::UNTAGGED).put(&none, node.untagged);
    form.family(&family::STORED_TAGS).put(&none, node.stored_tags);
    form.family(&family::UNTOLD_ENDS).put(&none, snapshot.untold_ends);
    let failed = [
        ("redirect", node.redirects_failed),
        ("hold", node.holds_failed),
        ("hold_limit", node.holds_over),
    ];
    labelled(form, &family::ACTIONS_FAILED, "action", &failed);
    form.family(&family::HELD).put(&none, node.held);
    form.family(&family::VERDICT_AGE).put(&none, snapshot.verdict_age.as_secs_f64());
    form.family(&family::EVAL_OVERRUN).put(&none, snapshot.overruns);
    form.family(&family::PANICS).put(&none, snapshot.panics);
    form.family(&family::POLICY).put(&none, snapshot.generation);
    let JournalCounts { written, lost, errors } = snapshot.journal;
    labelled(form, &family::JOURNAL, "outcome", &[("written", written), ("lost", lost)]);
    form.family(&family::JOURNAL_ERRORS).put(&none, errors);
    let ControlCounts { full, slow, large, fast } = snapshot.control;
    let refused = [("full", full), ("slow", slow), ("large", large), ("fast", fast)];
    labelled(form, &family::CONTROL_REFUSED, "reason", &refused);
    form.family(&family::UNLISTED).put(&none, snapshot.unlisted);
}

/// A family with one label.
fn labelled(
    form: &mut impl Form,
    family: &'static Family,
    label: &'static str,
    values: &[(&str, u64)],
) {
    let series = form.family(family);
    for (case, value) in values {
        series.put(&Labels::default().and(label, case), *value);
    }
}

/// What became of spans and data points.
fn delivery(form: &mut impl Form, snapshot: &Snapshot<'_>) {
    let none = Labels::default();
    let signals = || {
        let delivered = snapshot.delivered.iter();
        delivered.flat_map(|it| [("spans", it.spans), ("points", it.points)])
    };
    let series = form.family(&family::OTLP_SENT);
    for (signal, it) in signals() {
        series.put(&none.and("signal", signal), it.taken);
    }
    let series = form.family(&family::OTLP_DROPPED);
    for (signal, it) in signals() {
        for (reason, count) in [("full", it.full), ("refused", it.refused), ("late", it.late)] {
            series.put(&none.and("signal", signal).and("reason", reason), count);
        }
    }
    let series = form.family(&family::OTLP_QUEUED);
    if let Some(delivered) = snapshot.delivered {
        series.put(&none, delivered.queued);
    }
}

fn breakers(form: &mut impl Form, snapshot: &Snapshot<'_>) {
    let none = Labels::default();
    let series = form.family(&family::STATES);
    for state in State::ALL {
        let breakers: u64 = snapshot.endpoints.iter().map(|it| it.states[state as usize]).sum();
        series.put(&none.and("state", state.name()), breakers);
    }
    let series = form.family(&family::CALLS);
    for (outcome, state, count) in snapshot.calls.iter() {
        series.put(&none.and("outcome", outcome).and("state", state.name()), count);
    }
    let mut all = Histogram::of_recoveries();
    for (_, _, tally) in &snapshot.tallies {
        all.merge(&tally.recovery);
    }
    form.family(&family::ALL_RECOVERIES).put_histogram(&none, &all);
}

fn by_endpoint(form: &mut impl Form, endpoints: &[(Labels<'_>, &Endpoint<'_>)]) {
    let series = form.family(&family::BREAKER_STATE);
    for (labels, endpoint) in endpoints {
        for state in State::ALL {
            series.put(&labels.and("state", state.name()), endpoint.states[state as usize]);
        }
    }
    let series = form.family(&family::IN_FLIGHT);
    for (labels, endpoint) in endpoints {
        let kinds = ["connecting", "waiting", "stalled", "connections"];
        for (kind, count) in kinds.into_iter().zip(endpoint.in_flight) {
            series.put(&labels.and("kind", kind), count);
        }
    }
    let series = form.family(&family::PORTS);
    for (labels, endpoint) in endpoints {
        if let Some(usage) = endpoint.port_usage {
            series.put(labels, usage);
        }
    }
}

/// Over everything that has or had counters, so that the sums only grow.
fn failures(form: &mut impl Form, snapshot: &Snapshot<'_>) {
    let mut sums: BTreeMap<&str, SlotCounters> = BTreeMap::new();
    for endpoint in &snapshot.endpoints {
        add(sums.entry(endpoint.service).or_insert(SlotCounters::CLEAR), &endpoint.counters);
    }
    for (_, service, tally) in &snapshot.tallies {
        add(sums.entry(service).or_insert(SlotCounters::CLEAR), &tally.forgotten);
    }
    let series = form.family(&family::FAILURES_BY_CLASS);
    for (service, counters) in &sums {
        let labels = Labels::default().and("service", service);
        for (class, count) in FAILURES {
            series.put(&labels.and("class", class), count(counters));
        }
    }
}

/// By caller and service, as all durations.
fn fallbacks(form: &mut impl Form, snapshot: &Snapshot<'_>) {
    let mut sums: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    let of_endpoints = snapshot.endpoints.iter().map(|it| (it.caller, it.service, &it.counters));
    let forgotten = snapshot.tallies.iter().map(|it| (it.0, it.1, &it.2.forgotten));
    for (caller, service, counters) in of_endpoints.chain(forgotten) {
        let (count, nanoseconds) = sums.entry((caller, service)).or_default();
        *count += counters.fallbacks;
        *nanoseconds += counters.fallback_ns;
    }
    let series = form.family(&family::FALLBACK);
    for ((caller, service), (count, nanoseconds)) in sums {
        let sum = Duration::from_nanos(nanoseconds).as_secs_f64();
        series.put_histogram(&pair(caller, service), &Histogram::of_sum(sum, count));
    }
}

fn by_service(form: &mut impl Form, snapshot: &Snapshot<'_>) {
    let series = form.family(&family::TRANSITIONS);
    for (caller, service, tally) in &snapshot.tallies {
        for (state, count) in State::ALL.into_iter().zip(tally.transitions) {
            series.put(&pair(caller, service).and("to", state.name()), count);
        }
    }
    let histograms: [(&'static Family, OfTally); 4] = [
        (&family::RECOVERY, |tally| &tally.recovery),
        (&family::CONNECT, |tally| &tally.connect),
        (&family::RESPONSE, |tally| &tally.response),
        (&family::RTT, |tally| &tally.rtt),
    ];
    for (family, histogram) in histograms {
        let series = form.family(family);
        for (caller, service, tally) in &snapshot.tallies {
            series.put_histogram(&pair(caller, service), histogram(tally));
        }
    }
    fallbacks(form, snapshot);
}

fn pair<'a>(caller: &'a str, service: &'a str) -> Labels<'a> {
    Labels::default().and("caller", caller).and("service", service)
}

type OfTally = fn(&Tally) -> &Histogram;
