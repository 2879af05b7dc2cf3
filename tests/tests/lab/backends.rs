//! Backends: each behaviour as a client sees it, and the changes between them.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Call, Caller, Cause, Errno, Failure, Phase};

use crate::{LOCALHOST, PATIENCE, caller};

const RESET: Cause = Cause::Errno(Errno { code: libc::ECONNRESET });
const LIMIT: Duration = Duration::from_millis(60);

fn call_once(behaviour: Behaviour, timeout: Duration) -> (Call, Backend) {
    let backend = Backend::start(LOCALHOST, behaviour).expect("a backend starts");
    let (mut caller, _cgroup) = caller("behaviour");
    (caller.call(backend.addr(), timeout).expect("a caller calls"), backend)
}

#[test]
fn refuse_is_refused_at_connect() {
    let (call, backend) = call_once(Behaviour::Refuse, PATIENCE);
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "{call:?}");
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn slow_answers_after_its_delay() {
    let (call, backend) = call_once(Behaviour::Slow(Duration::from_millis(50)), PATIENCE);
    assert!(call.answered() && (50_000..500_000).contains(&call.total_us), "{call:?}");
    assert!(call.connect_us < 40_000, "{call:?}");
    assert_eq!(backend.answered(), 1);
}

#[test]
fn reset_after_accept_resets_instead_of_an_answer() {
    let (call, backend) = call_once(Behaviour::ResetAfterAccept, PATIENCE);
    assert_eq!(call.failure, Some(Failure { phase: Phase::Receive, cause: RESET }));
    assert_eq!((backend.accepted(), backend.answered()), (1, 0));
}

#[test]
fn reset_on_accept_resets_an_established_connection() {
    let (call, backend) = call_once(Behaviour::ResetOnAccept, PATIENCE);
    let failure = call.failure.unwrap();
    assert_eq!(failure.cause, RESET);
    assert_ne!(failure.phase, Phase::Connect);
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn an_answer_is_what_it_is_told_to_be() {
    let (call, backend) = call_once(Behaviour::Answer(&[b"po", b"ng\n"]), PATIENCE);
    assert!(call.answered(), "{call:?}");
    backend.set(Behaviour::Answer(&[b"-ERR\n"])).unwrap();
    let (mut caller, _cgroup) = caller("told");
    let call = caller.call(backend.addr(), PATIENCE).unwrap();
    assert_eq!(call.failure, Some(Failure { phase: Phase::Receive, cause: Cause::Garbled }));
    assert_eq!(backend.answered(), 2);
}

#[test]
fn hang_accepts_and_never_answers() {
    let (call, backend) = call_once(Behaviour::Hang, LIMIT);
    assert_eq!(call.failure, Some(Failure { phase: Phase::Receive, cause: Cause::Timeout }));
    assert_eq!((backend.accepted(), backend.answered()), (1, 0));
}

#[test]
fn blackhole_never_connects() {
    let (call, backend) = call_once(Behaviour::Blackhole, LIMIT);
    assert_eq!(call.failure, Some(Failure { phase: Phase::Connect, cause: Cause::Timeout }));
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn close_after_accept_ends_in_good_order() {
    for _ in 0..20 {
        let (call, _backend) = call_once(Behaviour::CloseAfterAccept, PATIENCE);
        let closed = Failure { phase: Phase::Receive, cause: Cause::Closed };
        assert_eq!(call.failure, Some(closed));
    }
}

#[test]
fn flaky_fails_its_share_in_a_fixed_order() {
    let backend = Backend::start(LOCALHOST, Behaviour::Flaky { permille: 250 }).unwrap();
    let (mut caller, _cgroup) = caller("flaky");
    let answered = |calls: Vec<Call>| calls.iter().map(Call::answered).collect::<Vec<_>>();
    let first = answered(caller.call_many(backend.addr(), 40, PATIENCE).unwrap());
    assert_eq!(first.iter().filter(|answered| !**answered).count(), 10);
    backend.set(Behaviour::Flaky { permille: 250 }).unwrap();
    assert_eq!(first, answered(caller.call_many(backend.addr(), 40, PATIENCE).unwrap()));
    assert!(backend.set(Behaviour::Flaky { permille: 1001 }).is_err());
}

#[test]
fn a_refusing_backend_keeps_its_port() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("keeps");
    for behaviour in [Behaviour::Refuse, Behaviour::Healthy, Behaviour::Blackhole] {
        backend.set(behaviour).unwrap();
        let taken = TcpListener::bind(backend.addr()).expect_err("the port is in use");
        assert_eq!(taken.kind(), ErrorKind::AddrInUse, "{behaviour:?}");
    }
    for round in 0..50 {
        backend.set(Behaviour::Refuse).unwrap();
        let call = caller.call(backend.addr(), PATIENCE).unwrap();
        assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "round {round}: {call:?}");
        backend.set(Behaviour::Healthy).unwrap();
        let call = caller.call(backend.addr(), PATIENCE).unwrap();
        assert!(call.answered(), "round {round}: {call:?}");
    }
}

#[test]
fn every_change_of_behaviour_works() {
    let all = [
        Behaviour::Healthy,
        Behaviour::Refuse,
        Behaviour::Blackhole,
        Behaviour::Hang,
        Behaviour::CloseAfterAccept,
    ];
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("changes");
    for from in all {
        for to in all {
            backend.set(from).unwrap();
            backend.set(to).unwrap();
            check(&mut caller, backend.addr(), to);
        }
    }
}

fn check(caller: &mut Caller, addr: SocketAddr, behaviour: Behaviour) {
    let call = caller.call(addr, Duration::from_millis(20)).expect("a caller calls");
    let failed_at = call.failure.map(|failure| failure.phase);
    let expected = if behaviour == Behaviour::Healthy {
        None
    } else if matches!(behaviour, Behaviour::Refuse | Behaviour::Blackhole) {
        Some(Phase::Connect)
    } else {
        Some(Phase::Receive)
    };
    assert_eq!(failed_at, expected, "{behaviour:?}: {call:?}");
}

#[test]
fn open_connections_live_on_unless_refused() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("live");
    let connection = caller.open(backend.addr(), PATIENCE).unwrap();
    assert!(caller.request(connection, PATIENCE).unwrap().answered());
    backend.set(Behaviour::Blackhole).unwrap();
    assert!(caller.request(connection, LIMIT).unwrap().timed_out());
    backend.set(Behaviour::Healthy).unwrap();
    assert!(caller.request(connection, PATIENCE).unwrap().answered());
    backend.set(Behaviour::Refuse).unwrap();
    assert_eq!(caller.request(connection, PATIENCE).unwrap().errno(), Some(libc::ECONNRESET));
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn counters_start_again() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("counters");
    caller.call_many(backend.addr(), 3, PATIENCE).unwrap();
    backend.reset_counters();
    caller.call_many(backend.addr(), 2, PATIENCE).unwrap();
    assert_eq!((backend.accepted(), backend.answered()), (2, 2));
}

#[test]
fn its_port_ends_with_it() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let addr = backend.addr();
    drop(backend);
    // Another test's process holds a copy of every descriptor between its fork and its exec.
    let freed = (0..1_000_000).any(|_| {
        std::thread::yield_now();
        TcpListener::bind(addr).is_ok()
    });
    assert!(freed);
}
