//! UDP obeys the breakers of its service where that says `udp`, and is no evidence.

use std::net::SocketAddr;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::{Caller, ConnectionId, Kind, as_mapped_ipv6};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::echo::Echo;
use shedder_user::api::model::{Breaker, Datagrams};

use crate::scene::{
    LOCALHOST, PATIENCE, WATCH, backend, caller, open, policy, wait_for, wait_until,
};

const DENY: &str = "open = { errno = \"EHOSTUNREACH\" }";
const REDIRECT: &str = "open = { action = \"redirect\" }";

/// As [`policy`], for a service that says `udp`.
fn guarding(cgroup: &Cgroup, endpoints: &[SocketAddr], rules: &str) -> String {
    let text = policy(cgroup, endpoints, rules);
    text.replacen("name = \"db\"\n", "name = \"db\"\nudp = true\n", 1)
}

/// A daemon whose breakers do as `rules` say once tripped by order, and one of them is.
fn tripped(cgroup: &Cgroup, endpoints: &[SocketAddr], rules: &str, bad: SocketAddr) -> Daemon {
    let rules = format!("{WATCH}{rules}");
    let daemon = Daemon::start(&guarding(cgroup, endpoints, &rules)).expect("it starts");
    daemon.succeed(&["trip", &bad.to_string()]).expect("root may trip");
    daemon
}

fn echo() -> Echo {
    Echo::start(SocketAddr::new(LOCALHOST, 0)).expect("a server starts")
}

fn echo_ipv6() -> Echo {
    Echo::start("[::1]:0".parse().expect("an address")).expect("a server starts")
}

fn socket(caller: &mut Caller, addr: SocketAddr) -> ConnectionId {
    caller.prepare(&Kind::Datagram, addr).expect("it lives")
}

/// What a UDP connect returned, and the peer it shows.
fn connect(
    caller: &mut Caller,
    socket: ConnectionId,
    addr: SocketAddr,
) -> (Option<i32>, Option<SocketAddr>) {
    let attempt = caller.connect_with(socket, addr, PATIENCE).expect("it lives");
    (attempt.errno(), attempt.peer)
}

/// What sending to an address returned, and who answered.
fn ask(
    caller: &mut Caller,
    socket: ConnectionId,
    to: SocketAddr,
) -> (Option<i32>, Option<SocketAddr>) {
    let exchange = caller.exchange(socket, Some(to), PATIENCE).expect("it lives");
    (exchange.send_errno(), exchange.from)
}

/// What TCP is decided by has not moved.
fn assert_no_evidence(breaker: &Breaker) {
    let tcp = (breaker.allowed_total, breaker.shed_total, breaker.would_shed_total);
    assert_eq!((tcp, breaker.window.attempts), ((0, 0, 0), 0), "{breaker:?}");
}

#[test]
fn a_shed_datagram_fails_with_the_error_of_the_policy() {
    let (mut caller, cgroup) = caller("udp-deny");
    for (server, is_mapped) in [(echo(), false), (echo(), true), (echo_ipv6(), false)] {
        let asked = if is_mapped { as_mapped_ipv6(server.addr()) } else { server.addr() };
        let daemon = tripped(&cgroup, &[server.addr()], DENY, server.addr());
        let socket = socket(&mut caller, asked);
        let refused = (Some(libc::EHOSTUNREACH), None);
        assert_eq!(connect(&mut caller, socket, asked), refused, "{asked}");
        assert_eq!(ask(&mut caller, socket, asked), refused, "{asked}");
        assert_eq!(server.received(), 0, "{asked}");
        let breaker = daemon.breaker(server.addr()).expect("it has one");
        assert_eq!(
            breaker.datagrams,
            Datagrams { seen: 2, refused: 2, would_shed: 2, ..Datagrams::default() }
        );
        assert_no_evidence(&breaker);
        let told = daemon.succeed(&["status"]).expect("it answers");
        assert!(told.contains("sent 2 datagrams: 2 were refused"), "{told}");

        daemon.succeed(&["reset", &server.addr().to_string()]).expect("root may reset");
        assert_eq!(ask(&mut caller, socket, asked), (None, Some(asked)));
        assert_eq!(connect(&mut caller, socket, asked), (None, Some(asked)));
    }
}

