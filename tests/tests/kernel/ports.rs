//! A caller that runs out of local ports is warned before, and no breaker takes it for a fault.

use std::net::SocketAddr;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Call, Caller};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_tests::netns::NetNs;
use shedder_user::api::model::{EventKind, Ports};

use crate::scene::{LASTING, LOCALHOST, PATIENCE, WATCH, assert_all_answered, policy, wait_until};

/// A namespace with 200 local ports, none of which serves again within a minute.
fn narrow() -> NetNs {
    let namespace = NetNs::new("ports").expect("root may make one");
    namespace.set("ipv4/ip_local_port_range", "40000 40199").expect("it is its own");
    namespace.set("ipv4/tcp_tw_reuse", "0").expect("it is its own");
    namespace
}

/// The backend's port is none of those.
fn backend(namespace: &NetNs, port: u16) -> Backend {
    let start = || Backend::start_at((LOCALHOST, port).into(), Behaviour::Healthy);
    namespace.enter(start).expect("it can be entered").expect("a backend starts")
}

/// Waits for the next word about ports; whose it is about.
fn told(events: &Events) -> (String, Ports) {
    let told = events.wait_for(|event| {
        assert!(!matches!(event.kind, EventKind::Transition { .. }), "{}", event.text);
        let EventKind::Ports { breaker, ports } = &event.kind else { return None };
        Some((breaker.endpoint.clone(), *ports))
    });
    told.expect("it is told")
}

#[test]
fn the_warning_comes_before_the_last_port_and_no_breaker_trips() {
    let namespace = narrow();
    let cgroup = Cgroup::new("ports").expect("root may make one");
    let mut caller = Caller::spawn_in(&cgroup, &namespace).expect("a caller starts");
    let (busy, quiet) = (backend(&namespace, 8001), backend(&namespace, 8002));
    let endpoints = [busy.addr(), quiet.addr()];
    let daemon = Daemon::start(&policy(&cgroup, &endpoints, LASTING)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let mut call = |endpoint: SocketAddr, calls| {
        caller.call_many(endpoint, calls, PATIENCE).expect("the caller lives")
    };

    assert_all_answered(&call(quiet.addr(), 5));
    assert_all_answered(&call(busy.addr(), 159));
    let before = wait_until(&daemon, busy.addr(), |breaker| {
        breaker.ports.taken == 159 && breaker.ports.available.is_some()
    });
    assert_eq!(before.ports.available, Some(200), "the caller's range, not the daemon's");
    assert!(!before.ports.pressing, "{:?}", before.ports);
    assert_all_answered(&call(busy.addr(), 1));
    let (endpoint, ports) = told(&events);
    assert_eq!(endpoint, busy.addr().to_string());
    assert!(ports.pressing, "{ports:?}");
    let shown = daemon.succeed(&["status"]).expect("it answers");
    assert_eq!(shown.matches("net.ipv4.ip_local_port_range").count(), 1, "{shown}");

    // Only now do ports run out.
    let calls = call(busy.addr(), 60);
    let refused = |call: &&_| Call::connect_errno(call) == Some(libc::EADDRNOTAVAIL);
    let without_port = calls.iter().filter(refused).count();
    assert_all_answered(&calls[..40]);
    assert_eq!(without_port, 20);
    let after = wait_until(&daemon, busy.addr(), |breaker| breaker.ports.taken == 200);
    assert_eq!(after.ports.available, Some(200));
    assert_eq!((after.state.as_str(), after.window.failures), ("closed", 0));

    // Each endpoint has ports of its own.
    assert_all_answered(&call(quiet.addr(), 5));
    let quiet = wait_until(&daemon, quiet.addr(), |breaker| breaker.ports.taken == 10);
    assert!(!quiet.ports.pressing);
}

#[test]
fn connections_take_ports_and_give_them_back() {
    let namespace = narrow();
    let cgroup = Cgroup::new("ports").expect("root may make one");
    let mut caller = Caller::spawn_in(&cgroup, &namespace).expect("a caller starts");
    let backend = backend(&namespace, 8001);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    let events = daemon.events().expect("it answers");

    for _ in 0..170 {
        caller.open(backend.addr(), PATIENCE).expect("it is accepted");
    }
    let (_, ports) = told(&events);
    assert!(ports.pressing && ports.closed == 0, "{ports:?}");
    // A reset frees the port at once.
    backend.set(Behaviour::Refuse).expect("it can");
    let (_, ports) = told(&events);
    assert!(!ports.pressing && ports.in_use < 140, "{ports:?}");
}

/// As the kernel does over loopback unless it is told otherwise.
#[test]
fn ports_that_serve_again_after_a_second_are_not_missed() {
    let namespace = narrow();
    namespace.set("ipv4/tcp_tw_reuse", "2").expect("it is its own");
    let cgroup = Cgroup::new("ports").expect("root may make one");
    let mut caller = Caller::spawn_in(&cgroup, &namespace).expect("a caller starts");
    let backend = backend(&namespace, 8001);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");

    for _ in 0..2 {
        assert_all_answered(&caller.call_many(backend.addr(), 150, PATIENCE).expect("it lives"));
        wait_until(&daemon, backend.addr(), |breaker| breaker.ports.taken > 0);
        let ports = wait_until(&daemon, backend.addr(), |breaker| breaker.ports.taken == 0).ports;
        assert_eq!(ports.available, Some(200));
    }
    let told = daemon.succeed(&["events"]).expect("it answers");
    assert!(!told.contains("local ports"), "{told}");
}
