//! What a collector is sent: every episode once, whatever the collector does, and nobody waits for it.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::collector::{Collector, Received, Reply, attribute};
use shedder_tests::daemon::Daemon;
use shedder_tests::rotel::Rotel;

use crate::metrics::{scrape, scrape_until, with_pages};
use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, open, wait_for};

/// Opens for a moment, and closes with one probe.
const SHORT: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "200ms", max = "200ms", jitter = 0.0 }
half_open = { tokens = 1, successes = 1 }
recovery.ramp = "0s"
"#;

fn policy(cgroup: &Cgroup, at: SocketAddr, url: &str, rules: &str) -> String {
    let node = format!("otlp = \"{url}\"\notlp_interval = \"1s\"");
    with_pages(&node, cgroup, &[at], rules)
}

/// Waits until the collector has what is asked for.
fn until(collector: &Collector, what: &str, has: impl Fn(&Received) -> bool) -> Received {
    let mut received = collector.received();
    wait_for(what, || {
        received = collector.received();
        has(&received)
    });
    received
}

/// One episode by the hand of an operator.
fn episode(daemon: &Daemon, at: SocketAddr) {
    daemon.succeed(&["trip", &at.to_string()]).expect("root may");
    daemon.succeed(&["reset", &at.to_string()]).expect("root may");
}

#[test]
fn an_episode_is_one_span() {
    let (mut caller, cgroup) = caller("episode");
    let backend = backend(Behaviour::Refuse);
    let collector = Collector::start(&[]).expect("it starts");
    let text = policy(&cgroup, backend.addr(), &collector.url(), SHORT)
        .replace("otlp_interval", "otlp_headers = { x-scope-orgid = \"lab\" }\notlp_interval");
    let daemon = Daemon::start(&text).expect("it starts");
    let events = open(&daemon, &mut caller, backend.addr());
    backend.set(Behaviour::Healthy).expect("it lives");
    events.wait_for_state(backend.addr(), "half_open").expect("the open time passes");
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "closed").expect("one probe closes it");

    let received = until(&collector, "the span comes", |it| !it.spans.is_empty());
    let [span] = &received.spans[..] else { panic!("{:?}", received.spans) };
    let names: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["CIRCUIT_OPENED", "CIRCUIT_HALF_OPENED", "CIRCUIT_CLOSED"]);
    let took = Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano);
    assert!((Duration::from_millis(200)..PATIENCE).contains(&took), "{took:?}");
    for (key, expected) in [
        ("shedder.caller", "app"),
        ("shedder.service", "db"),
        ("shedder.endpoint", &backend.addr().to_string()),
        ("shedder.unfinished", "false"),
        ("circuit_breaker.state", "OPEN"),
        ("last_failure_reason", "refused"),
        ("exception.type", "consecutive"),
        ("fallback.invoked", "false"),
    ] {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(expected), "{key}");
    }
    let status = span.status.as_ref().expect("it tripped");
    assert_eq!((status.code, status.message.as_str()), (2, "3 failures in a row (limit 3)"));
    let of = |key| attribute(&received.resource.attributes, key);
    assert_eq!(of("service.name").as_deref(), Some("shedder"));
    assert!(of("host.name").is_some() && of("service.instance.id").is_some());
    let trace = span.trace_id.clone().try_into().map(u128::from_be_bytes).expect("16 bytes");
    let trace = format!("{trace:032x}");
    // Each of the three changes is logged with it.
    assert_eq!(daemon.log().matches(&trace).count(), 3, "{trace} in the log");
    assert!(received.heads.iter().all(|head| head.contains("x-scope-orgid: lab")));

    // The metrics tell the same as the page.
    let received = until(&collector, "metrics come", |it| {
        it.sum("shedder_transitions_total") == Some(3)
            && it.sum("shedder_otlp_sent_total").is_some()
    });
    assert_eq!(received.sum("shedder_failures_total"), Some(3));
    let page = scrape(&daemon).text;
    let families: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.split(['{', ' ']).next().filter(|name| *name != "#"))
        .map(|name| {
            ["_bucket", "_sum", "_count"].iter().fold(name, |it, end| it.trim_end_matches(end))
        })
        .collect();
    let sent: BTreeSet<&str> = received.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(sent, families);
}