/// The application finds whom it asked, as its peer and as the sender of the answer.
#[test]
fn a_redirected_datagram_is_answered_as_if_by_whom_it_was_for() {
    let (mut caller, cgroup) = caller("udp-redirect");
    let servers = || [(echo(), echo()), (echo_ipv6(), echo_ipv6())];
    for (index, (bad, good)) in servers().into_iter().chain(servers()).enumerate() {
        let is_mapped = index >= 2;
        let name = |server: &Echo| {
            if is_mapped { as_mapped_ipv6(server.addr()) } else { server.addr() }
        };
        let (asked, sibling) = (name(&bad), name(&good));
        let daemon = tripped(&cgroup, &[bad.addr(), good.addr()], REDIRECT, bad.addr());
        let connected = socket(&mut caller, asked);
        assert_eq!(connect(&mut caller, connected, asked), (None, Some(asked)));
        let answer = caller.exchange(connected, None, PATIENCE).expect("it lives");
        assert_eq!((answer.failure, answer.from), (None, Some(asked)));
        let free = socket(&mut caller, asked);
        assert_eq!(ask(&mut caller, free, asked), (None, Some(asked)));
        // Asked for itself, the sibling answers as itself.
        assert_eq!(ask(&mut caller, free, sibling), (None, Some(sibling)));
        assert_eq!((bad.received(), good.received()), (0, 3), "{asked}");
        let breaker = daemon.breaker(bad.addr()).expect("it has one");
        assert_eq!(
            breaker.datagrams,
            Datagrams { seen: 2, redirected: 2, would_shed: 2, ..Datagrams::default() }
        );
        assert_no_evidence(&breaker);
        assert_eq!(daemon.breaker(good.addr()).expect("it has one").datagrams.seen, 1);
        assert_eq!(daemon.status().expect("it answers").node.actions_failed, 0);
    }
}

#[test]
fn only_the_open_endpoint_of_a_service_that_says_so_is_touched() {
    let (mut caller, cgroup) = caller("udp-alone");
    let (mut stranger, _strangers) = crate::scene::caller("udp-stranger");
    let (bad, good, silent) = (echo(), echo(), echo());
    let text = guarding(&cgroup, &[bad.addr(), good.addr()], &format!("{WATCH}{DENY}"))
        + &format!(
            "[[service]]\nname = \"tcp\"\nendpoints = [\"{}\"]\n[[policy]]\ncaller = \"app\"\nservice = \"tcp\"\nmode = \"enforce\"\n",
            silent.addr()
        );
    let daemon = Daemon::start(&text).expect("it starts");
    for endpoint in [bad.addr(), silent.addr()] {
        daemon.succeed(&["trip", &endpoint.to_string()]).expect("root may trip");
    }
    let own = socket(&mut caller, bad.addr());
    assert_eq!(ask(&mut caller, own, bad.addr()), (Some(libc::EHOSTUNREACH), None));
    for other in [good.addr(), silent.addr()] {
        assert_eq!(ask(&mut caller, own, other), (None, Some(other)));
        let connected = socket(&mut caller, other);
        assert_eq!(connect(&mut caller, connected, other), (None, Some(other)));
    }
    let free = socket(&mut stranger, bad.addr());
    assert_eq!(ask(&mut stranger, free, bad.addr()), (None, Some(bad.addr())));
    let breaker = daemon.breaker(silent.addr()).expect("it has one");
    assert_eq!((breaker.state.as_str(), breaker.datagrams.seen), ("forced_open", 0));
}

