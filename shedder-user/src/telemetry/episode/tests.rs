//! What an episode is, and what its span says.

use std::time::{Duration, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use shedder_common::time::Monotonic;

use super::*;
use crate::engine::{Cause, Force, Summary};

const CELL: CellId = CellId(7);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

static NONE: BTreeMap<String, String> = BTreeMap::new();

/// Redirected connects take 2 ms each.
fn seen(shed: u64, redirected: u64) -> Seen {
    Seen { shed, redirected, fallbacks: redirected, fallback_ns: 2_000_000 * redirected }
}

fn subject(shed: u64, redirected: u64) -> Subject<'static> {
    Subject {
        caller: "web",
        service: "db",
        policy: "web:db",
        endpoint: SocketAddr::from(([10, 0, 0, 1], 5432)),
        network: None,
        observes: false,
        can_fall_back: true,
        attributes: &NONE,
        seen: seen(shed, redirected),
    }
}

fn change(from: State, to: State, cause: Cause) -> Change {
    let counts = Counts { refused: 2, timed_out: 3, ..Counts::default() };
    Change {
        at: Monotonic::default(),
        from,
        to,
        cause,
        scope: None,
        restraint: None,
        level: 1,
        is_flapping: false,
        next: None,
        window: Summary { counts, attempts: 9, failures: 5, ..Summary::default() },
        generation: 1,
    }
}

fn trip() -> Change {
    let reason = Reason::Consecutive { failures: 6, limit: 5 };
    change(State::Closed, State::Open, Cause::Trip(reason))
}

fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found: Vec<&KeyValue> = attributes.iter().filter(|it| it.key == key).collect();
    assert!(found.len() <= 1, "{key} twice");
    let value = found.first()?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(flag) => Some(flag.to_string()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::ArrayValue(_)
        | Value::KvlistValue(_)
        | Value::BytesValue(_)
        | Value::StringValueStrindex(_) => None,
    }
}

fn names(span: &Span) -> Vec<&str> {
    span.events.iter().map(|event| event.name.as_str()).collect()
}

#[test]
fn from_leaving_closed_to_closed_is_one_span() {
    let mut episodes = Episodes::new(1);
    let (trace, span) = episodes.change(CELL, &subject(10, 0), &trip(), at(100));
    let trace = trace.expect("it has begun");
    assert_eq!((trace.len(), span), (32, None));
    let probing = change(State::Open, State::HalfOpen, Cause::OpenTimePassed);
    let (same, span) = episodes.change(CELL, &subject(12, 0), &probing, at(105));
    assert_eq!((same.as_ref(), span), (Some(&trace), None));
    let well = Cause::ProbesSucceeded { successes: 1, probes: 1 };
    let closing = change(State::HalfOpen, State::Closed, well);
    let (same, span) = episodes.change(CELL, &subject(13, 0), &closing, at(106));
    assert_eq!(same.as_ref(), Some(&trace));
    let span = span.expect("it has ended");
    let id = span.trace_id.clone().try_into().map(u128::from_be_bytes);
    assert_eq!(id.map(|id| format!("{id:032x}")), Ok(trace.clone()));
    assert_eq!(
        (span.start_time_unix_nano, span.end_time_unix_nano),
        (100_000_000_000, 106_000_000_000)
    );
    assert_eq!(names(&span), ["CIRCUIT_OPENED", "CIRCUIT_HALF_OPENED", "CIRCUIT_CLOSED"]);
    let status = span.status.as_ref().expect("it tripped");
    assert_eq!((status.code, status.message.as_str()), (2, "6 failures in a row (limit 5)"));
    for (key, expected) in [
        ("shedder.caller", "web"),
        ("shedder.service", "db"),
        ("shedder.endpoint", "10.0.0.1:5432"),
        ("shedder.shed", "3"),
        ("shedder.end", "closed"),
        ("shedder.unfinished", "false"),
        ("circuit_breaker.state", "OPEN"),
        ("circuit_breaker_state", "OPEN"),
        ("endpoint.health", "UNHEALTHY"),
        ("last_failure_reason", "timed_out"),
        ("exception.type", "consecutive"),
        ("downstream_cluster", "web"),
        ("can_fallback", "true"),
        ("fallback.invoked", "false"),
        ("server.port", "5432"),
    ] {
        assert_eq!(value(&span.attributes, key).as_deref(), Some(expected), "{key}");
    }
    let opened = &span.events[0].attributes;
    assert_eq!(value(opened, "reason").as_deref(), Some("6 failures in a row (limit 5)"));
    assert_eq!(value(opened, "from").as_deref(), Some("closed"));
    let health = span.events.iter().map(|event| value(&event.attributes, "endpoint.health"));
    let health: Vec<_> = health.map(|health| health.expect("each has one")).collect();
    assert_eq!(health, ["UNHEALTHY", "UNHEALTHY", "HEALTHY"]);
    // No redirect, no latency of one.
    assert_eq!(value(&span.attributes, "fallback.latency.ms"), None);
    // The next one is another.
    let (next, _) = episodes.change(CELL, &subject(13, 0), &trip(), at(200));
    assert_ne!(next, Some(trace));
}

