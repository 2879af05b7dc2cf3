//! Metrics tell what happened, no more and no less, in a bounded number of series.

use std::net::SocketAddr;

use shedder_tests::backend::Behaviour;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::web::{Page, fetch};

use crate::scene::{
    LASTING, PATIENCE, WATCH, assert_all_answered, backend, caller, policy, wait_for,
};

/// As [`policy`], with pages on a port of their own.
pub(crate) fn with_pages(node: &str, cgroup: &Cgroup, at: &[SocketAddr], rules: &str) -> String {
    format!("[node]\nlisten = \"127.0.0.1:0\"\n{node}\n{}", policy(cgroup, at, rules))
}

pub(crate) fn scrape(daemon: &Daemon) -> Page {
    let page = fetch(daemon.pages().expect("it has pages"), "/metrics").expect("it answers");
    assert_eq!(page.status, 200, "{}", page.text);
    page
}

/// Waits until a series has a value, and returns the text it was in.
pub(crate) fn scrape_until(daemon: &Daemon, series: &str, value: f64) -> Page {
    let mut last = None;
    wait_for(&format!("{series} {value}"), || {
        let page = scrape(daemon);
        let has_come = page.value(series).is_some_and(|is| (is - value).abs() < 1e-9);
        last = Some(page);
        has_come
    });
    last.expect("it was scraped")
}

#[test]
fn metrics_are_what_was_counted() {
    let (mut caller, cgroup) = caller("counted");
    let backend = backend(Behaviour::Healthy);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    let of = |family: &str, more: &str| {
        format!("{family}{{caller=\"app\",service=\"db\",endpoint=\"{}\"{more}}}", backend.addr())
    };
    let of_pair =
        |family: &str, more: &str| format!("{family}{{caller=\"app\",service=\"db\"{more}}}");
    assert_eq!(scrape(&daemon).value(&of("shedder_breaker_state", ",state=\"closed\"")), Some(1.0));
    assert_all_answered(&caller.call_many(backend.addr(), 10, PATIENCE).expect("it lives"));
    backend.set(Behaviour::Refuse).expect("it lives");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    assert!(!caller.call(backend.addr(), PATIENCE).expect("it lives").answered());

    let page = scrape_until(&daemon, &of("shedder_connects_total", ",action=\"deny\""), 1.0);
    let is = |series: &str, value: f64| {
        assert_eq!(page.value(series), Some(value), "{series} in\n{}", page.text);
    };
    is(&of("shedder_connects_total", ",action=\"allow\""), 13.0);
    is(&of("shedder_outcomes_total", ",outcome=\"answered\""), 10.0);
    is(&of("shedder_outcomes_total", ",outcome=\"refused\""), 3.0);
    is(&of("shedder_connections_total", ""), 10.0);
    is(&of("shedder_requests_total", ""), 10.0);
    is(&of("shedder_in_flight", ",kind=\"connections\""), 0.0);
    is(&of("shedder_breaker_state", ",state=\"open\""), 1.0);
    is(&of("shedder_breaker_state", ",state=\"closed\""), 0.0);
    is("shedder_failures_total{service=\"db\",class=\"refused\"}", 3.0);
    is("circuit_breaker_state{state=\"open\"}", 1.0);
    is("circuit_breaker_calls_total{outcome=\"success\",state=\"closed\"}", 10.0);
    is("circuit_breaker_calls_total{outcome=\"failure\",state=\"closed\"}", 3.0);
    is("circuit_breaker_calls_total{outcome=\"shed\",state=\"open\"}", 1.0);
    is(&of_pair("shedder_transitions_total", ",to=\"open\""), 1.0);
    is(&of_pair("shedder_connect_duration_seconds_count", ""), 10.0);
    is(&of_pair("shedder_response_duration_seconds_bucket", ",le=\"10\""), 10.0);
    is("shedder_guarded_cgroups{caller=\"app\"}", 1.0);
    is("shedder_map_entries{map=\"slots\"}", 1.0);
    assert!(page.value("process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    assert!(page.value("process_start_time_seconds").is_some_and(|seconds| seconds > 1.7e9));
    assert!(page.value("shedder_verdict_age_seconds").is_some_and(|age| age < 3.0));
    // Everything the text tells, `status` tells as well.
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!(
        (breaker.outcomes.answered, breaker.outcomes.refused, breaker.shed_total),
        (10, 3, 1)
    );
}

/// From the trip to closed is one recovery.
#[test]
fn a_recovery_is_timed() {
    let (mut caller, cgroup) = caller("recovery");
    let backend = backend(Behaviour::Refuse);
    let rules = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "200ms", max = "200ms", jitter = 0.0 }
half_open = { tokens = 1, successes = 1 }
recovery.ramp = "0s"
"#;
    let text = with_pages("", &cgroup, &[backend.addr()], rules);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    backend.set(Behaviour::Healthy).expect("it lives");
    events.wait_for_state(backend.addr(), "half_open").expect("the open time passes");
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "closed").expect("one probe closes it");
    let series = "shedder_recovery_duration_seconds_count{caller=\"app\",service=\"db\"}";
    let page = scrape_until(&daemon, series, 1.0);
    let sum = page.value("circuit_breaker_recovery_duration_seconds_sum").expect("it is there");
    assert!((0.2..10.0).contains(&sum), "{sum}");
    // An operator's hand is no recovery.
    backend.set(Behaviour::Refuse).expect("it lives");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    daemon.succeed(&["reset", &backend.addr().to_string()]).expect("root");
    let closed = "shedder_transitions_total{caller=\"app\",service=\"db\",to=\"closed\"}";
    assert_eq!(scrape_until(&daemon, closed, 2.0).value(series), Some(1.0));
}

