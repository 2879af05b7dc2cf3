//! Where the kernel keeps what it knows of a connection: at the place its socket's cookie names, or with the socket.

use std::net::SocketAddr;

use shedder_common::map::TAG_PLACES;
use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Caller, ConnectionId, Kind};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::netns::NetNs;

use crate::scene::{
    LASTING, LOCALHOST, PATIENCE, backend, caller, policy, taken_places, wait_until,
};

/// Both are measured to their ends, and the place is free when the first has ended.
#[test]
fn two_connections_that_want_one_place_have_a_tag_each() {
    let (mut caller, cgroup) = caller("tags");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let first = caller.open(backend.addr(), PATIENCE).expect("it connects");
    let second = connect_beside(&mut caller, first, backend.addr());
    assert_eq!(stored_tags(&daemon), 1);
    for connection in [first, second, first, second] {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    }
    wait_until(&daemon, backend.addr(), |it| {
        (it.outcomes.answered, it.in_flight.connections) == (4, 2)
    });
    caller.close(second).expect("it lives");
    wait_until(&daemon, backend.addr(), |it| it.in_flight.connections == 1);
    assert!(caller.request(first, PATIENCE).expect("it lives").answered());
    let third = connect_beside(&mut caller, first, backend.addr());
    assert_eq!(stored_tags(&daemon), 2);
    caller.close(first).expect("it lives");
    wait_until(&daemon, backend.addr(), |it| it.in_flight.connections == 1);
    let fourth = connect_beside(&mut caller, third, backend.addr());
    assert_eq!(stored_tags(&daemon), 2);
    for connection in [third, fourth] {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
        caller.close(connection).expect("it lives");
    }
    wait_until(&daemon, backend.addr(), |it| {
        (it.outcomes.answered, it.in_flight.connections) == (7, 0)
    });
    assert_eq!(taken_places(&daemon), 0);
}

/// A connect that fails before its SYN is never said to have ended. Its socket keeps the place until another has
/// found it taken.
#[test]
fn a_connect_that_never_started_keeps_no_place_for_ever() {
    let cgroup = Cgroup::new("tags").expect("a cgroup");
    let net = NetNs::new("tags").expect("a namespace");
    let mut caller = Caller::spawn_in(&cgroup, &net).expect("a caller starts");
    let backend = net.enter(|| Backend::start(LOCALHOST, Behaviour::Healthy));
    let backend = backend.expect("root may").expect("a port is free");
    let nowhere: SocketAddr = "192.0.2.1:7000".parse().expect("an address");
    let endpoints = [backend.addr(), nowhere];
    let daemon = Daemon::start(&policy(&cgroup, &endpoints, LASTING)).expect("it starts");

    let stuck = caller.prepare(&Kind::Blocking, nowhere).expect("it lives");
    let attempt = caller.connect_with(stuck, nowhere, PATIENCE).expect("it lives");
    assert_eq!(attempt.errno(), Some(libc::ENETUNREACH));
    for stored in [1, 1] {
        let next = connect_beside(&mut caller, stuck, backend.addr());
        assert_eq!(stored_tags(&daemon), stored);
        assert!(caller.request(next, PATIENCE).expect("it lives").answered());
    }
    wait_until(&daemon, backend.addr(), |it| {
        (it.outcomes.answered, it.in_flight.connections) == (2, 2)
    });
    assert_eq!(taken_places(&daemon), 1);
}

/// A connection whose cookie names the same place as that of another.
fn connect_beside(caller: &mut Caller, other: ConnectionId, to: SocketAddr) -> ConnectionId {
    let socket = caller.prepare_beside(other, to, TAG_PLACES).expect("cookies come in turn");
    let attempt = caller.connect_with(socket, to, PATIENCE).expect("it lives");
    assert_eq!(attempt.failure, None);
    socket
}

fn stored_tags(daemon: &Daemon) -> u64 {
    daemon.status().expect("it answers").node.stored_tags
}
