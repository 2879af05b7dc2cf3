//! Kinds of sockets, sockets that change hands, and many of them at once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Call, Kind, Tally};

use crate::{LOCALHOST, PATIENCE, caller};

#[test]
fn every_kind_of_socket_calls_and_is_refused_alike() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("kinds");
    for kind in [
        Kind::Blocking,
        Kind::NonBlocking,
        Kind::IoUring,
        Kind::FastOpenSend,
        Kind::FastOpenConnect,
        Kind::Multipath,
        Kind::BoundTo("lo".to_owned()),
    ] {
        let mut call = |expected: Option<i32>| {
            let calls = caller.call_by(&kind, backend.addr(), 2, PATIENCE).unwrap();
            assert!(
                calls.iter().all(|call| call.connect_errno() == expected),
                "{kind:?} {calls:?}"
            );
            calls
        };
        backend.set(Behaviour::Healthy).unwrap();
        assert!(call(None).iter().all(Call::answered), "{kind:?}");
        backend.set(Behaviour::Refuse).unwrap();
        call(Some(libc::ECONNREFUSED));
    }
    assert_eq!((backend.accepted(), backend.answered()), (14, 14));
}

#[test]
fn every_kind_of_socket_keeps_the_callers_limit() {
    let backend = Backend::start(LOCALHOST, Behaviour::Blackhole).unwrap();
    let (mut caller, _cgroup) = caller("kinds-limit");
    let moment = Duration::from_millis(50);
    for kind in [Kind::Blocking, Kind::NonBlocking, Kind::IoUring, Kind::Multipath] {
        let calls = caller.call_by(&kind, backend.addr(), 1, moment).unwrap();
        assert!(calls.iter().all(Call::timed_out), "{kind:?}: {calls:?}");
    }
}

#[test]
fn a_connection_that_is_handed_over_is_its_takers() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut giver, _givers) = caller("giver");
    let (mut taker, _takers) = caller("taker");
    let given = giver.open(backend.addr(), PATIENCE).unwrap();
    assert!(giver.request(given, PATIENCE).unwrap().answered());
    let taken = giver.hand_over(given, &mut taker).unwrap();
    assert!(giver.request(given, PATIENCE).is_err());
    assert!(taker.request(taken, PATIENCE).unwrap().answered());
    assert_eq!((backend.accepted(), backend.answered()), (1, 2));
}

#[test]
fn a_crowd_is_distinct_connections_at_once() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("crowd");
    let calls = caller.crowd(backend.addr(), 16, PATIENCE).unwrap();
    assert!(calls.iter().all(Call::answered), "{calls:?}");
    let sources: BTreeSet<SocketAddr> = calls.iter().filter_map(|call| call.local).collect();
    assert_eq!((sources.len(), backend.accepted()), (16, 16));
}

#[test]
fn a_burst_is_counted_by_what_became_of_it() {
    let [healthy, refusing] = [Behaviour::Healthy, Behaviour::Refuse]
        .map(|behaviour| Backend::start(LOCALHOST, behaviour).unwrap());
    let (mut caller, _cgroup) = caller("burst");
    let tally = caller.burst(&[healthy.addr(), refusing.addr()], 50, 4).unwrap();
    let expected = Tally { connected: 200, failed: [(libc::ECONNREFUSED, 200)].into() };
    assert_eq!((tally, healthy.accepted()), (expected, 200));
}
