//! How connections end is told apart, and what says nothing about the endpoint is not counted.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::{Caller, ConnectOptions};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::netns::{NetNs, UnreachableNet};
use shedder_user::api::model::Outcomes;

use crate::scene::{
    LASTING, PATIENCE, WATCH, assert_all_answered, backend, caller, failures, policy,
};

#[test]
fn answers_and_idle_connections_are_successes() {
    let (mut caller, cgroup) = caller("successes");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    assert_all_answered(&caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives"));
    for _ in 0..2 {
        let attempt = caller.connect(backend.addr(), &ConnectOptions::default()).expect("it lives");
        assert!(attempt.connected());
    }
    assert_eq!(failures(&daemon, backend.addr(), 7), 0);
}

/// Each answer on a kept connection counts, and none counts twice.
#[test]
fn every_turn_of_a_kept_connection_counts_once() {
    let (mut caller, cgroup) = caller("turns");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    for _ in 0..10 {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    }
    caller.close(connection).expect("it closes");
    assert_eq!(failures(&daemon, backend.addr(), 10), 0);
}

/// Response times are those of the endpoint, to within a bucket and the noise of a busy machine.
#[test]
fn response_times_are_measured() {
    let (mut caller, cgroup) = caller("latency");
    let backend = backend(Behaviour::Slow(Duration::from_millis(50)));
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    assert_all_answered(&caller.call_many(backend.addr(), 10, PATIENCE).expect("it lives"));
    assert_eq!(failures(&daemon, backend.addr(), 10), 0);
    let p50 = daemon.breaker(backend.addr()).expect("it has one").window.p50_us.expect("answers");
    assert!((46_500..100_000).contains(&p50), "{p50} us");
}

/// The caller closes at once: that says nothing. It closes after a long wait: that is a timeout.
#[test]
fn giving_up_counts_only_after_a_fair_wait() {
    let (mut caller, cgroup) = caller("impatient");
    let backend = backend(Behaviour::Hang);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    for _ in 0..3 {
        caller.call(backend.addr(), Duration::from_millis(30)).expect("it lives");
    }
    caller.call(backend.addr(), Duration::from_millis(600)).expect("it lives");
    assert_eq!(failures(&daemon, backend.addr(), 1), 1);
}

/// SYNs nobody answers: the caller's own timeout ends the attempt, and it was patient.
#[test]
fn a_black_hole_is_a_timeout() {
    let (mut caller, cgroup) = caller("hole");
    let backend = backend(Behaviour::Blackhole);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    let call = caller.call(backend.addr(), Duration::from_millis(600)).expect("it lives");
    assert!(!call.answered());
    assert_eq!(failures(&daemon, backend.addr(), 1), 1);
    let impatient = caller.call(backend.addr(), Duration::from_millis(30)).expect("it lives");
    assert!(!impatient.answered());
    // Counted neither as attempt nor as failure; a later failure shows that it was passed over.
    backend.set(Behaviour::Refuse).expect("it lives");
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(failures(&daemon, backend.addr(), 2), 2);
}

/// The kernel counts each class apart, and people are told.
#[test]
fn outcomes_are_reported_by_class() {
    let (mut caller, cgroup) = caller("classes");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    assert_all_answered(&caller.call_many(backend.addr(), 4, PATIENCE).expect("it lives"));
    caller.connect(backend.addr(), &ConnectOptions::default()).expect("it lives");
    backend.set(Behaviour::Hang).expect("it lives");
    caller.call(backend.addr(), Duration::from_millis(30)).expect("it lives");
    caller.call(backend.addr(), Duration::from_millis(600)).expect("it lives");
    backend.set(Behaviour::ResetAfterAccept).expect("it lives");
    caller.call_many(backend.addr(), 2, PATIENCE).expect("it lives");
    backend.set(Behaviour::CloseAfterAccept).expect("it lives");
    caller.call_many(backend.addr(), 2, PATIENCE).expect("it lives");
    backend.set(Behaviour::Refuse).expect("it lives");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    failures(&daemon, backend.addr(), 13);
    let outcomes = daemon.breaker(backend.addr()).expect("it has one").outcomes;
    let expected = Outcomes {
        answered: 4,
        idle_closed: 1,
        gave_up: 1,
        timed_out: 1,
        reset: 2,
        hung_up: 2,
        refused: 3,
        ..Outcomes::default()
    };
    assert_eq!(outcomes, expected);
}

/// The network stack's own second try after a second is seen while the caller still waits.
#[test]
fn syns_sent_again_are_counted() {
    let (mut caller, cgroup) = caller("again");
    let backend = backend(Behaviour::Blackhole);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    // The second SYN leaves after one second, the third after two at the earliest.
    caller.call(backend.addr(), Duration::from_millis(1_500)).expect("it lives");
    assert_eq!(failures(&daemon, backend.addr(), 1), 1);
    let outcomes = daemon.breaker(backend.addr()).expect("it has one").outcomes;
    assert_eq!((outcomes.timed_out, outcomes.syn_retransmits), (1, 1));
}

/// The network itself says no.
#[test]
fn an_unreachable_host_is_a_failure() {
    let net = UnreachableNet::new().expect("namespaces can be made: run as root");
    let cgroup = Cgroup::new("unreachable").expect("a cgroup");
    let mut caller = Caller::spawn_in(&cgroup, net.client()).expect("a caller starts");
    let daemon = Daemon::start(&policy(&cgroup, &[net.address()], LASTING)).expect("it starts");
    let events = daemon.events().expect("it answers");
    for call in caller.call_many(net.address(), 3, PATIENCE).expect("it lives") {
        assert_eq!(call.connect_errno(), Some(libc::EHOSTUNREACH));
    }
    events.wait_for_state(net.address(), "open").expect("it opens");
}

/// No route: the attempt never reached the network, so the endpoint is not to blame.
#[test]
fn an_attempt_that_never_left_is_not_the_endpoints_failure() {
    let net = NetNs::new("no-route").expect("a namespace can be made: run as root");
    let cgroup = Cgroup::new("no-route").expect("a cgroup");
    let mut caller = Caller::spawn_in(&cgroup, &net).expect("a caller starts");
    let endpoint = "198.51.100.7:80".parse().expect("an address");
    let rules = "trip = { consecutive = 1 }";
    let daemon = Daemon::start(&policy(&cgroup, &[endpoint], rules)).expect("it starts");
    for call in caller.call_many(endpoint, 10, PATIENCE).expect("it lives") {
        assert_eq!(call.connect_errno(), Some(libc::ENETUNREACH));
    }
    // A failure that does count, after them, shows that the daemon has looked.
    net.ip("addr add 198.51.100.7/32 dev lo").expect("root may");
    let before = daemon.breaker(endpoint).expect("it has one");
    assert_eq!((before.state.as_str(), before.window.attempts), ("closed", 0));
    let events = daemon.events().expect("it answers");
    let call = caller.call(endpoint, PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
    let why = events.wait_for_state(endpoint, "open").expect("it opens");
    assert_eq!(why, "1 failures in a row (limit 1)");
}

/// What the breaker itself refuses is no evidence: it would keep itself open.
#[test]
fn refusals_of_the_verdict_are_no_evidence() {
    let (mut caller, cgroup) = caller("own");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root");
    caller.call_many(backend.addr(), 50, PATIENCE).expect("it lives");
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!((breaker.shed_total, breaker.window.attempts), (50, 0));
}

/// The first turn of a connection can be left unmeasured, because a TLS handshake is one.
#[test]
fn skipped_turns_are_not_measured() {
    let (mut caller, cgroup) = caller("skipped");
    let backend = backend(Behaviour::Healthy);
    let rules = format!("{WATCH}turns_to_skip = 1");
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], &rules)).expect("it starts");
    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    for _ in 0..4 {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    }
    assert_eq!(failures(&daemon, backend.addr(), 3), 0);
}

