//! Connections of whose end nobody tells, because a program of somebody else has cleared the flags that ask for it.

use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::foreign::{Foreign, Mode, Program};
use shedder_tests::netns::NetNs;

use crate::scene::{LOCALHOST, PATIENCE, WATCH, policy, taken_places, wait_at_most, wait_until};

/// They are no longer counted as open and keep no place, and one that is open stays what it was. All of them are in
/// a network namespace where the daemon is not.
#[test]
fn who_has_ended_untold_is_found_to_be_gone() {
    let cgroup = Cgroup::new("untold").expect("a cgroup");
    let net = NetNs::new("untold").expect("a namespace");
    let mut caller = Caller::spawn_in(&cgroup, &net).expect("a caller starts");
    let backend = net.enter(|| Backend::start(LOCALHOST, Behaviour::Healthy));
    let backend = backend.expect("root may").expect("a port is free");
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    let _deafening =
        Foreign::attach(&cgroup, Program::Deafen, Mode::Link).expect("it lets others be");

    let open = |caller: &mut Caller| caller.open(backend.addr(), PATIENCE).expect("it connects");
    let [idle, asking, kept] = [(); 3].map(|()| open(&mut caller));
    for connection in [idle, kept] {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    }
    backend.set(Behaviour::Hang).expect("it can");
    let unanswered = caller.request(asking, Duration::from_millis(50)).expect("it lives");
    assert!(!unanswered.answered());
    for connection in [idle, asking] {
        caller.close(connection).expect("it lives");
    }
    let counted = |daemon: &Daemon| {
        let in_flight = daemon.breaker(backend.addr()).expect("it has one").in_flight;
        (in_flight.connections, in_flight.waiting)
    };
    assert_eq!((counted(&daemon), untold_ends(&daemon)), ((3, 1), 0));

    wait_at_most(Duration::from_mins(2), "somebody looks", || untold_ends(&daemon) == 2);
    assert_eq!((counted(&daemon), taken_places(&daemon)), ((1, 0), 1));
    backend.set(Behaviour::Healthy).expect("it can");
    let answered = daemon.breaker(backend.addr()).expect("it has one").outcomes.answered;
    assert!(caller.request(kept, PATIENCE).expect("it lives").answered());
    wait_until(&daemon, backend.addr(), |it| it.outcomes.answered == answered + 1);
}

fn untold_ends(daemon: &Daemon) -> u64 {
    daemon.status().expect("it answers").node.untold_ends
}
