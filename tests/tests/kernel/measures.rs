//! What rules can look at besides outcomes and response times: round trips, segments sent again,
//! connections in use; and what connections have carried (ST-12, ST-13, ST-15).

use std::thread;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::netns::BrokenWire;

use crate::scene::{
    PATIENCE, WATCH, assert_all_answered, backend, caller, failures, policy, wait_until,
};

#[test]
fn a_round_trip_time_can_open() {
    let (mut caller, cgroup) = caller("rtt");
    let backend = backend(Behaviour::Healthy);
    // Nothing is that near.
    let rules = r#"
trip = { without = ["failure_share", "consecutive"], latency = { signal = "rtt", quantile = 0.5, over = "1us", min_samples = 5, window = "10s" } }
open = { base = "10m", max = "10m" }
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    for _ in 0..20 {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    }
    let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
    assert!(why.contains("rtt times"), "{why}");
}

#[test]
fn too_many_connections_in_use_can_open() {
    let (mut caller, cgroup) = caller("crowd");
    let backend = backend(Behaviour::Healthy);
    let rules = r#"
trip = { without = ["failure_share", "consecutive"], in_flight = { over = 4 } }
open = { base = "10m", max = "10m" }
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    // One after the other, and closed again: never more than one in use.
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));
    assert_eq!(daemon.breaker(backend.addr()).expect("it has one").state, "closed");
    for _ in 0..5 {
        caller.open(backend.addr(), PATIENCE).expect("it opens");
    }
    let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
    assert_eq!(why, "5 connections in use (limit 4)");
    let in_flight = daemon.breaker(backend.addr()).expect("it has one").in_flight;
    assert_eq!((in_flight.connections, in_flight.waiting), (5, 0));
}

/// A request that nothing is heard of stalls, and its segments are sent again, which is a share that
/// can open; when the wire is mended everything is as it was.
#[test]
fn a_wire_that_loses_everything_is_noticed() {
    let net = BrokenWire::new().expect("namespaces can be made: run as root");
    let cgroup = Cgroup::new("wire").expect("a cgroup");
    let mut caller = Caller::spawn_in(&cgroup, net.client()).expect("a caller starts");
    let backend = net
        .server()
        .enter(|| Backend::start(BrokenWire::address(), Behaviour::Healthy))
        .expect("root may")
        .expect("a backend starts");
    let rules = r#"
trip = { without = ["failure_share", "consecutive"], retransmit_share = { over = 0.15, min_segments = 4, window = "10s" } }
open = { base = "10m", max = "10m" }
caller_timeout = "20s"
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    for _ in 0..2 {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    }
    net.cut().expect("root may");
    thread::scope(|scope| {
        let request = scope.spawn(|| caller.request(connection, PATIENCE).expect("it lives"));
        let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
        assert!(why.contains("were sent again"), "{why}");
        let stalled = wait_until(&daemon, backend.addr(), |breaker| breaker.in_flight.stalled == 1);
        assert_eq!(stalled.in_flight.waiting, 1);
        net.mend().expect("root may");
        assert!(request.join().expect("no panic").answered(), "late, but it answers");
    });
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!((breaker.in_flight.waiting, breaker.in_flight.stalled), (0, 0));
    // What the server sent again, because the acknowledgement was lost, was no answer.
    assert_eq!(breaker.outcomes.answered + breaker.outcomes.stale, 3);
    assert!(breaker.traffic.retransmits >= 2, "{:?}", breaker.traffic);
}

#[test]
fn what_connections_carry_is_counted() {
    let (mut caller, cgroup) = caller("traffic");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    for _ in 0..10 {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    }
    caller.close(connection).expect("it closes");
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(failures(&daemon, backend.addr(), 11), 0);
    let breaker = wait_until(&daemon, backend.addr(), |breaker| breaker.traffic.segments == 11);
    let traffic = breaker.traffic;
    assert_eq!((traffic.connections, traffic.requests, traffic.retransmits), (2, 11, 0));
    // "ping" and "pong", each with the end of its line; and the end of each connection, which has a
    // sequence number of its own. That of the last may not be acknowledged yet.
    assert_eq!(traffic.bytes_in, 57);
    assert!((55..=57).contains(&traffic.bytes_out), "{traffic:?}");
}