/// S2.49: how long the fallback took, told by whom it was a fallback for.
#[test]
fn a_redirect_is_part_of_the_episode() {
    let (mut caller, cgroup) = caller("detour");
    let (bad, good) = (backend(Behaviour::Healthy), backend(Behaviour::Healthy));
    let collector = Collector::start(&[]).expect("it starts");
    let rules = "open = { action = \"redirect\", base = \"10m\", max = \"10m\" }";
    let endpoints = format!("\"{}\", \"{}\"", bad.addr(), good.addr());
    let text = policy(&cgroup, bad.addr(), &collector.url(), rules)
        .replace(&format!("\"{}\"", bad.addr()), &endpoints)
        .replace("[[caller]]", "attributes = { cluster_id = \"us-west\" }\n[[caller]]");
    let daemon = Daemon::start(&text).expect("it starts");
    daemon.succeed(&["trip", &bad.addr().to_string()]).expect("root may");
    assert_all_answered(&caller.call_many(bad.addr(), 5, PATIENCE).expect("it lives"));
    assert_eq!(good.accepted(), 5);
    let count = "shedder_fallback_duration_seconds_count{caller=\"app\",service=\"db\"}";
    let page = scrape_until(&daemon, count, 5.0);
    let sum = page.value(&count.replace("count", "sum")).expect("beside the count");
    daemon.succeed(&["reset", &bad.addr().to_string()]).expect("root may");

    let received = until(&collector, "the span comes", |it| !it.spans.is_empty());
    let [span] = &received.spans[..] else { panic!("{:?}", received.spans) };
    let names: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["CIRCUIT_FORCED_OPEN", "FALLBACK_EXECUTED", "CIRCUIT_CLOSED"]);
    for (key, expected) in [
        ("fallback.invoked", "true"),
        ("fallback.method", good.addr().to_string().as_str()),
        ("can_fallback", "true"),
        ("endpoint.health", "DRAINING"),
        ("cluster_id", "us-west"),
    ] {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(expected), "{key}");
    }
    let latency = attribute(&span.attributes, "fallback.latency.ms").expect("it was measured");
    let latency: f64 = latency.parse().expect("a number");
    assert!(latency > 0.0 && (latency * 5.0 / 1e3 - sum).abs() < 1e-6, "{latency} ms of {sum} s");
}

/// S3.43: what a daemon that panicked has left is told once by the next.
#[test]
fn a_panic_is_told_by_the_next_daemon() {
    let (_caller, cgroup) = caller("panicked");
    let backend = backend(Behaviour::Healthy);
    let collector = Collector::start(&[]).expect("it starts");
    let state = tempfile::tempdir().expect("a directory");
    let record =
        r#"{"total":2,"is_told":false,"last":{"at_ms":1000,"message":"lost","place":"a.rs:1:2"}}"#;
    std::fs::write(state.path().join("panic.json"), record).expect("it is writable");
    let text = policy(&cgroup, backend.addr(), &collector.url(), LASTING)
        .replace("[node]", &format!("[node]\nstate_dir = \"{}\"", state.path().display()));
    let daemon = Daemon::start(&text).expect("it starts");
    let received = until(&collector, "the span comes", |it| !it.spans.is_empty());
    let [span] = &received.spans[..] else { panic!("{:?}", received.spans) };
    assert_eq!((span.name.as_str(), span.kind), ("panic.recovery", 1));
    assert_eq!(span.start_time_unix_nano, 1_000_000_000);
    assert_eq!(attribute(&span.attributes, "exception.type").as_deref(), Some("panic"));
    assert_eq!(attribute(&span.attributes, "exception.message").as_deref(), Some("lost"));
    assert_eq!(scrape(&daemon).value("shedder_daemon_panics_total"), Some(2.0));
    let said = "the daemon panicked at 1970-01-01T00:00:01.000Z (a.rs:1:2: lost)";
    assert!(daemon.succeed(&["events"]).expect("it answers").contains(said));
    drop(daemon);

    let again = Daemon::start(&text).expect("it starts");
    assert_eq!(scrape(&again).value("shedder_daemon_panics_total"), Some(2.0));
    drop(again);
    assert_eq!(collector.received().spans.len(), 1);
}

