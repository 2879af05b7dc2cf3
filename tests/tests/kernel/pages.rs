//! The pages over TCP: what they say of the daemon, and that whoever asks for them does it no harm.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::web::{fetch, request};

use crate::metrics::with_pages;
use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy, wait_for};

/// Ready is attached; alive is less.
#[test]
fn ready_is_attached() {
    let outer = Cgroup::new("ready").expect("a cgroup");
    let backend = backend(Behaviour::Healthy);
    let pattern = format!("{}/job-*", outer.name());
    let text = with_pages("", &outer, &[backend.addr()], LASTING).replace(outer.name(), &pattern);
    let daemon = Daemon::start(&text).expect("a pattern may match nothing");
    let pages = daemon.pages().expect("it has pages");
    let ready = || fetch(pages, "/readyz").expect("it answers");
    let before = ready();
    assert_eq!(
        (before.status, before.text.as_str()),
        (503, "not ready: no cgroup is guarded: none matches the policy file yet\n")
    );
    assert_eq!(fetch(pages, "/healthz").expect("it answers").text, "ok\n");
    let inner = outer.child("job-1").expect("a cgroup");
    wait_for("it is ready", || ready().status == 200);
    drop(inner);
    wait_for("it is not ready", || ready().status == 503);
}

/// A daemon that hangs is neither alive nor ready to those who ask.
#[test]
fn a_daemon_that_hangs_does_not_answer() {
    let (_caller, cgroup) = caller("hangs");
    let backend = backend(Behaviour::Healthy);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let pages = daemon.pages().expect("it has pages");
    let ask = |path: &str| {
        request(pages, &format!("GET {path} HTTP/1.0\r\n\r\n"), Duration::from_millis(300))
    };
    daemon.pause().expect("it stops");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(ask(path).is_err(), "{path}");
    }
    daemon.signal(libc::SIGCONT);
    wait_for("it is ready again", || ask("/readyz").is_ok_and(|page| page.status == 200));
}

/// Nothing is attached by a daemon whose address is taken.
#[test]
fn an_address_that_is_taken_is_refused_before_anything_is_attached() {
    let (mut caller, cgroup) = caller("taken");
    let backend = backend(Behaviour::Healthy);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one");
    let holder = TcpListener::bind(taken).expect("it is free again");
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING)
        .replace("127.0.0.1:0\"", &format!("{taken}\""));
    let error = format!("{:#}", Daemon::start(&text).expect_err("it is taken"));
    let wanted = format!("cannot listen on {taken}; choose another address for listen in [node]");
    assert!(error.contains(&wanted) && !error.contains("attached"), "{error}");
    drop(holder);
    assert_all_answered(&caller.call_many(backend.addr(), 1, PATIENCE).expect("it lives"));
    assert!(Daemon::start(&text).is_ok(), "nothing of it was left");
}

/// Without the word for it there are no pages.
#[test]
fn nobody_listens_unless_told_to() {
    let (_caller, cgroup) = caller("mute");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    assert_eq!(daemon.status().expect("it answers").node.listen, None);
}

/// Nothing there changes anything.
#[test]
fn nothing_else_is_served() {
    let (_caller, cgroup) = caller("only");
    let backend = backend(Behaviour::Healthy);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let pages = daemon.pages().expect("it has pages");
    let status = |line: &str| {
        request(pages, &format!("{line} HTTP/1.0\r\nhost: localhost\r\n\r\n"), PATIENCE)
            .expect("it answers")
            .status
    };
    assert_eq!(status("GET /metrics"), 200);
    for path in ["/v1/status", "/v1/override", "/metrics/x"] {
        assert_eq!(status(&format!("GET {path}")), 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(status(&format!("{method} /metrics")), 405, "{method}");
    }
}

/// More clients than are answered at once send half a request each and fall silent: who asks properly
/// is answered all the same, and breakers trip as ever.
#[test]
fn slow_clients_do_no_harm() {
    let (mut caller, cgroup) = caller("slow-clients");
    let backend = backend(Behaviour::Refuse);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    let pages: SocketAddr = daemon.pages().expect("it has pages");
    let slow: Vec<TcpStream> = (0..48)
        .map(|_| {
            let mut client = TcpStream::connect(pages).expect("it listens");
            client.write_all(b"GET /metr").expect("it is taken");
            client
        })
        .collect();
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    assert_eq!(fetch(pages, "/readyz").expect("it answers").status, 200);
    drop(slow);
}