#[test]
fn a_redirect_is_told_once_with_its_target() {
    let mut episodes = Episodes::new(1);
    let target = || Some(SocketAddr::from(([10, 0, 0, 2], 5432)));
    // What was redirected before is not of this episode.
    episodes.change(CELL, &subject(4, 4), &trip(), at(100));
    episodes.look(CELL, seen(4, 4), || unreachable!("none"), at(101));
    episodes.look(CELL, seen(5, 5), target, at(102));
    episodes.look(CELL, seen(6, 6), || unreachable!("known"), at(103));
    let span = episodes.end(CELL, &subject(6, 6), "stopping", at(104)).expect("it was open");
    assert_eq!(names(&span), ["CIRCUIT_OPENED", "FALLBACK_EXECUTED"]);
    let is = |key| value(&span.attributes, key);
    assert_eq!(is("fallback.invoked").as_deref(), Some("true"));
    assert_eq!(is("fallback.method").as_deref(), Some("10.0.0.2:5432"));
    assert_eq!(is("fallback.latency.ms").as_deref(), Some("2"));
    assert_eq!(is("shedder.end").as_deref(), Some("stopping"));
    assert_eq!(is("shedder.unfinished").as_deref(), Some("true"));
}

#[test]
fn an_operators_order_is_no_error() {
    let mut episodes = Episodes::new(1);
    let forced = Cause::Forced(Force::Open, Duration::from_secs(1));
    let forced = change(State::Closed, State::ForcedOpen, forced);
    episodes.change(CELL, &subject(0, 0), &forced, at(1));
    let ended = change(State::ForcedOpen, State::Closed, Cause::ForceEnded);
    let span = episodes.change(CELL, &subject(0, 0), &ended, at(0)).1.expect("it has ended");
    assert_eq!(span.status, None);
    assert_eq!(value(&span.attributes, "circuit_breaker.state").as_deref(), Some("FORCED_OPEN"));
    assert_eq!(value(&span.attributes, "endpoint.health").as_deref(), Some("DRAINING"));
    // A clock that was set back makes no span that ends before it begins.
    assert_eq!(span.end_time_unix_nano, span.start_time_unix_nano);
}

/// What the policy file adds (`cluster_id`, S4.39) stands beside what there is anyway.
#[test]
fn a_service_has_attributes_of_its_own() {
    let mut episodes = Episodes::new(1);
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let attributes = BTreeMap::from([own("cluster_id", "us-west"), own("service_version", "1.4")]);
    let subject = Subject { attributes: &attributes, network: Some("net:[1]"), ..subject(3, 2) };
    episodes.change(CELL, &subject, &trip(), at(1));
    let later = seen(4, 3);
    episodes.look(CELL, later, || Some(SocketAddr::from(([10, 0, 0, 2], 1))), at(1));
    let span = episodes.end(CELL, &Subject { seen: later, ..subject }, "stopping", at(2));
    let span = span.expect("it was open");
    assert_eq!(value(&span.attributes, "cluster_id").as_deref(), Some("us-west"));
    assert_eq!(value(&span.attributes, "service_version").as_deref(), Some("1.4"));
    // All the others may not be said by a policy file.
    let mut others: Vec<&str> = span.attributes.iter().map(|it| it.key.as_str()).collect();
    others.retain(|name| !attributes.contains_key(*name));
    others.sort_unstable();
    assert_eq!(others, OWN_ATTRIBUTES);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut episodes = Episodes::new(1);
    for cell in 0..2000 {
        episodes.change(CellId(cell), &subject(0, 0), &trip(), at(1));
    }
    assert_eq!(episodes.cells().len(), MAX_EPISODES);
    for _ in 0..1000 {
        let again = change(State::HalfOpen, State::Open, Cause::Yielded);
        episodes.change(CELL, &subject(0, 0), &again, at(2));
    }
    let span = episodes.end(CELL, &subject(0, 0), "forgotten", at(3)).expect("it was open");
    assert_eq!((span.events.len(), span.dropped_events_count), (MAX_EVENTS, 969));
    assert_eq!(span.events[0].time_unix_nano, 1_000_000_000);
}
