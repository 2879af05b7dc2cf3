//! Whose connect it is, and to whom: by the cgroup a socket was made in, and by address and port.

use std::net::SocketAddr;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Caller, Kind};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::netns::{NetNs, TwinLinks};
use shedder_user::api::model::{Breaker, Outcomes};

use crate::scene::{
    LASTING, PATIENCE, WATCH, assert_all_answered, backend, caller, open, policy, policy_for,
};

/// Every process and every thread of a cgroup adds to one breaker and obeys it.
#[test]
fn forked_children_and_threads_are_one_caller() {
    let (mut caller, cgroup) = caller("family");
    let backend = backend(Behaviour::Refuse);
    let rules = LASTING.replace("consecutive = 3", "consecutive = 16");
    let rules = rules.replace("open = {", "open = { errno = \"EHOSTUNREACH\",");
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], &rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let mut all_get = |errno| {
        let mut calls = caller.storm(backend.addr(), 8, PATIENCE).expect("they live");
        calls.extend(caller.crowd(backend.addr(), 8, PATIENCE).expect("they live"));
        assert!(calls.iter().all(|call| call.connect_errno() == Some(errno)), "{calls:?}");
    };
    // Eight alone are not enough.
    all_get(libc::ECONNREFUSED);
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    backend.set(Behaviour::Healthy).expect("it lives");
    all_get(libc::EHOSTUNREACH);
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!((breaker.allowed_total, breaker.shed_total), (16, 16));
}

/// A process moves on; what it made before stays where it was made.
#[test]
fn a_socket_stays_with_the_cgroup_it_was_made_in() {
    let (mut caller, old) = caller("old");
    let new = Cgroup::new("new").expect("a cgroup");
    let backend = backend(Behaviour::Healthy);
    let daemon = old_and_new(&old, &new, backend.addr());

    let unused = caller.prepare(&Kind::Blocking, backend.addr()).expect("it lives");
    let open = caller.open(backend.addr(), PATIENCE).expect("it opens");
    new.admit(caller.pid()).expect("root may");
    trip(&daemon, "old", backend.addr());

    let refused = caller.connect_with(unused, backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(refused.errno(), Some(libc::ECONNREFUSED), "made in the old cgroup");
    assert_all_answered(&caller.call_many(backend.addr(), 2, PATIENCE).expect("it lives"));
    assert!(caller.request(open, PATIENCE).expect("it lives").answered());

    let [of_old, of_new] = breakers(&daemon);
    assert_eq!((of_old.allowed_total, of_old.shed_total), (1, 1));
    assert_eq!((of_new.allowed_total, of_new.shed_total), (2, 0));
    // The answer came on the connection made before, and after the breaker of its cgroup opened.
    let before = Outcomes { answered: 1, ..Outcomes::default() };
    assert_eq!((of_old.outcomes, of_new.outcomes.answered), (before, 2));
}

/// Guarding begins with what is made inside.
#[test]
fn a_socket_made_outside_is_not_guarded_inside() {
    let (mut caller, _outside) = caller("outside");
    let inside = Cgroup::new("inside").expect("a cgroup");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&inside, &[backend.addr()], LASTING)).expect("it starts");
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root");

    let brought = caller.prepare(&Kind::Blocking, backend.addr()).expect("it lives");
    inside.admit(caller.pid()).expect("root may");
    let attempt = caller.connect_with(brought, backend.addr(), PATIENCE).expect("it lives");
    assert!(attempt.connected(), "{attempt:?}");
    let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!((breaker.allowed_total, breaker.shed_total), (0, 1));
}

/// Handing a socket to another process neither frees it nor binds it.
#[test]
fn a_socket_that_is_handed_over_stays_with_the_cgroup_it_was_made_in() {
    let (mut first, old) = caller("first");
    let (mut second, new) = caller("second");
    let backend = backend(Behaviour::Healthy);
    let daemon = old_and_new(&old, &new, backend.addr());
    trip(&daemon, "old", backend.addr());

    let errno_of = |from: &mut Caller, to: &mut Caller| {
        let socket = from.prepare(&Kind::Blocking, backend.addr()).expect("it lives");
        let socket = from.hand_over(socket, to).expect("it is taken");
        to.connect_with(socket, backend.addr(), PATIENCE).expect("it lives").errno()
    };
    assert_eq!(errno_of(&mut first, &mut second), Some(libc::ECONNREFUSED));
    assert_eq!(errno_of(&mut second, &mut first), None);
    let [of_old, of_new] = breakers(&daemon);
    assert_eq!((of_old.allowed_total, of_old.shed_total), (0, 1));
    assert_eq!((of_new.allowed_total, of_new.shed_total), (1, 0));
}

