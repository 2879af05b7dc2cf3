//! An endpoint that nobody calls makes room for another, and nothing of it is left there.

use std::net::SocketAddr;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_tests::vitals::map_entries;
use shedder_user::api::model::EventKind;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy, wait_for};

/// Two failures of the earlier tenant would open the later one's breaker a connect too soon.
#[test]
fn what_is_called_no_more_makes_room_and_leaves_nothing_behind() {
    let (mut caller, cgroup) = caller("forget");
    let [named, first, second] =
        [Behaviour::Healthy, Behaviour::Refuse, Behaviour::Healthy].map(backend);
    let daemon = forgetful(&cgroup, &[named.addr()], &[&first, &second], 2);
    let events = daemon.events().expect("it answers");

    assert_all_answered(&caller.call_many(named.addr(), 1, PATIENCE).expect("it lives"));
    caller.call(first.addr(), PATIENCE).expect("it lives");
    wait_for_discovery(&events, first.addr());
    caller.call_many(first.addr(), 2, PATIENCE).expect("it lives");
    // There is no room: it passes, and that is said.
    assert_all_answered(&caller.call_many(second.addr(), 1, PATIENCE).expect("it lives"));
    let no_room =
        events.wait_for(|event| matches!(event.kind, EventKind::Error).then(|| event.text.clone()));
    assert!(no_room.expect("it is said").contains("all 2 endpoint slots are in use"));

    wait_for_forgetting(&events, first.addr());
    wait_for("the second endpoint is discovered", || {
        assert_all_answered(&caller.call_many(second.addr(), 1, PATIENCE).expect("it lives"));
        daemon.breaker(second.addr()).is_ok()
    });
    // Forgotten is forgotten, and what is named is kept though nobody calls it.
    assert!(daemon.breaker(first.addr()).is_err());
    assert_eq!(daemon.breaker(named.addr()).expect("it has one").outcomes.answered, 1);
    second.set(Behaviour::Refuse).expect("it lives");
    let calls = caller.call_many(second.addr(), 3, PATIENCE).expect("it lives");
    assert_eq!(calls.len(), 3);
    events.wait_for_state(second.addr(), "open").expect("it opens");
    let breaker = daemon.breaker(second.addr()).expect("it has one");
    assert_eq!((breaker.outcomes.refused, breaker.shed_total), (3, 0), "{breaker:?}");
    assert!(!caller.call(second.addr(), PATIENCE).expect("it lives").answered());
}

/// AT-23: neither its slot nor that it was ever announced.
#[test]
fn what_is_forgotten_leaves_no_entry_in_any_map() {
    let (mut caller, cgroup) = caller("entries");
    let backends = [(); 3].map(|()| backend(Behaviour::Healthy));
    let [first, second, third] = &backends;
    let daemon = forgetful(&cgroup, &[], &[first, second, third], 3);
    let entries = || map_entries(daemon.pid()).expect("its maps can be read");
    let before = entries();
    let events = daemon.events().expect("it answers");
    for backend in &backends {
        caller.call(backend.addr(), PATIENCE).expect("it lives");
        wait_for_discovery(&events, backend.addr());
    }
    assert_ne!(entries(), before, "there is something to forget");
    for _ in &backends {
        let forgotten = events
            .wait_for(|event| matches!(event.kind, EventKind::Forgotten { .. }).then_some(()));
        forgotten.expect("nobody calls it");
    }
    assert_eq!(entries(), before);
}

/// Evidence of a connection must have somewhere to go.
#[test]
fn what_still_has_a_connection_is_kept() {
    let (mut caller, cgroup) = caller("kept");
    let [busy, idle] = [Behaviour::Healthy, Behaviour::Healthy].map(backend);
    let daemon = forgetful(&cgroup, &[], &[&busy, &idle], 2);
    let events = daemon.events().expect("it answers");
    for backend in [&busy, &idle] {
        caller.call(backend.addr(), PATIENCE).expect("it lives");
        wait_for_discovery(&events, backend.addr());
    }
    let connection = caller.open(busy.addr(), PATIENCE).expect("it opens");
    wait_for_forgetting(&events, idle.addr());
    assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    wait_for("the answer is counted", || {
        daemon.breaker(busy.addr()).is_ok_and(|breaker| breaker.outcomes.answered == 1)
    });
    caller.close(connection).expect("it closes");
    wait_for_forgetting(&events, busy.addr());
    assert_eq!(daemon.status().expect("it answers").node.endpoints, 0);
}