/// AT-24: a collector that has no room for a while loses nothing and is sent nothing twice.
#[test]
fn at_24_nothing_is_lost_and_nothing_doubled() {
    let (_caller, cgroup) = caller("busy");
    let backend = backend(Behaviour::Healthy);
    let busy = [Reply::Status(503, Some(1)), Reply::Status(429, None), Reply::Status(504, None)];
    let collector = Collector::start(&busy).expect("it starts");
    let text = policy(&cgroup, backend.addr(), &collector.url(), LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    (0..20).for_each(|_| episode(&daemon, backend.addr()));
    let received = until(&collector, "all come", |it| it.spans.len() >= 20);
    let times: Vec<_> = received.requests.iter().map(|(at, _)| *at).collect();
    // As long as it asked for, and then longer each time.
    assert!(times[1] - times[0] >= Duration::from_secs(1), "{times:?}");
    assert!(times[2] - times[1] >= Duration::from_millis(400), "{times:?}");
    assert!(times[3] - times[2] >= Duration::from_millis(1600), "{times:?}");
    let sent = "shedder_otlp_sent_total{signal=\"spans\"}";
    let page = scrape_until(&daemon, sent, 20.0);
    for reason in ["full", "refused", "late"] {
        let series = format!("shedder_otlp_dropped_total{{signal=\"spans\",reason=\"{reason}\"}}");
        assert_eq!(page.value(&series), Some(0.0), "{series}");
    }
    drop(daemon);
    let received = collector.received();
    let ids: BTreeSet<&Vec<u8>> = received.spans.iter().map(|span| &span.span_id).collect();
    assert_eq!((received.spans.len(), ids.len()), (20, 20));
}

/// What the collector will never take is dropped, counted and said once.
#[test]
fn what_is_refused_is_not_tried_again() {
    let (_caller, cgroup) = caller("refused");
    let backend = backend(Behaviour::Healthy);
    let collector = Collector::start(&[Reply::Status(400, None)]).expect("it starts");
    let text = policy(&cgroup, backend.addr(), &collector.url(), LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    episode(&daemon, backend.addr());
    let refused = "shedder_otlp_dropped_total{signal=\"spans\",reason=\"refused\"}";
    scrape_until(&daemon, refused, 1.0);
    episode(&daemon, backend.addr());
    let received = until(&collector, "the next comes", |it| it.spans.len() == 1);
    assert_eq!(received.requests.len(), 2);
    assert_eq!(daemon.log().matches("refuses spans: 400").count(), 1, "{}", daemon.log());
}

/// The daemon goes on, keeps what there is, says so once, and hands it over when there is a collector;
/// the breaker that is open when it stops has its span too.
#[test]
fn a_collector_that_is_away_holds_up_nothing() {
    let (mut caller, cgroup) = caller("away");
    let backend = backend(Behaviour::Refuse);
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let text = policy(&cgroup, backend.addr(), &format!("http://{nobody}"), LASTING);
    let mut daemon = Daemon::start(&text).expect("it starts");
    episode(&daemon, backend.addr());
    let said = "takes no spans";
    wait_for("it is said", || daemon.log().contains(said));
    episode(&daemon, backend.addr());
    let queued = scrape_until(&daemon, "shedder_otlp_queued_spans", 2.0);
    assert_eq!(queued.value("shedder_eval_overrun_total"), Some(0.0));
    fail(&daemon, &mut caller, backend.addr());
    assert_eq!(daemon.log().matches(said).count(), 1, "{}", daemon.log());

    let collector = Collector::start_at(nobody, &[]).expect("the port is free");
    daemon.signal(libc::SIGTERM);
    assert!(daemon.wait().expect("it ends").success());
    let received = collector.received();
    let ends: Vec<_> =
        received.spans.iter().filter_map(|it| attribute(&it.attributes, "shedder.end")).collect();
    assert_eq!(ends, ["closed", "closed", "stopping"]);
    let last = &received.spans[2].attributes;
    assert_eq!(attribute(last, "shedder.unfinished").as_deref(), Some("true"));
    assert_eq!(attribute(last, "shedder.shed").as_deref(), Some("1"));
    // And the metrics of the last moment.
    assert_eq!(received.sum("shedder_failures_total"), Some(3));
}

/// A collector that accepts and never answers does not keep the daemon from ending.
#[test]
fn a_stop_does_not_wait_for_long() {
    let (_caller, cgroup) = caller("silent");
    let backend = backend(Behaviour::Healthy);
    let collector = Collector::start(&[Reply::Silence]).expect("it starts");
    let text = policy(&cgroup, backend.addr(), &collector.url(), LASTING);
    let mut daemon = Daemon::start(&text).expect("it starts");
    episode(&daemon, backend.addr());
    until(&collector, "it is asked", |it| it.requests.len() == 1);
    let began = shedder_user::clock::now();
    daemon.signal(libc::SIGTERM);
    assert!(daemon.wait().expect("it ends").success());
    // Two seconds, and room for a slow machine.
    let took = shedder_user::clock::now().since(began);
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert!(daemon.log().contains("has not taken the last spans"), "{}", daemon.log());
}

/// Where the collector is cannot change while the daemon runs.
#[test]
fn another_collector_takes_a_restart() {
    let (_caller, cgroup) = caller("another");
    let backend = backend(Behaviour::Healthy);
    let collector = Collector::start(&[]).expect("it starts");
    let text = policy(&cgroup, backend.addr(), &collector.url(), LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let other = text.replace(&collector.url(), "http://127.0.0.1:9");
    std::fs::write(daemon.policy_file(), other).expect("it is ours");
    let output = daemon.command(&["reload"]).expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("otlp in [node] is fixed"), "{said}");
}

/// Opens the breaker and has one more call shed.
fn fail(daemon: &Daemon, caller: &mut Caller, at: SocketAddr) {
    drop(open(daemon, caller, at));
    assert!(!caller.call(at, PATIENCE).expect("it lives").answered());
}

/// What a collector that others wrote makes of it, and passes on.
#[test]
fn a_real_collector_understands_it() {
    let (mut caller, cgroup) = caller("real");
    let backend = backend(Behaviour::Refuse);
    let last = Collector::start(&[]).expect("it starts");
    let rotel = Rotel::start(&last).expect("it starts");
    let text = policy(&cgroup, backend.addr(), &rotel.url(), LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    fail(&daemon, &mut caller, backend.addr());
    daemon.succeed(&["reset", &backend.addr().to_string()]).expect("root may");
    scrape_until(&daemon, "shedder_otlp_sent_total{signal=\"spans\"}", 1.0);
    let received = until(&last, "it is passed on", |it| {
        !it.spans.is_empty() && it.sum("shedder_failures_total") == Some(3)
    });
    let [span] = &received.spans[..] else { panic!("{:?}", received.spans) };
    let names: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["CIRCUIT_OPENED", "CIRCUIT_CLOSED"]);
    assert_eq!(attribute(&span.attributes, "circuit_breaker.state").as_deref(), Some("OPEN"));
    let service = attribute(&received.resource.attributes, "service.name");
    assert_eq!(service.as_deref(), Some("shedder"), "{}", rotel.log());
}