/// A limit: what one namespace finds out is held against the other.
#[test]
fn the_same_address_in_two_namespaces_is_one_endpoint() {
    let cgroup = Cgroup::new("namespaces").expect("a cgroup");
    let endpoint = "127.0.0.1:7000".parse().expect("an address");
    let namespace = |behaviour| {
        let net = NetNs::new("same").expect("a namespace can be made: run as root");
        let backend = net.enter(|| Backend::start_at(endpoint, behaviour)).expect("root may enter");
        let caller = Caller::spawn_in(&cgroup, &net).expect("a caller starts");
        (caller, backend.expect("the port is free"), net)
    };
    let (mut unlucky, _refusing, _net) = namespace(Behaviour::Refuse);
    let (mut healthy, serving, _other_net) = namespace(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[endpoint], LASTING)).expect("it starts");

    assert_all_answered(&healthy.call_many(endpoint, 4, PATIENCE).expect("it lives"));
    drop(open(&daemon, &mut unlucky, endpoint));
    let misjudged = healthy.call(endpoint, PATIENCE).expect("it lives");
    assert_eq!(misjudged.connect_errno(), Some(libc::ECONNREFUSED));
    assert_eq!(serving.accepted(), 4);
    let breaker = daemon.breaker(endpoint).expect("one for both");
    assert_eq!((breaker.outcomes.answered, breaker.outcomes.refused), (4, 3));
}

/// A limit: the scope of a link-local address is no part of the endpoint.
#[test]
fn a_link_local_address_on_two_links_is_one_endpoint() {
    let net = TwinLinks::new().expect("namespaces can be made: run as root");
    let [left, right] = TwinLinks::DEVICES.map(|device| {
        let addr = net.link_local_by(device).expect("it is there");
        (Kind::Blocking, addr)
    });
    is_one_endpoint(&net, net.link_local(), [left, right]);
}

/// A limit: nor is the device a socket is bound to.
#[test]
fn an_address_behind_two_devices_is_one_endpoint() {
    let net = TwinLinks::new().expect("namespaces can be made: run as root");
    let ways = TwinLinks::DEVICES.map(|device| (Kind::BoundTo(device.to_owned()), net.ipv4()));
    is_one_endpoint(&net, net.ipv4(), ways);
}

/// What fails by the first way opens the endpoint for the second way too.
fn is_one_endpoint(net: &TwinLinks, endpoint: SocketAddr, ways: [(Kind, SocketAddr); 2]) {
    let cgroup = Cgroup::new("links").expect("a cgroup");
    let mut caller = Caller::spawn_in(&cgroup, net.client()).expect("a caller starts");
    let daemon = Daemon::start(&policy(&cgroup, &[endpoint], LASTING)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let [(left, left_addr), (right, right_addr)] = ways;
    let [refusing, serving] = net.backends();
    let right = |caller: &mut Caller, calls| {
        caller.call_by(&right, right_addr, calls, PATIENCE).expect("it lives")
    };

    assert_all_answered(&right(&mut caller, 2));
    refusing.set(Behaviour::Refuse).expect("it lives");
    for call in caller.call_by(&left, left_addr, 3, PATIENCE).expect("it lives") {
        assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "{call:?}");
    }
    events.wait_for_state(endpoint, "open").expect("it opens");
    for misjudged in right(&mut caller, 1) {
        assert_eq!(misjudged.connect_errno(), Some(libc::ECONNREFUSED), "{misjudged:?}");
    }
    assert_eq!(serving.accepted(), 2);
    let breaker = daemon.breaker(endpoint).expect("one for both");
    assert_eq!((breaker.allowed_total, breaker.shed_total), (5, 1));
}

/// Two callers of one endpoint.
fn old_and_new(old: &Cgroup, new: &Cgroup, endpoint: SocketAddr) -> Daemon {
    let text = policy_for(&[("old", old), ("new", new)], &[endpoint], WATCH);
    Daemon::start(&text).expect("it starts")
}

fn trip(daemon: &Daemon, caller: &str, endpoint: SocketAddr) {
    let endpoint = endpoint.to_string();
    daemon.succeed(&["trip", &endpoint, "--caller", caller]).expect("root may trip");
}

/// The breakers of `old` and of `new`.
fn breakers(daemon: &Daemon) -> [Breaker; 2] {
    let breakers = daemon.status().expect("it answers").breakers;
    let of = |caller| breakers.iter().find(|breaker| breaker.caller == caller).cloned();
    ["old", "new"].map(|caller| of(caller).expect("each has one"))
}
