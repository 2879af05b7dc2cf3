//! A socket that is taken back and connected elsewhere leaves its endpoint alone: neither its
//! evidence, nor its probe, nor its hold goes with it.
//!
//! Where a failure must not be counted, the last thing done is a success, and the other way round:
//! the counts can then be right in one way only.

use std::net::SocketAddr;
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Caller, Cause, ConnectOptions, Errno};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_tests::netns::NetNs;
use shedder_tests::wire::SynCounter;
use shedder_user::api::model::{EventKind, Outcomes};

use crate::scene::{
    LOCALHOST, PATIENCE, WATCH, assert_all_answered, backend, caller, failures, policy,
};

/// One probe, which has a second for its result. Nobody is patient enough to have seen a timeout.
const ONE_PROBE: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "100ms", max = "100ms", jitter = 0.0 }
half_open = { tokens = 1, successes = 1, deadline = "1s" }
recovery = { ramp = "0s" }
caller_timeout = "10s"
"#;

/// Far longer than a connect takes that is not held.
const LONG_HOLD: &str = "open = { action = \"delay\", delay = \"5s\" }";
const PROMPT_US: u64 = 2_000_000;

#[test]
fn failures_elsewhere_are_not_counted_for_the_earlier_endpoint() {
    let (mut caller, cgroup) = caller("reuse");
    let (guarded, elsewhere) = (backend(Behaviour::Healthy), backend(Behaviour::Refuse));
    let daemon = Daemon::start(&policy(&cgroup, &[guarded.addr()], WATCH)).expect("it starts");

    let served = caller.open(guarded.addr(), PATIENCE).expect("it opens");
    assert!(caller.request(served, PATIENCE).expect("it lives").answered());
    let refused = caller.reconnect(served, elsewhere.addr(), PATIENCE).expect("it lives");
    assert_eq!(refused.errno(), Some(libc::ECONNREFUSED));

    elsewhere.set(Behaviour::ResetAfterAccept).expect("it lives");
    let unused = caller.open(guarded.addr(), PATIENCE).expect("it opens");
    assert!(caller.reconnect(unused, elsewhere.addr(), PATIENCE).expect("it lives").connected());
    let reset = caller.request(unused, PATIENCE).expect("it lives");
    assert_eq!(reset.errno(), Some(libc::ECONNRESET));

    // The answer, the connection that was not used, and this.
    assert!(caller.call(guarded.addr(), PATIENCE).expect("it lives").answered());
    assert_eq!(failures(&daemon, guarded.addr(), 3), 0);
}

/// To the same endpoint again and again: each time it is decided anew and counted once.
#[test]
fn each_connect_of_a_socket_is_an_attempt_of_its_own() {
    let (mut caller, cgroup) = caller("again");
    let (guarded, elsewhere) = (backend(Behaviour::Healthy), backend(Behaviour::Healthy));
    let daemon = Daemon::start(&policy(&cgroup, &[guarded.addr()], WATCH)).expect("it starts");
    let socket = caller.open(elsewhere.addr(), PATIENCE).expect("it opens");
    let mut errno_at = |endpoint: SocketAddr| {
        let attempt = caller.reconnect(socket, endpoint, PATIENCE).expect("it lives");
        if attempt.connected() {
            assert!(caller.request(socket, PATIENCE).expect("it lives").answered());
        }
        attempt.errno()
    };

    assert_eq!([guarded.addr(); 2].map(&mut errno_at), [None; 2]);
    daemon.succeed(&["trip", &guarded.addr().to_string()]).expect("root may trip");
    assert_eq!([guarded.addr(); 2].map(&mut errno_at), [Some(libc::ECONNREFUSED); 2]);
    assert_eq!(errno_at(elsewhere.addr()), None);
    daemon.succeed(&["reset", &guarded.addr().to_string()]).expect("root may");
    assert_eq!(errno_at(guarded.addr()), None);

    let breaker = daemon.breaker(guarded.addr()).expect("it has one");
    assert_eq!((breaker.allowed_total, breaker.shed_total), (3, 2));
    assert_eq!(breaker.outcomes, Outcomes { answered: 3, ..Outcomes::default() });
}

