//! Episodes: what happens to a breaker from leaving closed until it is closed again, as one span.
//!
//! Invariant: no clock; an episode ends once, and what is kept of those under way is bounded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::attributes::{flag, measure, number, text};
use super::points::nanos;
use crate::engine::{CellId, Chance, Change, Counts, Reason, State};

use self::words::{event, health, severity, shouted};

mod words;

/// The episodes under way.
#[derive(Debug)]
pub struct Episodes {
    open: BTreeMap<CellId, Episode>,
    chance: Chance,
}

/// Whose breaker it is.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Who calls.
    pub caller: &'a str,
    /// What is called.
    pub service: &'a str,
    /// The policy that decides.
    pub policy: &'a str,
    /// Address and port.
    pub endpoint: SocketAddr,
    /// The network namespace, where the policy tells endpoints apart by it.
    pub network: Option<&'a str>,
    /// Whether the policy only observes.
    pub observes: bool,
    /// Whether the policy redirects.
    pub can_fall_back: bool,
    /// What the policy file says of the service besides.
    pub attributes: &'a BTreeMap<String, String>,
    /// What was shed of it so far.
    pub seen: Seen,
}

/// Connects to an endpoint that met its breaker, as counted so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Shed, in whatever way.
    pub shed: u64,
    /// Those of them that were redirected.
    pub redirected: u64,
    /// Those of these that were established.
    pub fallbacks: u64,
    /// How long they took, together; nanoseconds.
    pub fallback_ns: u64,
}

#[derive(Debug)]
struct Episode {
    trace: u128,
    id: u64,
    began: u64,
    /// The severest state it was in.
    worst: State,
    /// What is known about the trip, and the sentence; nothing when an operator began it.
    trip: Option<(String, String)>,
    last_failure: Option<String>,
    has_fallen_back: bool,
    /// Where to, where that is known.
    fallback: Option<SocketAddr>,
    before: Seen,
    events: Vec<Event>,
    dropped_events: u32,
}

impl Episodes {
    /// None yet. The ids follow from `seed`, so that should be random.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { open: BTreeMap::new(), chance: Chance::new(seed) }
    }

    /// Takes in a change of state: the trace it belongs to, and the span, if this ends the episode.
    pub fn change(
        &mut self,
        cell: CellId,
        subject: &Subject<'_>,
        change: &Change,
        at: SystemTime,
    ) -> (Option<String>, Option<Span>) {
        let ends = change.to.is_settled();
        if !self.open.contains_key(&cell) {
            if ends || self.open.len() == MAX_EPISODES {
                return (None, None);
            }
            let episode = Episode::begin(subject.seen, change, nanos(at), &mut self.chance);
            self.open.insert(cell, episode);
        }
        let Some(episode) = self.open.get_mut(&cell) else { return (None, None) };
        episode.see(change, nanos(at));
        let trace = format!("{:032x}", episode.trace);
        let span = ends.then(|| self.end(cell, subject, "closed", at)).flatten();
        (Some(trace), span)
    }

    /// Notes that connects to the endpoint were redirected, if they were.
    pub fn look(
        &mut self,
        cell: CellId,
        seen: Seen,
        target: impl FnOnce() -> Option<SocketAddr>,
        at: SystemTime,
    ) {
        let Some(episode) = self.open.get_mut(&cell) else { return };
        if episode.has_fallen_back || seen.redirected <= episode.before.redirected {
            return;
        }
        episode.has_fallen_back = true;
        episode.fallback = target();
        let attributes = episode.fallback.map(method).into_iter().collect();
        episode.note("FALLBACK_EXECUTED", attributes, nanos(at));
    }

    /// Ends an episode that is under way, for the reason `end`.
    pub fn end(
        &mut self,
        cell: CellId,
        subject: &Subject<'_>,
        end: &'static str,
        at: SystemTime,
    ) -> Option<Span> {
        Some(self.open.remove(&cell)?.into_span(subject, end, nanos(at)))
    }

    /// The breakers of those under way.
    pub fn cells(&self) -> Vec<CellId> {
        self.open.keys().copied().collect()
    }
}

impl Episode {
    fn begin(before: Seen, change: &Change, began: u64, chance: &mut Chance) -> Self {
        let reason = change.cause.reason();
        Self {
            trace: u128::from(chance.next()) << 64 | u128::from(chance.next()),
            id: chance.next(),
            began,
            worst: change.to,
            trip: reason.map(|reason| (reason.strategy().to_owned(), reason.to_string())),
            last_failure: None,
            has_fallen_back: false,
            fallback: None,
            before,
            events: Vec::new(),
            dropped_events: 0,
        }
    }