/// A breaker that is not closed may still change what a connect meets.
#[test]
fn an_open_breaker_is_kept() {
    let (mut caller, cgroup) = caller("open");
    let [sick, idle] = [Behaviour::Refuse, Behaviour::Healthy].map(backend);
    let daemon = forgetful(&cgroup, &[], &[&sick, &idle], 2);
    let events = daemon.events().expect("it answers");
    for backend in [&sick, &idle] {
        caller.call(backend.addr(), PATIENCE).expect("it lives");
        wait_for_discovery(&events, backend.addr());
    }
    caller.call_many(sick.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(sick.addr(), "open").expect("it opens");
    caller.call(idle.addr(), PATIENCE).expect("it lives");
    wait_for_forgetting(&events, idle.addr());
    assert_eq!(daemon.breaker(sick.addr()).expect("it has one").state, "open");
}

/// An endpoint that died is called no more, so nothing will ever show that it is well again.
#[test]
fn a_breaker_that_waits_for_calls_in_vain_is_forgotten() {
    let (mut caller, cgroup) = caller("in-vain");
    let dead = backend(Behaviour::Refuse);
    let daemon = forgetful(&cgroup, &[], &[&dead], 1);
    let events = daemon.events().expect("it answers");
    caller.call(dead.addr(), PATIENCE).expect("it lives");
    wait_for_discovery(&events, dead.addr());
    daemon.succeed(&["trip", &dead.addr().to_string(), "--for", "100ms"]).expect("root may trip");
    events.wait_for_state(dead.addr(), "half_open").expect("the order ends");
    wait_for_forgetting(&events, dead.addr());
    assert_eq!(daemon.status().expect("it answers").node.endpoints, 0);
}

/// Nobody else's name is shown for it: the peer of a connection that went to its sibling is the sibling.
#[test]
fn a_redirected_connection_is_not_shown_the_name_of_another() {
    let (mut caller, cgroup) = caller("renamed");
    let [good, dead, other] =
        [Behaviour::Healthy, Behaviour::Refuse, Behaviour::Healthy].map(backend);
    let rules = "open.action = \"redirect\"";
    let daemon = forgetful_by(rules, &cgroup, &[good.addr()], &[&dead, &other], 2);
    let events = daemon.events().expect("it answers");
    caller.call(dead.addr(), PATIENCE).expect("it lives");
    wait_for_discovery(&events, dead.addr());
    daemon.succeed(&["trip", &dead.addr().to_string(), "--for", "1s"]).expect("root may trip");
    let connection = caller.open(dead.addr(), PATIENCE).expect("its sibling takes it");
    assert_eq!(caller.peer(connection).expect("it lives"), dead.addr());
    wait_for_forgetting(&events, dead.addr());
    wait_for("another has its slot", || {
        caller.call(other.addr(), PATIENCE).expect("it lives");
        daemon.breaker(other.addr()).is_ok()
    });
    assert_eq!(caller.peer(connection).expect("it lives"), good.addr());
}

/// A daemon that forgets after a second: `named` endpoints, and those of any loopback address with
/// the port of one of `found`.
fn forgetful(cgroup: &Cgroup, named: &[SocketAddr], found: &[&Backend], slots: u32) -> Daemon {
    forgetful_by(LASTING, cgroup, named, found, slots)
}

fn forgetful_by(
    rules: &str,
    cgroup: &Cgroup,
    named: &[SocketAddr],
    found: &[&Backend],
    slots: u32,
) -> Daemon {
    let networks = found.iter().map(|backend| format!("127.0.0.0/8:{}", backend.addr().port()));
    let endpoints: Vec<String> = named.iter().map(ToString::to_string).chain(networks).collect();
    let text =
        policy(cgroup, &[], rules).replace("endpoints = []", &format!("endpoints = {endpoints:?}"));
    let node = format!("[node]\nmax_endpoints = {slots}\nforget_after = \"1s\"\n");
    Daemon::start(&format!("{node}{text}")).expect("it starts")
}

fn wait_for_discovery(events: &Events, endpoint: SocketAddr) {
    let wanted = endpoint.to_string();
    let found = events.wait_for(|event| {
        let is_it =
            matches!(&event.kind, EventKind::Discovered { endpoint, .. } if *endpoint == wanted);
        is_it.then_some(())
    });
    found.expect("it is discovered");
}

fn wait_for_forgetting(events: &Events, endpoint: SocketAddr) {
    let wanted = endpoint.to_string();
    let gone = events.wait_for(|event| {
        let is_it =
            matches!(&event.kind, EventKind::Forgotten { endpoint, .. } if *endpoint == wanted);
        is_it.then_some(())
    });
    gone.expect("it is forgotten");
}