/// The connect was decided and then found no route: what the socket does next is its own affair.
#[test]
fn an_attempt_that_never_left_is_not_finished_elsewhere() {
    let (net, guarded, elsewhere) = without_a_route();
    let cgroup = Cgroup::new("never-left").expect("a cgroup");
    let mut caller = Caller::spawn_in(&cgroup, &net).expect("a caller starts");
    let daemon = Daemon::start(&policy(&cgroup, &[guarded.addr()], WATCH)).expect("it starts");

    let (socket, returned) = caller.start(guarded.addr()).expect("it lives");
    assert_eq!(code(returned), Some(libc::ENETUNREACH));
    let refused = caller.reconnect(socket, elsewhere.addr(), PATIENCE).expect("it lives");
    assert_eq!(refused.errno(), Some(libc::ECONNREFUSED));

    net.ip("addr add 198.51.100.7/32 dev lo").expect("root may");
    assert!(caller.call(guarded.addr(), PATIENCE).expect("it lives").answered());
    assert_eq!(failures(&daemon, guarded.addr(), 1), 0);
}

#[test]
fn an_answer_elsewhere_is_no_result_of_the_probe() {
    let (mut caller, cgroup) = caller("reused-probe");
    let (guarded, elsewhere) = (backend(Behaviour::Hang), backend(Behaviour::Healthy));
    let daemon = Daemon::start(&policy(&cgroup, &[guarded.addr()], ONE_PROBE)).expect("it starts");
    let events = half_open(&daemon, guarded.addr());

    let probe = caller.open(guarded.addr(), PATIENCE).expect("it has the token");
    let abandoned = caller.request(probe, Duration::from_millis(30)).expect("it lives");
    assert!(abandoned.timed_out());
    assert!(caller.reconnect(probe, elsewhere.addr(), PATIENCE).expect("it lives").connected());
    assert!(caller.request(probe, PATIENCE).expect("it lives").answered());

    assert_eq!(next_transition(&events), reopened("no probe came to a result in time"));
}

/// A probe of an earlier time that answers at last says nothing of the probes there are now.
#[test]
fn a_turn_on_the_connection_of_an_earlier_probe_is_no_result_of_a_probe() {
    let (mut caller, cgroup) = caller("old-probe");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], ONE_PROBE)).expect("it starts");
    let events = half_open(&daemon, backend.addr());

    let earlier = caller.open(backend.addr(), PATIENCE).expect("it has the token");
    assert_eq!(next_transition(&events), reopened("of 1 probes 0 failed and 1 had no answer"));
    events.wait_for_state(backend.addr(), "half_open").expect("it probes again");
    assert!(caller.request(earlier, PATIENCE).expect("it lives").answered());

    backend.set(Behaviour::Refuse).expect("it lives");
    let probe = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(probe.connect_errno(), Some(libc::ECONNREFUSED));
    assert_eq!(next_transition(&events), reopened("of 1 probes 1 failed and 0 had no answer"));
}

