//! What becomes of the connections there are when a breaker opens.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Call, Caller, Cause, ConnectionId, as_mapped_ipv6};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_tests::netns::NetNs;
use shedder_user::api::model::EventKind;

use crate::reload::reload;
use crate::rollout::{Crowd, partly};
use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy, policy_for};

/// Trips after three failures and stays open.
fn rules(established: &str) -> String {
    LASTING.replace("open = {", &format!("open = {{ established = \"{established}\","))
}

/// Everything but the affected caller's connections to the open endpoint survives, and what is
/// ended is nobody's failure.
#[test]
fn a_reset_ends_the_connections_of_the_affected_caller_and_endpoint_only() {
    let (mut affected, affected_cgroup) = caller("affected");
    let (mut other, other_cgroup) = caller("other");
    let (mut stranger, _strangers) = caller("stranger");
    let (bad, good) = (backend(Behaviour::Healthy), backend(Behaviour::Healthy));
    let callers = [("app", &affected_cgroup), ("other", &other_cgroup)];
    let text = policy_for(&callers, &[bad.addr(), good.addr()], &rules("reset"));
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");

    let doomed = open(&mut affected, bad.addr(), 2);
    let elsewhere = open(&mut affected, good.addr(), 2);
    let others = open(&mut other, bad.addr(), 2);
    let strangers = open(&mut stranger, bad.addr(), 2);
    // One of them waits for its answer, longer than it would.
    bad.set(Behaviour::Hang).expect("it lives");
    let waiting = affected.request(doomed[0], 2 * A_SECOND).expect("it lives");
    assert!(waiting.timed_out());
    bad.set(Behaviour::ResetOnAccept).expect("it lives");
    affected.call_many(bad.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(bad.addr(), "open").expect("it opens");

    assert_eq!(begun(&events), 2);
    assert_eq!(over(&events), Over { connections: 2, destroyed: 2, left: 0 });
    for connection in doomed {
        assert!(is_aborted(&mut affected, connection));
    }
    bad.set(Behaviour::Healthy).expect("it lives");
    assert_all_answered(&ask(&mut affected, &elsewhere));
    assert_all_answered(&ask(&mut other, &others));
    assert_all_answered(&ask(&mut stranger, &strangers));
    let breakers = daemon.status().expect("it answers").breakers;
    let of_caller = |name: &str| {
        let at = bad.addr().to_string();
        breakers.iter().find(|b| b.caller == name && b.endpoint == at).expect("it has one")
    };
    assert_eq!((of_caller("app").destroyed, of_caller("other").destroyed), (2, 0));
    let outcomes = of_caller("app").outcomes;
    let failures = (outcomes.refused, outcomes.timed_out, outcomes.unreachable, outcomes.reset);
    assert_eq!(failures, (0, 0, 0, 3), "only those that opened it: {outcomes:?}");
}

/// Neither a policy that keeps connections nor one that only observes ends any, while one beside
/// them ends its own.
#[test]
fn keeping_and_observing_end_nothing() {
    let (mut kept, kept_cgroup) = caller("kept");
    let (mut watched, watched_cgroup) = caller("watched");
    let (mut ended, ended_cgroup) = caller("ended");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&different(
        backend.addr(),
        &[
            ("kept", &kept_cgroup, "enforce", ""),
            ("watched", &watched_cgroup, "observe", "open.established = \"reset\""),
            ("ended", &ended_cgroup, "enforce", "open.established = \"reset\""),
        ],
    ))
    .expect("it starts");
    let events = daemon.events().expect("it answers");
    let keeps = open(&mut kept, backend.addr(), 2);
    let watches = open(&mut watched, backend.addr(), 2);
    let ends = open(&mut ended, backend.addr(), 4);
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root may trip");
    assert_eq!(over(&events), Over { connections: 4, destroyed: 4, left: 0 });
    assert!(is_aborted(&mut ended, ends[3]));
    assert_all_answered(&ask(&mut kept, &keeps));
    assert_all_answered(&ask(&mut watched, &watches));
}

