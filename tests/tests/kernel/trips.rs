//! Endpoints that fail are opened: by refusing, by being slow, by resetting, by hanging.

use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use shedder_tests::wire::SynCounter;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy};

/// The first failing calls reach the endpoint; the one after the trip fails inside `connect()`, and
/// nothing leaves the machine.
#[test]
fn a_refusing_endpoint_is_opened_and_no_syn_leaves() {
    let (mut caller, cgroup) = caller("refuse");
    let backend = backend(Behaviour::Refuse);
    let rules = LASTING.replace("open = {", "open = { errno = \"EHOSTUNREACH\",");
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], &rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count packets");

    for call in caller.call_many(backend.addr(), 3, PATIENCE).expect("the caller lives") {
        assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
    }
    let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
    assert_eq!(why, "3 failures in a row (limit 3)");

    let call = caller.call(backend.addr(), PATIENCE).expect("the caller lives");
    assert_eq!(call.connect_errno(), Some(libc::EHOSTUNREACH));
    assert_eq!(
        wire.count().expect("the counter lives"),
        3,
        "only the first three reached the wire"
    );

    let breaker = daemon.breaker(backend.addr()).expect("it has a breaker");
    assert_eq!((breaker.state.as_str(), breaker.shed_total, breaker.allowed_total), ("open", 1, 3));
    assert_eq!(breaker.reason.expect("it says why").strategy, "consecutive");
    assert_eq!(breaker.verdict.errno.as_deref(), Some("EHOSTUNREACH"));
}

/// The handshake itself is slow: the first SYN is lost, the one after a second is answered.
#[test]
fn an_endpoint_that_is_slow_to_connect_is_opened() {
    let (mut caller, cgroup) = caller("slow-connect");
    let backend = backend(Behaviour::Blackhole);
    let rules = r#"
trip = { without = ["failure_share", "consecutive"], latency = { signal = "connect", quantile = 0.9, over = "500ms", min_samples = 3, window = "10s" } }
open = { base = "10m", max = "10m" }
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count packets");
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| caller.storm(backend.addr(), 3, PATIENCE));
        while wire.count().expect("the counter lives") < 3 {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Long before the first of them knows how slow it is going to be.
        let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
        assert!(why.contains("p90 of 0 connect times in 10s and 3 unfinished"), "{why}");
        backend.set(Behaviour::Healthy).expect("it lives");
        assert_all_answered(&calls.join().expect("no panic").expect("the caller lives"));
    });
}

/// Envoy, `HAProxy` and nginx in TCP mode never notice this one.
#[test]
fn an_endpoint_that_answers_after_a_second_is_opened() {
    let (mut caller, cgroup) = caller("slow");
    let backend = backend(Behaviour::Slow(Duration::from_secs(1)));
    let rules = r#"
trip = { without = ["failure_share", "consecutive"], latency = { quantile = 0.9, over = "500ms", min_samples = 3, window = "10s" } }
open = { base = "10m", max = "10m" }
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    // The first answers come after the rule has seen enough.
    for call in caller.storm(backend.addr(), 3, PATIENCE).expect("the caller lives") {
        assert!(call.answered(), "slow, but it answers");
    }
    let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
    assert!(why.contains("p90 of 0 response times in 10s and 3 unfinished"), "{why}");
    let call = caller.call(backend.addr(), PATIENCE).expect("the caller lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
    assert_eq!(backend.accepted(), 3);
}

/// Nor this one.
#[test]
fn an_endpoint_that_accepts_and_then_resets_is_opened() {
    for behaviour in
        [Behaviour::ResetAfterAccept, Behaviour::ResetOnAccept, Behaviour::CloseAfterAccept]
    {
        let (mut caller, cgroup) = caller("reset");
        let backend = backend(behaviour);
        let daemon =
            Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
        let events = daemon.events().expect("it answers");
        for call in caller.call_many(backend.addr(), 3, PATIENCE).expect("the caller lives") {
            assert!(!call.answered(), "{behaviour:?}");
        }
        events.wait_for_state(backend.addr(), "open").expect("it opens");
        let call = caller.call(backend.addr(), PATIENCE).expect("the caller lives");
        assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "{behaviour:?}");
        assert_eq!(backend.accepted(), 3, "{behaviour:?}");
    }
}

/// Callers that give up on an endpoint that never answers are evidence, if they were patient.
#[test]
fn an_endpoint_that_hangs_is_opened_when_callers_give_up() {
    let (mut caller, cgroup) = caller("hang");
    let backend = backend(Behaviour::Hang);
    let rules = format!("{LASTING}caller_timeout = \"200ms\"");
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], &rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    for _ in 0..3 {
        let call = caller.call(backend.addr(), Duration::from_millis(400)).expect("it lives");
        assert!(call.timed_out());
    }
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    let call = caller.call(backend.addr(), PATIENCE).expect("the caller lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
}

/// A share of failures trips without any run of them.
#[test]
fn a_gray_failure_is_opened_by_its_share() {
    let (mut caller, cgroup) = caller("gray");
    let backend = backend(Behaviour::Flaky { permille: 500 });
    let rules = r#"
trip = { without = ["consecutive"], failure_share = { at_least = 0.3, window = "10s" } }
open = { base = "10m", max = "10m" }
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    caller.call_many(backend.addr(), 40, PATIENCE).expect("the caller lives");
    let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
    assert!(why.contains("attempts failed in 10s"), "{why}");
}
