//! A hold borrows the socket's SYN count (`TCP_SYNCNT`) and gives it back.
//!
//! The holds are far shorter than a second, so that they need more SYNs than the socket would send.

use std::net::SocketAddr;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::{Caller, Cause, ConnectionId};
use shedder_tests::wire::SynCounter;

use crate::scene::{PATIENCE, backend, caller, delaying};

const HOLD: &str = "20ms";
/// What the application asks for.
const OWN: u32 = 2;

#[test]
fn a_held_connect_leaves_the_applications_syn_count() {
    let (mut caller, cgroup) = caller("syn-count");
    let (guarded, elsewhere) = (backend(Behaviour::Healthy), backend(Behaviour::Healthy));
    let daemon = delaying(&cgroup, guarded.addr(), HOLD);

    let chosen = with_own_count(&mut caller, elsewhere.addr());
    let default = caller.open(elsewhere.addr(), PATIENCE).expect("it opens");
    let usual = caller.syn_count(default).expect("it lives");
    for (socket, own) in [(chosen, OWN), (default, usual)] {
        let attempt = caller.reconnect(socket, guarded.addr(), PATIENCE).expect("it lives");
        assert!(attempt.connected(), "{attempt:?}");
        assert_eq!(caller.syn_count(socket).expect("it lives"), own);
    }
    guarded.set(Behaviour::Refuse).expect("it lives");
    let refused = caller.reconnect(chosen, guarded.addr(), PATIENCE).expect("it lives");
    assert_eq!(refused.errno(), Some(libc::ECONNREFUSED));
    assert_eq!(caller.syn_count(chosen).expect("it lives"), OWN);
    assert_eq!(daemon.breaker(guarded.addr()).expect("it has one").shed_total, 3);
}

/// The SYNs of a hold this short follow each other quickly: two more of them would be over in a
/// quarter of a second. Without a hold they last seven.
#[test]
fn a_small_syn_count_does_not_end_a_held_connect_at_once() {
    let (mut caller, cgroup) = caller("few-syns");
    let (guarded, elsewhere) = (backend(Behaviour::Blackhole), backend(Behaviour::Healthy));
    let _daemon = delaying(&cgroup, guarded.addr(), HOLD);
    let wire = SynCounter::on_loopback(guarded.addr().port()).expect("root may count");

    let socket = with_own_count(&mut caller, elsewhere.addr());
    let limit = Duration::from_millis(3_500);
    let attempt = caller.reconnect(socket, guarded.addr(), limit).expect("it lives");
    assert_eq!(attempt.failure, Some(Cause::Timeout), "its own limit, no errno: {attempt:?}");
    let sent = wire.count().expect("it counts");
    assert!(sent > 1, "{sent} SYNs");

    // What was given up has still borrowed; what comes next has not.
    assert!(caller.syn_count(socket).expect("it lives") > OWN);
    let attempt = caller.reconnect(socket, elsewhere.addr(), PATIENCE).expect("it lives");
    assert!(attempt.connected(), "{attempt:?}");
    assert_eq!(caller.syn_count(socket).expect("it lives"), OWN);
}

#[test]
fn a_syn_count_chosen_during_a_hold_stays() {
    let (mut caller, cgroup) = caller("new-count");
    let (guarded, elsewhere) = (backend(Behaviour::Blackhole), backend(Behaviour::Healthy));
    let _daemon = delaying(&cgroup, guarded.addr(), HOLD);

    let socket = with_own_count(&mut caller, elsewhere.addr());
    let limit = Duration::from_millis(100);
    let attempt = caller.reconnect(socket, guarded.addr(), limit).expect("it lives");
    assert_eq!(attempt.failure, Some(Cause::Timeout));
    caller.set_syn_count(socket, 5).expect("the kernel lets it");
    let attempt = caller.reconnect(socket, elsewhere.addr(), PATIENCE).expect("it lives");
    assert!(attempt.connected(), "{attempt:?}");
    assert_eq!(caller.syn_count(socket).expect("it lives"), 5);
}

/// A socket whose application has set its SYN count.
fn with_own_count(caller: &mut Caller, elsewhere: SocketAddr) -> ConnectionId {
    let socket = caller.open(elsewhere, PATIENCE).expect("it opens");
    caller.set_syn_count(socket, OWN).expect("the kernel lets it");
    socket
}
