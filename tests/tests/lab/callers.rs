//! Callers: where they run and what they report.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv6Addr, SocketAddr};

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Caller, Cause, ConnectOptions, as_mapped_ipv6};

use crate::{LOCALHOST, PATIENCE, caller};

#[test]
fn the_process_is_in_its_cgroup_and_ends_with_the_caller() {
    let (caller, cgroup) = caller("member");
    let proc = format!("/proc/{}", caller.pid());
    let membership = fs::read_to_string(format!("{proc}/cgroup")).unwrap();
    assert!(membership.lines().any(|line| line == format!("0::{}", cgroup.name())), "{membership}");
    drop(caller);
    assert!(!fs::exists(proc).unwrap());
}

#[test]
fn a_call_reports_times_and_both_addresses() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("call");
    let call = caller.call(backend.addr(), PATIENCE).unwrap();
    assert!(call.answered(), "{call:?}");
    assert_eq!(call.peer, Some(backend.addr()));
    assert_eq!(call.local.map(|local| local.ip()), Some(LOCALHOST));
    assert!(call.total_us >= call.connect_us);
}

#[test]
fn many_calls_are_many_connections() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("many");
    let calls = caller.call_many(backend.addr(), 500, PATIENCE).unwrap();
    assert!(calls.len() == 500 && calls.iter().all(shedder_tests::caller::Call::answered));
    assert_eq!((backend.accepted(), backend.answered()), (500, 500));
}

#[test]
fn a_storm_is_distinct_connections_at_once() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("storm");
    let calls = caller.storm(backend.addr(), 64, PATIENCE).unwrap();
    assert!(calls.iter().all(shedder_tests::caller::Call::answered), "{calls:?}");
    let sources: BTreeSet<SocketAddr> = calls.iter().filter_map(|call| call.local).collect();
    assert_eq!((sources.len(), backend.accepted()), (64, 64));
}

#[test]
fn one_connection_carries_several_requests() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("keep");
    let connection = caller.open(backend.addr(), PATIENCE).unwrap();
    let ports: BTreeSet<_> = (0..3)
        .map(|_| caller.request(connection, PATIENCE).unwrap())
        .inspect(|call| assert!(call.answered(), "{call:?}"))
        .map(|call| call.local)
        .collect();
    assert_eq!((ports.len(), backend.accepted(), backend.answered()), (1, 1, 3));
    caller.close(connection).unwrap();
    assert!(caller.request(connection, PATIENCE).is_err());
}

#[test]
fn a_socket_is_reused_for_another_backend() {
    let first = Backend::start(LOCALHOST, Behaviour::Blackhole).unwrap();
    let second = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("reuse");
    let (connection, returned) = caller.start(first.addr()).unwrap();
    assert_eq!(returned.map(|errno| errno.code), Some(libc::EINPROGRESS));
    let attempt = caller.reconnect(connection, second.addr(), PATIENCE).unwrap();
    assert_eq!(attempt.peer, Some(second.addr()), "{attempt:?}");
    assert!(caller.request(connection, PATIENCE).unwrap().answered());
    second.set(Behaviour::Refuse).unwrap();
    let attempt = caller.reconnect(connection, second.addr(), PATIENCE).unwrap();
    assert_eq!(attempt.errno(), Some(libc::ECONNREFUSED), "{attempt:?}");
}

#[test]
fn the_end_of_a_connection_is_awaited_and_told_apart() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("ends");
    let connection = caller.open(backend.addr(), PATIENCE).unwrap();
    let moment = std::time::Duration::from_millis(20);
    assert_eq!(caller.await_end(connection, moment).unwrap(), Cause::Timeout);
    // The backend closes a connection whose caller has ended its side.
    assert!(caller.last_request(connection, PATIENCE).unwrap().answered());
    assert_eq!(caller.await_end(connection, PATIENCE).unwrap(), Cause::Closed);
    let connection = caller.open(backend.addr(), PATIENCE).unwrap();
    backend.set(Behaviour::Refuse).unwrap();
    let Cause::Errno(errno) = caller.await_end(connection, PATIENCE).unwrap() else {
        unreachable!("a reset has a number");
    };
    assert_eq!(errno.code, libc::ECONNRESET);
}

#[test]
fn every_way_to_connect_works_and_is_refused_alike() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("ways");
    for behaviour in [Behaviour::Healthy, Behaviour::Refuse] {
        backend.set(behaviour).unwrap();
        for choice in 0..8 {
            let options = ConnectOptions {
                timeout: Some(PATIENCE),
                nonblocking: choice & 1 != 0,
                linger0: choice & 2 != 0,
                as_mapped_ipv6: choice & 4 != 0,
            };
            let attempt = caller.connect(backend.addr(), &options).unwrap();
            if behaviour == Behaviour::Refuse {
                assert_eq!(attempt.errno(), Some(libc::ECONNREFUSED), "{options:?}: {attempt:?}");
                continue;
            }
            assert!(attempt.connected(), "{options:?}: {attempt:?}");
            let mapped = as_mapped_ipv6(backend.addr());
            let peer = if options.as_mapped_ipv6 { mapped } else { backend.addr() };
            assert_eq!(attempt.peer, Some(peer));
            let returned = options.nonblocking.then_some(libc::EINPROGRESS);
            assert_eq!(attempt.returned.map(|errno| errno.code), returned);
        }
    }
}

#[test]
fn the_callers_own_limit_is_a_timeout_and_no_errno() {
    let backend = Backend::start(LOCALHOST, Behaviour::Blackhole).unwrap();
    let (mut caller, _cgroup) = caller("limit");
    for nonblocking in [false, true] {
        let timeout = Some(std::time::Duration::from_millis(50));
        let options = ConnectOptions { timeout, nonblocking, ..ConnectOptions::default() };
        let attempt = caller.connect(backend.addr(), &options).unwrap();
        assert_eq!(attempt.failure, Some(Cause::Timeout), "{attempt:?}");
        assert!((50_000..500_000).contains(&attempt.connect_us), "{attempt:?}");
    }
}

#[test]
fn ipv6_works_too() {
    let backend = Backend::start(Ipv6Addr::LOCALHOST.into(), Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("ipv6");
    let call = caller.call(backend.addr(), PATIENCE).unwrap();
    assert!(call.answered() && call.peer == Some(backend.addr()), "{call:?}");
    backend.set(Behaviour::Refuse).unwrap();
    let call = caller.call(backend.addr(), PATIENCE).unwrap();
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
}

#[test]
fn a_caller_that_has_died_is_an_error() {
    let (mut caller, cgroup) = caller("dead");
    drop(cgroup);
    let answer = Caller::call(&mut caller, (LOCALHOST, 1).into(), PATIENCE);
    assert!(answer.unwrap_err().to_string().contains("has ended"));
}