    fn see(&mut self, change: &Change, at: u64) {
        if severity(change.to) > severity(self.worst) {
            self.worst = change.to;
        }
        let failure = most(&change.window.counts);
        if let Some(failure) = failure.or_else(|| change.cause.reason().map(Reason::strategy)) {
            self.last_failure = Some(failure.to_owned());
        }
        let window = &change.window;
        let mut attributes = vec![
            text("from", change.from.name()),
            text("to", change.to.name()),
            text("circuit_breaker.state", shouted(change.to)),
            text("endpoint.health", health(change.to)),
            text("reason", change.cause.to_string()),
            text("exception.type", change.cause.name()),
            number("circuit_breaker.level", change.level.into()),
            number("window.attempts", window.attempts),
            number("window.failures", window.failures),
        ];
        attributes.extend(change.scope.map(|scope| text("scope", scope.to_string())));
        attributes.extend(change.restraint.map(|it| text("restraint", it.to_string())));
        self.note(event(change.to), attributes, at);
    }

    fn note(&mut self, name: &str, attributes: Vec<KeyValue>, time_unix_nano: u64) {
        if self.events.len() == MAX_EVENTS {
            // The first says why, the last what became of it.
            self.events.remove(1);
            self.dropped_events += 1;
        }
        let name = name.to_owned();
        self.events.push(Event { time_unix_nano, name, attributes, dropped_attributes_count: 0 });
    }

    fn into_span(self, subject: &Subject<'_>, end: &str, ended: u64) -> Span {
        let state = shouted(self.worst);
        let mut attributes = vec![
            text("shedder.caller", subject.caller),
            text("shedder.service", subject.service),
            text("shedder.policy", subject.policy),
            text("shedder.endpoint", subject.endpoint.to_string()),
            flag("shedder.observe", subject.observes),
            number("shedder.shed", subject.seen.shed.saturating_sub(self.before.shed)),
            text("shedder.end", end),
            flag("shedder.unfinished", end != "closed"),
            text("peer.service", subject.service),
            text("server.address", subject.endpoint.ip().to_string()),
            number("server.port", subject.endpoint.port().into()),
            text("circuit_breaker.state", state),
            text("circuit_breaker_state", state),
            text("endpoint.health", health(self.worst)),
            text("downstream_cluster", subject.caller),
            flag("can_fallback", subject.can_fall_back),
            flag("fallback.invoked", self.has_fallen_back),
        ];
        attributes.extend(subject.network.map(|network| text("shedder.network", network)));
        attributes.extend(self.last_failure.map(|it| text("last_failure_reason", it)));
        attributes.extend(self.fallback.map(method));
        attributes.extend(latency(self.before, subject.seen));
        attributes.extend(subject.attributes.iter().map(|(name, value)| text(name, value)));
        let status = self.trip.map(|(strategy, sentence)| {
            attributes.push(text("error.type", strategy.as_str()));
            attributes.push(text("exception.type", strategy));
            Status { message: sentence, code: StatusCode::Error.into() }
        });
        Span {
            trace_id: self.trace.to_be_bytes().to_vec(),
            span_id: self.id.to_be_bytes().to_vec(),
            // Sampled.
            flags: 1,
            name: format!("circuit_breaker {}", subject.service),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.began,
            // The clock of the wall may have been set back.
            end_time_unix_nano: ended.max(self.began),
            attributes,
            events: self.events,
            dropped_events_count: self.dropped_events,
            status,
            ..Span::default()
        }
    }
}

fn method(target: SocketAddr) -> KeyValue {
    text("fallback.method", target.to_string())
}

/// How long the redirected connects of an episode took, on average.
fn latency(before: Seen, after: Seen) -> Option<KeyValue> {
    let count = after.fallbacks.saturating_sub(before.fallbacks);
    let together = Duration::from_nanos(after.fallback_ns.saturating_sub(before.fallback_ns));
    let count = u32::try_from(count).ok().filter(|count| *count > 0)?;
    Some(measure("fallback.latency.ms", together.as_secs_f64() * 1e3 / f64::from(count)))
}

/// Whether spans have an attribute of this name anyway.
pub fn is_own_attribute(name: &str) -> bool {
    OWN_ATTRIBUTES.contains(&name)
}

/// What failed most often, as the metrics call it.
fn most(counts: &Counts) -> Option<&'static str> {
    let classes = [
        ("refused", counts.refused),
        ("timed_out", counts.timed_out),
        ("unreachable", counts.unreachable),
        ("reset", counts.reset),
        ("errored", counts.errored),
    ];
    let (class, count) = classes.into_iter().max_by_key(|(_, count)| *count)?;
    (count > 0).then_some(class)
}

/// Of episodes; nobody else's may be called so.
const OWN_ATTRIBUTES: [&str; 23] = [
    "can_fallback",
    "circuit_breaker.state",
    "circuit_breaker_state",
    "downstream_cluster",
    "endpoint.health",
    "error.type",
    "exception.type",
    "fallback.invoked",
    "fallback.latency.ms",
    "fallback.method",
    "last_failure_reason",
    "peer.service",
    "server.address",
    "server.port",
    "shedder.caller",
    "shedder.end",
    "shedder.endpoint",
    "shedder.network",
    "shedder.observe",
    "shedder.policy",
    "shedder.service",
    "shedder.shed",
    "shedder.unfinished",
];
/// More than the brakes let trip at once; the spans of further ones are not made.
const MAX_EPISODES: usize = 1024;
/// Of a span; a breaker that cannot make up its mind has thousands.
const MAX_EVENTS: usize = 32;

#[cfg(test)]
mod tests;
