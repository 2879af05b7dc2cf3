//! Every kind of TCP socket, and every way to connect one, is treated like any other.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Call, Caller, Kind};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::netns::NetNs;
use shedder_tests::wire::SynCounter;
use shedder_user::api::model::Outcomes;
use socket2::{Domain, Protocol, Socket, Type};

use crate::scene::{LASTING, PATIENCE, WATCH, assert_all_answered, policy, wait_for};

#[test]
fn a_nonblocking_connect_is_guarded() {
    is_guarded(&Kind::NonBlocking);
}

#[test]
fn a_connect_by_io_uring_is_guarded() {
    is_guarded(&Kind::IoUring);
}

#[test]
fn a_socket_bound_to_a_device_is_guarded() {
    is_guarded(&Kind::BoundTo("lo".to_owned()));
}

#[test]
fn a_multipath_socket_is_guarded() {
    is_guarded(&Kind::Multipath);
}

/// Every further path of a connection is a connect of its own, made by the kernel in the caller's
/// name: it is counted, and it is judged. The connection does without a path that is refused.
#[test]
fn each_path_of_a_multipath_connection_is_a_connect() {
    let mut place = Place::new(&Kind::Multipath);
    place.net.ip("address add 10.68.0.1/32 dev lo").expect("root may");
    place.net.ip("address add 10.68.0.2/32 dev lo").expect("root may");
    place.net.ip("mptcp limits set subflows 2").expect("root may");
    let endpoint = place.net.enter(multipath_server).expect("root may enter");
    let daemon = Daemon::start(&policy(&place.cgroup, &[endpoint], WATCH)).expect("it starts");
    let connects = || {
        let breaker = daemon.breaker(endpoint).expect("it has one");
        (breaker.allowed_total, breaker.shed_total)
    };
    let add_path = |from: &str, expected: (u64, u64)| {
        place.net.ip(&format!("mptcp endpoint add {from} subflow")).expect("root may");
        wait_for(from, || connects() == expected);
    };

    let connection = place.caller.prepare(&place.kind, endpoint).expect("it lives");
    let attempt = place.caller.connect_with(connection, endpoint, PATIENCE).expect("it lives");
    assert!(attempt.connected(), "{attempt:?}");
    assert!(place.caller.request(connection, PATIENCE).expect("it lives").answered());
    assert_eq!(connects(), (1, 0));
    add_path("10.68.0.1", (2, 0));
    daemon.succeed(&["trip", &endpoint.to_string()]).expect("root");
    add_path("10.68.0.2", (2, 1));
    assert!(place.caller.request(connection, PATIENCE).expect("it lives").answered());
}

/// The second call finds the attempt on its way and is no attempt of its own.
#[test]
fn connecting_twice_is_one_attempt() {
    let mut place = Place::new(&Kind::NonBlocking);
    let endpoint = place.backend.addr();
    place.backend.set(Behaviour::Blackhole).expect("it lives");
    let daemon = Daemon::start(&policy(&place.cgroup, &[endpoint], WATCH)).expect("it starts");
    let (socket, returned) = place.caller.start(endpoint).expect("it lives");
    assert_eq!(returned.map(|errno| errno.code), Some(libc::EINPROGRESS));
    let wait = Duration::from_millis(50);
    let second = place.caller.connect_with(socket, endpoint, wait).expect("it lives");
    assert_eq!(second.returned.map(|errno| errno.code), Some(libc::EALREADY));
    assert_eq!(daemon.breaker(endpoint).expect("it has one").allowed_total, 1);
}

/// The refusal leaves the socket as it was: no error is kept, and it may connect again.
#[test]
fn a_refused_socket_can_be_connected_again() {
    let mut place = Place::new(&Kind::NonBlocking);
    let endpoint = place.backend.addr();
    let daemon = Daemon::start(&policy(&place.cgroup, &[endpoint], WATCH)).expect("it starts");
    daemon.succeed(&["trip", &endpoint.to_string()]).expect("root");
    let (socket, returned) = place.caller.start(endpoint).expect("it lives");
    assert_eq!(returned.map(|errno| errno.code), Some(libc::ECONNREFUSED));
    let again = place.caller.connect_with(socket, endpoint, PATIENCE).expect("it lives");
    assert_eq!(again.errno(), Some(libc::ECONNREFUSED));
    daemon.succeed(&["reset", &endpoint.to_string()]).expect("root");
    let at_last = place.caller.connect_with(socket, endpoint, PATIENCE).expect("it lives");
    assert!(at_last.connected(), "{at_last:?}");
    assert!(place.caller.request(socket, PATIENCE).expect("it lives").answered());
    let breaker = daemon.breaker(endpoint).expect("it has one");
    assert_eq!((breaker.shed_total, breaker.allowed_total), (2, 1));
    assert_eq!(breaker.outcomes, Outcomes { answered: 1, ..Outcomes::default() });
}