/// Where a policy acts for some of a caller's cgroups, the connections of the others stay.
#[test]
fn connections_of_cgroups_that_are_spared_stay() {
    let mut crowd = Crowd::new("spared");
    let backend = backend(Behaviour::Healthy);
    let text = crowd.policy(backend.addr(), &rules("reset"));
    let daemon = Daemon::start(&text).expect("it starts");
    let percent = crowd.sort(&daemon);
    reload(&daemon, &partly(&text, percent));
    let events = daemon.events().expect("it answers");
    let (first, last) = crowd.ends();
    let doomed = open(&mut first.0, backend.addr(), 2);
    let spared = open(&mut last.0, backend.addr(), 2);
    backend.set(Behaviour::ResetOnAccept).expect("it lives");
    last.0.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    assert_eq!(over(&events), Over { connections: 2, destroyed: 2, left: 0 });
    for connection in doomed {
        assert!(is_aborted(&mut first.0, connection));
    }
    backend.set(Behaviour::Healthy).expect("it lives");
    assert_all_answered(&ask(&mut last.0, &spared));
}

/// What is in the middle of a request is left alone, however long it has been silent, until it has
/// had its answer.
#[test]
fn a_drain_waits_for_what_is_under_way() {
    let (mut caller, cgroup) = caller("drained");
    let (endpoint, mut answers) = hesitant_server();
    let daemon = Daemon::start(&policy(&cgroup, &[endpoint], &rules("drain"))).expect("it starts");
    let events = daemon.events().expect("it answers");
    let [first, next, idle] = open(&mut caller, endpoint, 3)[..] else { unreachable!("as asked") };
    // One waits for its first answer, one has had one and asked again at once.
    answers.write_all(b"!").expect("the server lives");
    assert_all_answered(&[caller.request(next, PATIENCE).expect("it lives")]);
    for busy in [next, first] {
        assert!(caller.request(busy, Duration::from_millis(50)).expect("it lives").timed_out());
    }
    daemon.succeed(&["trip", &endpoint.to_string()]).expect("root may trip");
    assert_eq!(begun(&events), 3);
    assert!(is_aborted(&mut caller, idle));
    // The others are as silent, and wait for their answers.
    for (busy, silence) in [(next, 2 * A_SECOND), (first, Duration::from_millis(1))] {
        assert_eq!(caller.await_end(busy, silence).expect("it lives"), Cause::Timeout);
    }
    for _ in [next, first] {
        answers.write_all(b"!").expect("the server lives");
    }
    for busy in [next, first] {
        for _ in 0.."pong\n".len() {
            // What it reads, one by one, is no end.
            assert_eq!(caller.await_end(busy, PATIENCE).expect("it lives"), Cause::Garbled);
        }
    }
    assert!(is_aborted(&mut caller, next) && is_aborted(&mut caller, first));
    assert_eq!(over(&events), Over { connections: 3, destroyed: 3, left: 0 });
}

/// One after the other, at least half a second apart, the longest silent first.
#[test]
fn few_connections_are_ended_one_by_one() {
    let (mut caller, cgroup) = caller("paced");
    let backend = backend(Behaviour::Healthy);
    let daemon =
        Daemon::start(&policy(&cgroup, &[backend.addr()], &rules("reset"))).expect("it starts");
    let mut connections = Vec::new();
    for _ in 0..4 {
        let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
        // Silent for longer than the next, by more than the kernel's clock is coarse.
        let idling = caller.await_end(connection, Duration::from_millis(50)).expect("it lives");
        assert_eq!(idling, Cause::Timeout);
        connections.push(connection);
    }
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root may trip");
    for (place, connection) in connections.iter().enumerate() {
        assert!(is_aborted(&mut caller, *connection));
        // Of the next but one it is more than a second to the end.
        if let Some(later) = connections.get(place + 2) {
            let later = caller.await_end(*later, Duration::from_millis(1)).expect("it lives");
            assert_eq!(later, Cause::Timeout);
        }
    }
}