/// What was connected before, and what is not UDP to the letter, goes its way.
#[test]
fn udp_lite_and_sockets_connected_before_pass() {
    let (mut caller, cgroup) = caller("udp-passes");
    for (server, is_mapped) in [(echo(), false), (echo(), true), (echo_ipv6(), false)] {
        let asked = if is_mapped { as_mapped_ipv6(server.addr()) } else { server.addr() };
        let text = guarding(&cgroup, &[server.addr()], &format!("{WATCH}{DENY}"));
        let daemon = Daemon::start(&text).expect("it starts");
        let before = socket(&mut caller, asked);
        assert_eq!(connect(&mut caller, before, asked), (None, Some(asked)));
        daemon.succeed(&["trip", &server.addr().to_string()]).expect("root may trip");
        // By `send` and by `sendto`.
        for to in [None, Some(asked)] {
            let answer = caller.exchange(before, to, PATIENCE).expect("it lives");
            assert_eq!((answer.failure, answer.from), (None, Some(asked)));
        }
        // Connected once more it is decided once more.
        assert_eq!(connect(&mut caller, before, asked), (Some(libc::EHOSTUNREACH), None));
        let light = caller.prepare(&Kind::LightDatagram, asked).expect("it lives");
        // It leaves, and nobody is there to answer. A connect of it the kernel shows to no program.
        let sent = caller.exchange(light, Some(asked), Duration::from_millis(20));
        assert_eq!(sent.expect("it lives").send_errno(), None);
        assert_eq!(connect(&mut caller, light, asked), (None, Some(asked)));
        let breaker = daemon.breaker(server.addr()).expect("it has one");
        assert_eq!(
            breaker.datagrams,
            Datagrams { seen: 2, refused: 1, would_shed: 1, ..Datagrams::default() },
            "{asked}"
        );
    }
}

#[test]
fn a_hold_lets_datagrams_pass_and_observing_counts_them() {
    let (mut caller, cgroup) = caller("udp-mild");
    let server = echo();
    let answered = (None, Some(server.addr()));
    let held = "open = { action = \"delay\", delay = \"20ms\" }";
    let daemon = tripped(&cgroup, &[server.addr()], held, server.addr());
    let socket = socket(&mut caller, server.addr());
    assert_eq!(ask(&mut caller, socket, server.addr()), answered);
    assert_eq!(connect(&mut caller, socket, server.addr()), answered);
    let datagrams = daemon.breaker(server.addr()).expect("it has one").datagrams;
    assert_eq!(datagrams, Datagrams { seen: 2, ..Datagrams::default() });
    drop(daemon);

    let (mut caller, cgroup) = crate::scene::caller("udp-observed");
    let backend = backend(Behaviour::Refuse);
    let server = Echo::start(backend.addr()).expect("a server starts");
    let rules = "trip = { consecutive = 3 }\nopen = { base = \"10m\", max = \"10m\" }";
    let text = guarding(&cgroup, &[server.addr()], rules).replace("\"enforce\"", "\"observe\"");
    let daemon = Daemon::start(&text).expect("it starts");
    caller.call_many(server.addr(), 3, PATIENCE).expect("it lives");
    let is_open = |breaker: &Breaker| breaker.would_be.as_deref() == Some("open");
    let before = wait_until(&daemon, server.addr(), is_open);
    let socket = self::socket(&mut caller, server.addr());
    assert_eq!(ask(&mut caller, socket, server.addr()), (None, Some(server.addr())));
    let after = daemon.breaker(server.addr()).expect("it has one");
    assert_eq!(after.datagrams, Datagrams { seen: 1, would_shed: 1, ..Datagrams::default() });
    assert_eq!(after.would_shed_total, before.would_shed_total);
}

/// Half-open, a datagram is shed as when open, and the one token stays for a connect. Recovering, it has
/// its own turns, and the connects keep theirs.
#[test]
fn tokens_and_turns_of_connects_stay_theirs() {
    let (mut caller, cgroup) = caller("udp-tokens");
    let backend = backend(Behaviour::Refuse);
    let server = Echo::start(backend.addr()).expect("a server starts");
    let rules = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "100ms", max = "100ms", jitter = 0.0, errno = "EHOSTUNREACH" }