/// However many endpoints a network has, few have series of their own, and what the others counted is
/// kept also when they are forgotten.
#[test]
fn series_are_bounded_and_sums_never_fall() {
    let (mut caller, cgroup) = caller("bounded");
    let refused = backend(Behaviour::Refuse).addr();
    let port = refused.port();
    let node = "metrics_endpoints = 2\nforget_after = \"1s\"";
    let text = with_pages(node, &cgroup, &[refused], WATCH)
        .replace(&refused.to_string(), &format!("127.0.0.0/8:{port}"));
    let daemon = Daemon::start(&text).expect("it starts");
    let all: Vec<SocketAddr> =
        (1..=5).map(|last| SocketAddr::from(([127, 0, 7, last], port))).collect();
    for endpoint in &all {
        wait_for("it is discovered", || {
            caller.call(*endpoint, PATIENCE).expect("it lives");
            daemon.breaker(*endpoint).is_ok()
        });
        caller.call_many(*endpoint, 2, PATIENCE).expect("it lives");
    }
    let refused = "shedder_failures_total{service=\"db\",class=\"refused\"}";
    let of_other = "shedder_outcomes_total{caller=\"app\",service=\"db\",endpoint=\"other\",outcome=\"refused\"}";
    let mut most = (0.0, 0.0);
    let mut has_fallen = false;
    let mut see = |page: &Page| {
        let now = (page.value(refused).unwrap_or(0.0), page.value(of_other).unwrap_or(0.0));
        has_fallen |= now.0 < most.0 || now.1 < most.1;
        most = (f64::max(most.0, now.0), f64::max(most.1, now.1));
        let own = page.text.lines().filter(|line| line.starts_with("shedder_requests_total{"));
        assert!(own.count() <= 3, "{}", page.text);
    };
    wait_for("all are forgotten", || {
        let page = scrape(&daemon);
        see(&page);
        daemon.status().expect("it answers").node.endpoints == 0
    });
    see(&scrape(&daemon));
    assert!(most.0 >= 10.0 && most.1 >= 6.0, "{most:?}");
    assert!(!has_fallen, "{most:?}");
    assert_eq!(scrape(&daemon).value("shedder_other_endpoints"), Some(0.0));
}
