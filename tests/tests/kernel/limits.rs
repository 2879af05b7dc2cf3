//! What happens when something is full, or too fast: nothing breaks, and what is lost is counted.

use std::net::{Ipv4Addr, SocketAddr};

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_user::api::model::EventKind;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy};

/// Two slots, two endpoints in them, and then all of a network.
#[test]
fn when_all_slots_are_taken_further_endpoints_pass_unguarded() {
    let (mut caller, cgroup) = caller("full");
    let guarded = [backend(Behaviour::Healthy), backend(Behaviour::Healthy)];
    let beyond = backend(Behaviour::Refuse);
    let endpoints = [guarded[0].addr(), guarded[1].addr()];
    let text = crowded(&cgroup, 2, &endpoints, beyond.addr().port());
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");

    let many = network(beyond.addr().port(), 200);
    let tally = caller.burst(&many, 1, 1).expect("it lives");
    assert_eq!(tally.failed.get(&libc::ECONNREFUSED), Some(&200), "{tally:?}");
    let call = caller.call_many(beyond.addr(), 20, PATIENCE).expect("it lives");
    assert!(call.iter().all(|call| call.connect_errno() == Some(libc::ECONNREFUSED)));
    beyond.set(Behaviour::Healthy).expect("it lives");
    assert_all_answered(&caller.call_many(beyond.addr(), 20, PATIENCE).expect("it lives"));

    guarded[0].set(Behaviour::Refuse).expect("it lives");
    caller.call_many(guarded[0].addr(), 3, PATIENCE).expect("it lives");
    let errors = errors_until_open(&events, guarded[0].addr());
    assert_eq!(errors.len(), 1, "said once: {errors:#?}");
    assert!(errors[0].contains("all 2 endpoint slots are in use; raise max_endpoints"));
    let refused = caller.call(guarded[0].addr(), PATIENCE).expect("it lives");
    assert_eq!(refused.connect_errno(), Some(libc::EHOSTUNREACH));
    assert_all_answered(&caller.call_many(guarded[1].addr(), 20, PATIENCE).expect("it lives"));
    assert_eq!(guarded[0].accepted(), 0);
    let node = daemon.status().expect("it answers").node;
    assert_eq!((node.endpoints, node.max_endpoints), (2, 2));
}

/// New endpoints come faster than the daemon can take them in, and verdicts are renewed all the same.
#[test]
fn a_flood_of_new_endpoints_does_not_unguard_the_others() {
    let (mut flooding, cgroup) = caller("flood");
    let mut asking = Caller::spawn(&cgroup).expect("a caller starts");
    let backend = backend(Behaviour::Healthy);
    let port = backend.addr().port();
    let text = crowded(&cgroup, 50_000, &[backend.addr()], port);
    let daemon = Daemon::start(&text).expect("it starts");
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root may trip");

    std::thread::scope(|scope| {
        let flood = scope.spawn(|| flooding.burst(&network(port, 40_000), 1, 2));
        while !flood.is_finished() {
            let call = asking.call(backend.addr(), PATIENCE).expect("it lives");
            assert_eq!(call.connect_errno(), Some(libc::EHOSTUNREACH));
        }
        let tally = flood.join().expect("no panic").expect("they live");
        assert_eq!(tally.failed, [(libc::ECONNREFUSED, 80_000)].into());
    });
    assert_eq!(backend.accepted(), 0);
}

/// A policy about `endpoints` and a network around them, which has room for `slots` breakers.
fn crowded(cgroup: &Cgroup, slots: u32, endpoints: &[SocketAddr], network_port: u16) -> String {
    let network = format!("endpoints = [\"127.0.0.0/8:{network_port}\", ");
    let rules = LASTING.replace("open = {", "open = { errno = \"EHOSTUNREACH\",");
    let text = policy(cgroup, endpoints, &rules).replace("endpoints = [", &network);
    format!("[node]\nmax_endpoints = {slots}\nverdict_ttl = \"1s\"\n{text}")
}

/// Addresses of a loopback network that nobody has used.
fn network(port: u16, hosts: u32) -> Vec<SocketAddr> {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 0));
    (first..first + hosts).map(|host| (Ipv4Addr::from(host), port).into()).collect()
}

/// What the daemon complains about until a breaker opens.
fn errors_until_open(events: &Events, endpoint: SocketAddr) -> Vec<String> {
    let endpoint = endpoint.to_string();
    let mut errors = Vec::new();
    let opened = events.wait_for(|event| {
        if event.kind == EventKind::Error {
            errors.push(event.text.clone());
        }
        let EventKind::Transition { endpoint: of, to, .. } = &event.kind else { return None };
        (*of == endpoint && to == "open").then_some(())
    });
    opened.expect("it opens");
    errors
}