#[test]
fn a_breaker_that_leaves_open_ends_no_more() {
    let (mut caller, cgroup) = caller("stopped");
    let backend = backend(Behaviour::Healthy);
    let endpoint = backend.addr().to_string();
    let daemon =
        Daemon::start(&policy(&cgroup, &[backend.addr()], &rules("reset"))).expect("it starts");
    let events = daemon.events().expect("it answers");
    let connections = open(&mut caller, backend.addr(), 12);
    daemon.succeed(&["trip", &endpoint]).expect("root may trip");
    assert_eq!(begun(&events), 12);
    while daemon.breaker(backend.addr()).expect("it has one").destroyed == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    daemon.succeed(&["reset", &endpoint]).expect("root may");
    let Over { connections: 12, destroyed, left } = over(&events) else {
        unreachable!("that many were there");
    };
    assert!((1..12).contains(&destroyed) && destroyed + left == 12, "{destroyed} and {left}");
    // Time enough for some more: that of a reset from beginning to end.
    daemon.succeed(&["trip", &endpoint, "--for", "100ms"]).expect("root may trip");
    events.wait_for_state(backend.addr(), "half_open").expect("it ends");
    daemon.succeed(&["reset", &endpoint]).expect("root may");
    let answered = ask(&mut caller, &connections).iter().filter(|call| call.answered()).count();
    let destroyed = daemon.breaker(backend.addr()).expect("it has one").destroyed;
    assert_eq!(answered as u64 + destroyed, 12);
}

/// Nobody connects, so nothing is probed; what was begun is brought to its end all the same.
#[test]
fn a_pool_that_makes_no_connects_loses_those_it_has() {
    let (mut caller, cgroup) = caller("pool");
    let backend = backend(Behaviour::Healthy);
    let endpoint = backend.addr().to_string();
    let daemon =
        Daemon::start(&policy(&cgroup, &[backend.addr()], &rules("reset"))).expect("it starts");
    let events = daemon.events().expect("it answers");
    let pool = open(&mut caller, backend.addr(), 3);
    daemon.succeed(&["trip", &endpoint, "--for", "100ms"]).expect("root may trip");
    events.wait_for_state(backend.addr(), "half_open").expect("the order ends");
    assert_eq!(over(&events), Over { connections: 3, destroyed: 3, left: 0 });
    for connection in pool {
        assert!(is_aborted(&mut caller, connection));
    }
    assert_eq!(daemon.breaker(backend.addr()).expect("it has one").state, "half_open");
}

/// Processes of one caller may live in different networks, where the same address is another
/// endpoint; shedder makes no difference between them.
#[test]
fn every_network_namespace_of_a_caller_is_reached() {
    let net = NetNs::new("established").expect("a namespace can be made: run as root");
    let cgroup = Cgroup::new("namespaces").expect("a cgroup");
    let child = cgroup.child("inner").expect("a cgroup");
    let mut outside = Caller::spawn(&cgroup).expect("a caller starts");
    let mut inside = Caller::spawn_in(&child, &net).expect("a caller starts");
    let backend = backend(Behaviour::Healthy);
    let within = net.enter(|| TcpListener::bind(backend.addr())).expect("it enters");
    let _listener = within.expect("the port is free there");
    let daemon =
        Daemon::start(&policy(&cgroup, &[backend.addr()], &rules("reset"))).expect("it starts");
    let events = daemon.events().expect("it answers");
    let outer = open(&mut outside, backend.addr(), 1)[0];
    let inner = inside.open(backend.addr(), PATIENCE).expect("it opens");
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root may trip");
    assert_eq!(over(&events), Over { connections: 2, destroyed: 2, left: 0 });
    assert!(is_aborted(&mut outside, outer));
    assert!(is_aborted(&mut inside, inner));
}

