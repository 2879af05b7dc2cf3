//! Answers that say that the endpoint failed, read where the service names its protocol.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;

use crate::scene::{LASTING, PATIENCE, WATCH, backend, caller, failures, policy};

/// A protocol, and answers in it.
struct Spoken {
    protocol: &'static str,
    /// Says that the endpoint cannot serve.
    failed: Answer,
    /// Goes well, or says that the caller made a mistake, or should go elsewhere.
    fine: &'static [Answer],
}

/// A whole answer in one segment.
type Answer = &'static [&'static [u8]];

/// What the servers themselves send.
const SPOKEN: [Spoken; 4] = [
    Spoken {
        protocol: "http1",
        failed: &[b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"],
        fine: &[
            &[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
            &[b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"],
            &[b"HTTP/1.1 100 Continue\r\n\r\n"],
        ],
    },
    Spoken {
        protocol: "redis",
        failed: &[b"-LOADING Redis is loading the dataset in memory\r\n"],
        fine: &[
            &[b"+OK\r\n"],
            &[b"-ERR unknown command 'FOO', with args beginning with: \r\n"],
            &[b"-MOVED 3999 127.0.0.1:6381\r\n"],
        ],
    },
    Spoken {
        protocol: "mysql",
        failed: &[b"\x1c\0\0\x01\xff\x1d\x04#08S01Server shutdown in ..."],
        fine: &[
            &[b"\x07\0\0\x01\0\0\0\x02\0\0\0"],
            &[b"\x1c\0\0\x01\xff\x28\x04#42000You have an error i..."],
        ],
    },
    Spoken {
        protocol: "postgres",
        failed: &[b"E\0\0\0\x52SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"],
        fine: &[
            &[b"C\0\0\0\rSELECT 1\0Z\0\0\0\x05I"],
            &[b"E\0\0\0\x3aSERROR\0VERROR\0C42601\0Msyntax error at or near \"selct\"\0\0"],
        ],
    },
];

/// As [`policy`], for a service whose answers are read.
fn speaking(protocol: &str, cgroup: &Cgroup, endpoint: SocketAddr, rules: &str) -> String {
    let text = policy(cgroup, &[endpoint], rules);
    text.replace("name = \"db\"\n", &format!("name = \"db\"\nprotocol = \"{protocol}\"\n"))
}

fn ask(caller: &mut Caller, endpoint: SocketAddr, times: u32) {
    caller.call_many(endpoint, times, PATIENCE).expect("the caller lives");
}

/// The caller's mistakes open too where every error is to count, and good answers still do not.
#[test]
fn every_error_opens_where_that_is_wanted() {
    for (protocol, error, fine) in SPOKEN.iter().filter_map(|spoken| {
        let mistake =
            spoken.fine.iter().find(|answer| MISTAKES.iter().any(|m| answer[0].starts_with(m)));
        Some((spoken.protocol, *mistake?, spoken.fine[0]))
    }) {
        let (mut caller, cgroup) = caller(protocol);
        let backend = backend(Behaviour::Answer(fine));
        let text = speaking(protocol, &cgroup, backend.addr(), LASTING);
        let all = format!("protocol = \"{protocol}\"\nerrors = \"all\"\n");
        let text = text.replace(&format!("protocol = \"{protocol}\"\n"), &all);
        let daemon = Daemon::start(&text).expect("it starts");
        let events = daemon.events().expect("it answers");
        ask(&mut caller, backend.addr(), 5);
        backend.set(Behaviour::Answer(error)).expect("it lives");
        ask(&mut caller, backend.addr(), 3);
        events.wait_for_state(backend.addr(), "open").expect("it opens");
        let outcomes = daemon.breaker(backend.addr()).expect("it has one").outcomes;
        assert_eq!((outcomes.answered, outcomes.errored), (5, 3), "{protocol}: {outcomes:?}");
    }
}

/// How the mistakes of a caller begin among [`Spoken::fine`].
const MISTAKES: [&[u8]; 3] = [b"-ERR", b"\x1c\0\0\x01\xff", b"E\0"];

#[test]
fn answers_that_say_so_open() {
    for Spoken { protocol, failed, .. } in SPOKEN {
        let (mut caller, cgroup) = caller(protocol);
        let backend = backend(Behaviour::Answer(failed));
        let text = speaking(protocol, &cgroup, backend.addr(), LASTING);
        let daemon = Daemon::start(&text).expect("it starts");
        let events = daemon.events().expect("it answers");
        ask(&mut caller, backend.addr(), 3);
        let why = events.wait_for_state(backend.addr(), "open").expect(protocol);
        assert_eq!(why, "3 failures in a row (limit 3)");
        let outcomes = daemon.breaker(backend.addr()).expect("it has one").outcomes;
        assert_eq!((outcomes.errored, outcomes.answered), (3, 0), "{protocol}");
        let refused = caller.call(backend.addr(), PATIENCE).expect("it lives");
        assert_eq!(refused.connect_errno(), Some(libc::ECONNREFUSED), "{protocol}");
    }
}

#[test]
fn other_answers_are_no_failures() {
    for Spoken { protocol, fine, .. } in SPOKEN {
        let (mut caller, cgroup) = caller(protocol);
        let backend = backend(Behaviour::Healthy);
        let text = speaking(protocol, &cgroup, backend.addr(), WATCH);
        let daemon = Daemon::start(&text).expect("it starts");
        for answer in fine {
            backend.set(Behaviour::Answer(answer)).expect("it lives");
            ask(&mut caller, backend.addr(), 2);
        }
        let calls = 2 * u64::try_from(fine.len()).expect("a few");
        assert_eq!(failures(&daemon, backend.addr(), calls), 0, "{protocol}");
    }
}

#[test]
fn without_a_protocol_no_answer_is_read() {
    let (mut caller, cgroup) = caller("unnamed");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    for Spoken { failed, .. } in SPOKEN {
        backend.set(Behaviour::Answer(failed)).expect("it lives");
        ask(&mut caller, backend.addr(), 1);
    }
    assert_eq!(failures(&daemon, backend.addr(), 4), 0);
}

/// Encrypted bytes are no plain text: what looks at them sees nothing.
#[test]
fn encrypted_answers_say_nothing() {
    for Spoken { protocol, .. } in SPOKEN {
        let (mut caller, cgroup) = caller(protocol);
        let backend =
            backend(Behaviour::Answer(&[b"\x17\x03\x03\0\xff\x10\x04-LOADING HTTP/1.1 500"]));
        let text = speaking(protocol, &cgroup, backend.addr(), WATCH);
        let daemon = Daemon::start(&text).expect("it starts");
        ask(&mut caller, backend.addr(), 2);
        assert_eq!(failures(&daemon, backend.addr(), 2), 0, "{protocol}");
    }
}

/// A limit: what the first segment does not show is not seen.
#[test]
fn an_answer_in_pieces_is_judged_by_its_first() {
    let (mut caller, cgroup) = caller("pieces");
    let backend = backend(Behaviour::Answer(&[b"H", b"TTP/1.1 503 Service Unavailable\r\n\r\n"]));
    let text = speaking("http1", &cgroup, backend.addr(), WATCH);
    let daemon = Daemon::start(&text).expect("it starts");
    ask(&mut caller, backend.addr(), 2);
    assert_eq!(failures(&daemon, backend.addr(), 2), 0);
    backend
        .set(Behaviour::Answer(&[b"HTTP/1.1 503", b" Service Unavailable\r\n\r\n"]))
        .expect("it lives");
    ask(&mut caller, backend.addr(), 2);
    assert_eq!(failures(&daemon, backend.addr(), 4), 2);
}

#[test]
fn every_turn_of_a_connection_is_judged() {
    let (mut caller, cgroup) = caller("turns");
    let backend = backend(Behaviour::Healthy);
    let text = speaking("http1", &cgroup, backend.addr(), WATCH);
    let daemon = Daemon::start(&text).expect("it starts");
    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
    backend.set(Behaviour::Answer(&[b"HTTP/1.1 500"])).expect("it lives");
    caller.request(connection, PATIENCE).expect("it lives");
    assert_eq!(failures(&daemon, backend.addr(), 2), 1);
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!((breaker.outcomes.answered, breaker.outcomes.errored), (1, 1));
    assert!(breaker.window.p99_us.is_some(), "its time is known all the same");
    let explained = daemon.succeed(&["explain", &backend.addr().to_string()]).expect("root");
    assert!(explained.contains("1 of 2 said that the endpoint failed"), "{explained}");
}

/// A turn that is not measured is not judged either.
#[test]
fn skipped_turns_are_not_judged() {
    let (mut caller, cgroup) = caller("skipped-5xx");
    let backend = backend(Behaviour::Answer(&[b"HTTP/1.1 500"]));
    let rules = format!("{WATCH}turns_to_skip = 1");
    let text = speaking("http1", &cgroup, backend.addr(), &rules);
    let daemon = Daemon::start(&text).expect("it starts");
    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    caller.request(connection, PATIENCE).expect("it lives");
    backend.set(Behaviour::Healthy).expect("it lives");
    caller.request(connection, PATIENCE).expect("it lives");
    assert_eq!(failures(&daemon, backend.addr(), 1), 0);
}

/// Three failures open; one probe that goes well closes.
const PROBING: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "300ms", max = "10m", jitter = 0.0 }
half_open = { tokens = 1, successes = 1 }
recovery = { ramp = "0s" }
"#;

#[test]
fn a_probe_that_is_answered_so_reopens() {
    let (mut caller, cgroup) = caller("probed-5xx");
    let backend = backend(Behaviour::Answer(SPOKEN[0].failed));
    let text = speaking("http1", &cgroup, backend.addr(), PROBING);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    ask(&mut caller, backend.addr(), 3);
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    events.wait_for_state(backend.addr(), "half_open").expect("it probes");
    ask(&mut caller, backend.addr(), 1);
    let why = events.wait_for_state(backend.addr(), "open").expect("it reopens");
    assert!(why.starts_with("of 1 probes 1 failed"), "{why}");
    events.wait_for_state(backend.addr(), "half_open").expect("it probes again");
    backend.set(Behaviour::Answer(SPOKEN[0].fine[0])).expect("it lives");
    ask(&mut caller, backend.addr(), 1);
    events.wait_for_state(backend.addr(), "closed").expect("it closes");
}

/// `MySQL` says "too many connections" in the place of its greeting, before anything is asked.
#[test]
fn a_greeting_is_judged() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let greetings =
            [&b"\x4a\0\0\0\x0a8.0.36\0"[..], b"\x17\0\0\0\xff\x10\x04Too many connections"];
        for (mut client, greeting) in listener.incoming().map_while(Result::ok).zip(greetings) {
            // The client closes when it has seen the greeting.
            drop(client.write_all(greeting));
            drop(client.read(&mut [0; 1]));
        }
    });
    let (mut caller, cgroup) = caller("greeting-1040");
    let daemon = Daemon::start(&speaking("mysql", &cgroup, endpoint, WATCH)).expect("it starts");
    for failed in [0, 1] {
        let connection = caller.open(endpoint, PATIENCE).expect("it opens");
        caller.await_end(connection, PATIENCE).expect("something comes");
        caller.close(connection).expect("it lives");
        assert_eq!(failures(&daemon, endpoint, failed + 1), failed);
    }
}