#[test]
fn a_hold_does_not_follow_the_socket_elsewhere() {
    let (mut caller, cgroup) = caller("reused-hold");
    let (guarded, elsewhere) = (backend(Behaviour::Healthy), backend(Behaviour::Healthy));
    let daemon = Daemon::start(&policy(&cgroup, &[guarded.addr()], LONG_HOLD)).expect("it starts");
    daemon.succeed(&["trip", &guarded.addr().to_string()]).expect("root may trip");
    let wire = SynCounter::on_loopback(guarded.addr().port()).expect("root may count");

    let (held, returned) = caller.start(guarded.addr()).expect("it lives");
    assert_eq!(code(returned), Some(libc::EINPROGRESS));
    let attempt = caller.reconnect(held, elsewhere.addr(), PATIENCE).expect("it lives");
    assert!(attempt.connected() && attempt.connect_us < PROMPT_US, "{attempt:?}");
    assert!(caller.request(held, PATIENCE).expect("it lives").answered());

    assert_eq!(elsewhere.accepted(), 1);
    assert_eq!(daemon.breaker(guarded.addr()).expect("it has one").shed_total, 1);
    assert_eq!(wire.count().expect("it counts"), 0, "what was held never left");
    // The same endpoint is still held, for whoever comes next.
    let options =
        ConnectOptions { timeout: Some(Duration::from_millis(100)), ..ConnectOptions::default() };
    let next = caller.connect(guarded.addr(), &options).expect("it lives");
    assert_eq!(next.failure, Some(Cause::Timeout));
}

/// The hold was decided, but there was no SYN to hold.
#[test]
fn a_hold_that_never_began_does_not_follow_the_socket_elsewhere() {
    let (net, guarded, elsewhere) = without_a_route();
    elsewhere.set(Behaviour::Healthy).expect("it lives");
    let cgroup = Cgroup::new("no-hold").expect("a cgroup");
    let mut caller = Caller::spawn_in(&cgroup, &net).expect("a caller starts");
    let daemon = Daemon::start(&policy(&cgroup, &[guarded.addr()], LONG_HOLD)).expect("it starts");
    daemon.succeed(&["trip", &guarded.addr().to_string()]).expect("root may trip");

    let (socket, returned) = caller.start(guarded.addr()).expect("it lives");
    assert_eq!(code(returned), Some(libc::ENETUNREACH));
    assert_eq!(daemon.breaker(guarded.addr()).expect("it has one").shed_total, 1);
    let attempt = caller.reconnect(socket, elsewhere.addr(), PATIENCE).expect("it lives");
    assert!(attempt.connected() && attempt.connect_us < PROMPT_US, "{attempt:?}");
    assert_all_answered(&[caller.request(socket, PATIENCE).expect("it lives")]);
}

/// A network, a healthy backend in it to which there is no route until `198.51.100.7` is added to
/// the loopback interface again, and a backend beside it that refuses.
fn without_a_route() -> (NetNs, Backend, Backend) {
    let net = NetNs::new("reuse").expect("a namespace can be made: run as root");
    net.ip("addr add 198.51.100.7/32 dev lo").expect("root may");
    let address = "198.51.100.7".parse().expect("an address");
    let start = |ip, behaviour| net.enter(|| Backend::start(ip, behaviour)).expect("it enters");
    let guarded = start(address, Behaviour::Healthy).expect("a backend starts");
    let elsewhere = start(LOCALHOST, Behaviour::Refuse).expect("a backend starts");
    net.ip("addr del 198.51.100.7/32 dev lo").expect("root may");
    (net, guarded, elsewhere)
}

/// Brings the breaker to where it probes; what happens from then on.
fn half_open(daemon: &Daemon, endpoint: SocketAddr) -> Events {
    let events = daemon.events().expect("it answers");
    daemon.succeed(&["trip", &endpoint.to_string(), "--for", "100ms"]).expect("root may trip");
    events.wait_for_state(endpoint, "half_open").expect("the override ends");
    events
}

/// The state the only breaker moves to next, and why.
fn next_transition(events: &Events) -> (String, String) {
    let next = events.wait_for(|event| {
        let EventKind::Transition { to, reason, .. } = &event.kind else { return None };
        Some((to.clone(), reason.text.clone()))
    });
    next.expect("something becomes of the probes")
}

fn reopened(why: &str) -> (String, String) {
    ("open".to_owned(), why.to_owned())
}

fn code(returned: Option<Errno>) -> Option<i32> {
    returned.map(|errno| errno.code)
}