/// Calls are let through and counted, fail and are counted, are refused exactly once and without a
/// packet, and are let through again.
pub(crate) fn is_guarded(kind: &Kind) -> Place {
    let mut place = Place::new(kind);
    let endpoint = place.backend.addr();
    let rules = LASTING.replace("open = {", "open = { errno = \"EHOSTUNREACH\",");
    let daemon = Daemon::start(&policy(&place.cgroup, &[endpoint], &rules)).expect("it starts");
    let events = daemon.events().expect("it answers");

    assert_all_answered(&place.call(3, PATIENCE));
    place.backend.set(Behaviour::Refuse).expect("it lives");
    for call in place.call(3, PATIENCE) {
        assert_eq!(call.errno(), Some(libc::ECONNREFUSED), "{call:?}");
    }
    events.wait_for_state(endpoint, "open").expect("it opens");
    place.backend.set(Behaviour::Healthy).expect("it lives");
    for call in place.call(1, PATIENCE) {
        assert_eq!(call.connect_errno(), Some(libc::EHOSTUNREACH), "{call:?}");
    }
    daemon.succeed(&["reset", &endpoint.to_string()]).expect("root");
    assert_all_answered(&place.call(1, PATIENCE));

    let breaker = daemon.breaker(endpoint).expect("it has one");
    assert_eq!((breaker.allowed_total, breaker.shed_total), (7, 1));
    let expected = Outcomes { answered: 4, refused: 3, ..Outcomes::default() };
    assert_eq!(breaker.outcomes, expected);
    assert_eq!((place.wire.count().expect("it counts"), place.backend.accepted()), (7, 4));
    place
}

/// A server that speaks Multipath TCP and answers one client, line by line.
fn multipath_server() -> SocketAddr {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).expect("MPTCP");
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    listener.listen(1).expect("it is bound");
    let endpoint = listener.local_addr().expect("it is bound").as_socket().expect("IPv4");
    std::thread::spawn(move || {
        let (client, _) = listener.accept().expect("the caller comes");
        let mut client = BufReader::new(client);
        while client.read_line(&mut String::new()).is_ok_and(|read| read > 0) {
            client.get_mut().write_all(b"pong\n").expect("the caller waits");
        }
    });
    endpoint
}

/// A namespace of its own, where fast open is on, and a caller of one kind in it.
pub(crate) struct Place {
    kind: Kind,
    pub(crate) caller: Caller,
    pub(crate) cgroup: Cgroup,
    pub(crate) backend: Backend,
    pub(crate) wire: SynCounter,
    pub(crate) net: NetNs,
}

impl Place {
    pub(crate) fn new(kind: &Kind) -> Self {
        let net = NetNs::new("kinds").expect("a namespace can be made: run as root");
        net.set("ipv4/tcp_fastopen", FAST_OPEN_EVERYWHERE).expect("root may");
        let inside = net.enter(|| {
            let backend = crate::scene::backend(Behaviour::Healthy);
            let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count");
            (backend, wire)
        });
        let (backend, wire) = inside.expect("root may enter");
        let cgroup = Cgroup::new("kinds").expect("a cgroup");
        let caller = Caller::spawn_in(&cgroup, &net).expect("a caller starts");
        Self { kind: kind.clone(), caller, cgroup, backend, wire, net }
    }

    pub(crate) fn call(&mut self, calls: u32, timeout: Duration) -> Vec<Call> {
        let addr = self.backend.addr();
        self.caller.call_by(&self.kind, addr, calls, timeout).expect("it lives")
    }

    /// How many requests left with the SYN and were taken with it.
    pub(crate) fn requests_with_syn(&self) -> u64 {
        self.net.counter("TcpExt", "TCPFastOpenActive").expect("the kernel counts them")
    }
}

/// For callers, for servers, and for servers that did not ask for it.
const FAST_OPEN_EVERYWHERE: &str = "1027";
