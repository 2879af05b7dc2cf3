//! An open breaker touches its own cell and nothing else (S0.42).

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;

use crate::scene::{
    LASTING, PATIENCE, assert_all_answered, backend, caller, open, policy, policy_for,
};

#[test]
fn siblings_and_strangers_are_untouched_while_one_endpoint_is_open() {
    let (mut caller, cgroup) = caller("isolated");
    let (mut stranger, _strangers) = crate::scene::caller("stranger");
    let (bad, good) = (backend(Behaviour::Refuse), backend(Behaviour::Healthy));
    let endpoints = [bad.addr(), good.addr()];
    let daemon = Daemon::start(&policy(&cgroup, &endpoints, LASTING)).expect("it starts");
    drop(open(&daemon, &mut caller, bad.addr()));

    assert_all_answered(&caller.call_many(good.addr(), 200, PATIENCE).expect("it lives"));
    // The endpoint is well again, but only the strangers, who are not guarded, may find out.
    bad.set(Behaviour::Healthy).expect("the backend lives");
    assert_all_answered(&stranger.call_many(bad.addr(), 200, PATIENCE).expect("it lives"));
    let shed = caller.call(bad.addr(), PATIENCE).expect("the caller lives");
    assert_eq!(shed.connect_errno(), Some(libc::ECONNREFUSED));
    assert_eq!(bad.accepted(), 200);
    assert_eq!(daemon.breaker(good.addr()).expect("it has one").shed_total, 0);
}

#[test]
fn one_callers_breaker_is_not_anothers() {
    let (mut first, first_cgroup) = caller("first");
    let (mut second, second_cgroup) = caller("second");
    let backend = backend(Behaviour::Refuse);
    let callers = [("first", &first_cgroup), ("second", &second_cgroup)];
    let daemon =
        Daemon::start(&policy_for(&callers, &[backend.addr()], LASTING)).expect("it starts");
    drop(open(&daemon, &mut first, backend.addr()));
    backend.set(Behaviour::Healthy).expect("the backend lives");
    assert_all_answered(&second.call_many(backend.addr(), 50, PATIENCE).expect("it lives"));
    let shed = first.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(shed.connect_errno(), Some(libc::ECONNREFUSED));
}

/// In observe mode everything goes through and what enforcing would have shed is counted.
#[test]
fn observing_changes_nothing_and_counts_what_it_would() {
    let (mut caller, cgroup) = caller("observed");
    let backend = backend(Behaviour::Refuse);
    let text = policy(&cgroup, &[backend.addr()], LASTING)
        .replace("mode = \"enforce\"", "mode = \"observe\"");
    let daemon = Daemon::start(&text).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("the backend lives");
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!(breaker.state, "observe");
    assert_eq!(breaker.would_be.as_deref(), Some("open"));
    assert_eq!((breaker.shed_total, breaker.would_shed_total), (0, 20));
}