half_open = { tokens = 1, successes = 1, deadline = "10m" }
recovery = { ramp = "10m", from = 0.5 }
"#;
    let daemon = Daemon::start(&guarding(&cgroup, &[server.addr()], rules)).expect("it starts");
    let events = open(&daemon, &mut caller, server.addr());
    backend.set(Behaviour::Healthy).expect("it lives");
    events.wait_for_state(server.addr(), "half_open").expect("it probes");
    let socket = socket(&mut caller, server.addr());
    for _ in 0..5 {
        let refused = (Some(libc::EHOSTUNREACH), None);
        assert_eq!(ask(&mut caller, socket, server.addr()), refused);
    }
    assert!(caller.call(server.addr(), PATIENCE).expect("it lives").answered(), "one token");
    events.wait_for_state(server.addr(), "recovering").expect("the probe went well");

    // A little over half of each: every other one.
    let mut shed_datagrams = 0;
    let mut answered = Vec::new();
    for _ in 0..4 {
        answered.push(caller.call(server.addr(), PATIENCE).expect("it lives").answered());
        for _ in 0..5 {
            let (errno, _) = ask(&mut caller, socket, server.addr());
            shed_datagrams += u32::from(errno.is_some());
        }
    }
    assert_eq!(answered, [true, false, true, false]);
    assert_eq!(shed_datagrams, 10);
    let datagrams = daemon.breaker(server.addr()).expect("it has one").datagrams;
    assert_eq!((datagrams.seen, datagrams.refused), (25, 15));
}

/// A datagram is no reason to give an endpoint a breaker.
#[test]
fn datagrams_discover_nothing() {
    let (mut caller, cgroup) = caller("udp-network");
    let backend = backend(Behaviour::Healthy);
    let server = Echo::start(backend.addr()).expect("a server starts");
    let text = guarding(&cgroup, &[server.addr()], WATCH).replace("127.0.0.1:", "127.0.0.0/8:");
    let daemon = Daemon::start(&text).expect("it starts");
    let socket = socket(&mut caller, server.addr());
    assert_eq!(ask(&mut caller, socket, server.addr()), (None, Some(server.addr())));
    assert_eq!(connect(&mut caller, socket, server.addr()), (None, Some(server.addr())));
    assert_eq!(daemon.status().expect("it answers").breakers, []);
    assert!(caller.call(server.addr(), PATIENCE).expect("it lives").answered());
    let is_known = || !daemon.status().expect("it answers").breakers.is_empty();
    wait_for("its breaker", is_known);
    assert_eq!(daemon.breaker(server.addr()).expect("it has one").datagrams.seen, 0);
}

#[test]
fn a_refused_datagram_is_explained() {
    let (mut caller, cgroup) = caller("udp-why");
    let server = echo();
    let daemon = tripped(&cgroup, &[server.addr()], DENY, server.addr());
    let socket = socket(&mut caller, server.addr());
    ask(&mut caller, socket, server.addr());
    // Not within the millisecond in which the slot told of another.
    std::thread::sleep(Duration::from_millis(5));
    caller.call(server.addr(), PATIENCE).expect("it lives");
    let pid = caller.pid().to_string();
    let told = crate::explain::explain(&daemon, &["--pid", &pid], 2);
    // A process that was told of for a datagram is told of for its connect all the same.
    let transports: Vec<&str> = told.refusals.iter().map(|told| told.transport.as_str()).collect();
    assert_eq!(transports, ["tcp", "udp"], "newest first");
    assert_eq!(told.refusals[1].refused, 1);
    let text = daemon.succeed(&["explain", "--pid", &pid]).expect("it answers");
    for part in [
        &format!("EHOSTUNREACH to {} by UDP, because", server.addr()),
        "1 of 1 datagrams were shed",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}