#[test]
fn ipv6_and_mapped_connections_are_ended_like_ipv4() {
    let (mut caller, cgroup) = caller("families");
    let ipv6 = Backend::start(IpAddr::V6(Ipv6Addr::LOCALHOST), Behaviour::Healthy).expect("::1");
    let ipv4 = backend(Behaviour::Healthy);
    let endpoints = [ipv6.addr(), ipv4.addr()];
    let daemon = Daemon::start(&policy(&cgroup, &endpoints, &rules("reset"))).expect("it starts");
    let events = daemon.events().expect("it answers");
    let own = open(&mut caller, ipv6.addr(), 1);
    let mapped = open(&mut caller, as_mapped_ipv6(ipv4.addr()), 1);
    for endpoint in endpoints {
        daemon.succeed(&["trip", &endpoint.to_string()]).expect("root may trip");
        assert_eq!(over(&events), Over { connections: 1, destroyed: 1, left: 0 });
    }
    assert!(is_aborted(&mut caller, own[0]));
    assert!(is_aborted(&mut caller, mapped[0]));
}

/// How the ending of connections has come out.
#[derive(Debug, PartialEq, Eq)]
struct Over {
    connections: u64,
    destroyed: u64,
    left: u64,
}

/// Waits until connections begin to be ended; how many there are.
fn begun(events: &Events) -> u64 {
    told(events, false).connections
}

/// Waits until no more connections are ended.
fn over(events: &Events) -> Over {
    told(events, true)
}

fn told(events: &Events, is_over: bool) -> Over {
    let told = events.wait_for(|event| {
        let EventKind::Established { over, connections, destroyed, left, .. } = event.kind else {
            return None;
        };
        (over == is_over).then_some(Over { connections, destroyed, left })
    });
    told.expect("it is told")
}

/// Connections that have not been used.
fn open(caller: &mut Caller, endpoint: SocketAddr, count: usize) -> Vec<ConnectionId> {
    (0..count).map(|_| caller.open(endpoint, PATIENCE).expect("it opens")).collect()
}

fn ask(caller: &mut Caller, connections: &[ConnectionId]) -> Vec<Call> {
    let ask = |connection: &ConnectionId| caller.request(*connection, PATIENCE).expect("it lives");
    connections.iter().map(ask).collect()
}

/// Waits for the end of a connection; whether it was an administrator's doing.
fn is_aborted(caller: &mut Caller, connection: ConnectionId) -> bool {
    let end = caller.await_end(connection, 2 * PATIENCE).expect("it lives");
    matches!(end, Cause::Errno(errno) if errno.code == libc::ECONNABORTED)
}

/// A policy for each caller: its name, cgroup, mode and rules.
fn different(endpoint: SocketAddr, callers: &[(&str, &Cgroup, &str, &str)]) -> String {
    let mut text = format!("[[service]]\nname = \"db\"\nendpoints = [\"{endpoint}\"]\n");
    for (name, cgroup, mode, rules) in callers {
        let cgroup = cgroup.name();
        write!(
            text,
            "[[caller]]\nname = \"{name}\"\ncgroups = [\"{cgroup}\"]\n[[policy]]\ncaller = \"{name}\"\nservice = \"db\"\nmode = \"{mode}\"\n{rules}\n"
        )
        .expect("to a string");
    }
    text
}

/// A server that answers a request for each byte it is sent. It lives as long as the test program.
fn hesitant_server() -> (SocketAddr, UnixStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("it is bound");
    let (answers, told) = UnixStream::pair().expect("a pair");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let told = told.try_clone().expect("a descriptor");
            // What a client does after its answer is its affair.
            std::thread::spawn(move || drop(hesitate(client, told)));
        }
    });
    (endpoint, answers)
}

fn hesitate(client: TcpStream, mut told: UnixStream) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    loop {
        client.read_line(&mut String::new())?;
        told.read_exact(&mut [0])?;
        client.get_mut().write_all(b"pong\n")?;
    }
}

const A_SECOND: Duration = Duration::from_secs(1);