/// The stated fallback: without `sk_err`, a reset is known by the one segment that came, and a
/// timeout by the caller's patience.
#[test]
fn without_types_failures_are_still_told_apart() {
    let (mut caller, cgroup) = caller("no-types");
    let backend = backend(Behaviour::Refuse);
    let text = policy(&cgroup, &[backend.addr()], WATCH);
    let daemon = Daemon::start_without_types(&text).expect("it starts");
    let degraded = daemon.status().expect("it answers").node.degradations;
    assert!(degraded.iter().any(|text| text.contains("no sk_err")), "{degraded:?}");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    assert_eq!(failures(&daemon, backend.addr(), 3), 3);
    backend.set(Behaviour::Blackhole).expect("it lives");
    caller.call(backend.addr(), Duration::from_millis(600)).expect("it lives");
    caller.call(backend.addr(), Duration::from_millis(30)).expect("it lives");
    assert_eq!(failures(&daemon, backend.addr(), 4), 4);
    backend.set(Behaviour::Healthy).expect("it lives");
    assert_all_answered(&caller.call_many(backend.addr(), 6, PATIENCE).expect("it lives"));
    assert_eq!(failures(&daemon, backend.addr(), 10), 4);
}

/// Where the server speaks first, its greeting is the proof that it lives: the breaker recovers.
#[test]
fn a_greeting_is_a_successful_probe() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            // The client closes when it has read the greeting; whatever happens then is its affair.
            drop(client.write_all(b"220 ready\n"));
            drop(client.read(&mut [0; 1]));
        }
    });
    let cgroup = Cgroup::new("greeting").expect("a cgroup");
    let rules = "half_open = { tokens = 1, successes = 1 }\nrecovery = { ramp = \"0s\" }";
    let daemon = Daemon::start(&policy(&cgroup, &[endpoint], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    daemon.succeed(&["trip", &endpoint.to_string(), "--for", "100ms"]).expect("root");
    events.wait_for_state(endpoint, "half_open").expect("the override ends");
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{} && read -r -u 3 line", endpoint.port());
    let mut client = std::process::Command::new("bash");
    client.args(["-c", &script]);
    cgroup.start_inside(&mut client).expect("it can join");
    assert!(client.status().expect("bash runs").success());
    events.wait_for_state(endpoint, "closed").expect("one greeting closes it");
}
