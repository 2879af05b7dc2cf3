//! Ends of connections that look like failures and are none.
//!
//! The last thing done is a success, so that the counts can be right in one way only.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::{Cause, ConnectOptions};
use shedder_tests::daemon::Daemon;
use shedder_tests::wire::SynCounter;

use crate::scene::{
    PATIENCE, WATCH, assert_all_answered, backend, caller, delaying, failures, policy,
};

/// Past the patience of [`WATCH`]: an end in good order would be a timeout by now.
const PATIENT: Duration = Duration::from_millis(600);

/// The caller ends its side first, and its answer is an answer like any other.
#[test]
fn an_answer_to_a_half_closed_caller_is_a_success() {
    let (mut caller, cgroup) = caller("half-closed");
    let endpoint = server(|mut client| {
        // The end of the requests comes before the answer.
        client.read_to_end(&mut Vec::new())?;
        client.write_all(b"pong\n")
    });
    let daemon = Daemon::start(&policy(&cgroup, &[endpoint], WATCH)).expect("it starts");
    for answers in 1..=2 {
        let connection = caller.open(endpoint, PATIENCE).expect("it opens");
        let call = caller.last_request(connection, PATIENCE).expect("it lives");
        assert_all_answered(&[call]);
        // Counted when it comes, and as an answer, not when the connection ends.
        assert_eq!(failures(&daemon, endpoint, answers), 0);
        let window = daemon.breaker(endpoint).expect("it has one").window;
        assert!(window.p50_us.is_some(), "{window:?}");
        caller.close(connection).expect("it closes");
    }
}

/// The server ends its side after its answers, and the caller takes note of that in its own time,
/// or only by asking once more in vain.
#[test]
fn a_peer_that_ends_its_side_after_its_answers_does_not_fail() {
    let (mut caller, cgroup) = caller("farewell");
    let endpoint = server(|client| {
        let mut client = BufReader::new(client);
        client.read_line(&mut String::new())?;
        client.get_mut().write_all(b"pong\n")?;
        client.get_mut().shutdown(Shutdown::Write)?;
        client.read(&mut [0]).map(drop)
    });
    let daemon = Daemon::start(&policy(&cgroup, &[endpoint], WATCH)).expect("it starts");
    for asks_again in [false, true, false] {
        let connection = caller.open(endpoint, PATIENCE).expect("it opens");
        assert_all_answered(&[caller.request(connection, PATIENCE).expect("it lives")]);
        assert_eq!(caller.await_end(connection, PATIENCE).expect("it lives"), Cause::Closed);
        if asks_again {
            assert!(!caller.request(connection, PATIENCE).expect("it lives").answered());
        }
        caller.close(connection).expect("it closes");
    }
    assert_eq!(failures(&daemon, endpoint, 3), 0);
}

/// `ss -K` on the caller's side, while an answer is due and overdue.
#[test]
fn a_connection_destroyed_by_an_administrator_is_no_failure() {
    let (mut caller, cgroup) = caller("destroyed");
    let backend = backend(Behaviour::Hang);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    let call = caller.request(connection, PATIENT).expect("it lives");
    assert!(call.timed_out());
    destroy(call.local.expect("it is connected"), backend.addr());
    let Cause::Errno(errno) = caller.await_end(connection, PATIENCE).expect("it lives") else {
        unreachable!("the kernel ends it");
    };
    assert_eq!(errno.code, libc::ECONNABORTED);
    backend.set(Behaviour::Healthy).expect("it lives");
    assert!(caller.call(backend.addr(), PATIENCE).expect("it lives").answered());
    assert_eq!(failures(&daemon, backend.addr(), 1), 0);
}

/// Connections made in advance, never used, and tidied away by the server.
#[test]
fn an_idle_pool_that_is_reset_is_no_failure() {
    let (mut caller, cgroup) = caller("pool");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], WATCH)).expect("it starts");
    let open = |_| caller.open(backend.addr(), PATIENCE).expect("it opens");
    let pool: Vec<_> = (0..3).map(open).collect();
    // Idling is what is tested, and there is nothing to wait for but that time passes.
    let idling = caller.await_end(pool[0], PATIENT).expect("it lives");
    assert_eq!(idling, Cause::Timeout);
    backend.set(Behaviour::Refuse).expect("it lives");
    for connection in pool {
        let Cause::Errno(errno) = caller.await_end(connection, PATIENCE).expect("it lives") else {
            unreachable!("the server resets it");
        };
        assert_eq!(errno.code, libc::ECONNRESET);
    }
    backend.set(Behaviour::Healthy).expect("it lives");
    assert!(caller.call(backend.addr(), PATIENCE).expect("it lives").answered());
    assert_eq!(failures(&daemon, backend.addr(), 1), 0);
}

/// Whoever gives up while held has not even asked the endpoint.
#[test]
fn giving_up_while_held_is_no_failure() {
    let (mut caller, cgroup) = caller("held");
    let backend = backend(Behaviour::Blackhole);
    let daemon = delaying(&cgroup, backend.addr(), "2s");
    let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count");
    let attempt = caller.connect(backend.addr(), &within(PATIENT)).expect("it lives");
    assert_eq!(attempt.failure, Some(Cause::Timeout));
    // At its own time limit, not at the end of the hold.
    assert!((600_000..2_000_000).contains(&attempt.connect_us), "{attempt:?}");
    assert_eq!(wire.count().expect("it counts"), 0);
    backend.set(Behaviour::Healthy).expect("it lives");
    assert!(caller.call(backend.addr(), PATIENCE).expect("it lives").answered());
    assert_eq!(failures(&daemon, backend.addr(), 1), 0);
}

/// The timer of a hold also counts the SYNs that are sent again. With the usual number of them a
/// hold this short would end the connect after three seconds.
#[test]
fn a_short_hold_does_not_shorten_the_connect() {
    let (mut caller, cgroup) = caller("silent");
    let backend = backend(Behaviour::Blackhole);
    let daemon = delaying(&cgroup, backend.addr(), "20ms");
    let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count");
    let limit = Duration::from_secs(5);
    let attempt = caller.connect(backend.addr(), &within(limit)).expect("it lives");
    assert_eq!(attempt.failure, Some(Cause::Timeout), "its own limit, no errno: {attempt:?}");
    let sent = wire.count().expect("it counts");
    assert!(sent > 1, "{sent} SYNs");
    // The hold had passed, so this was a timeout like any other.
    assert_eq!(failures(&daemon, backend.addr(), 1), 1);
}

/// A server that does the same with every client, one after the other, and then closes. It lives as
/// long as the test program.
fn server(serve: impl Fn(TcpStream) -> std::io::Result<()> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // What a client does after its answer is its affair.
            drop(serve(client));
        }
    });
    endpoint
}

fn within(timeout: Duration) -> ConnectOptions {
    ConnectOptions { timeout: Some(timeout), ..ConnectOptions::default() }
}

/// Destroys the one socket at `local` that is connected to `peer`.
fn destroy(local: SocketAddr, peer: SocketAddr) {
    let output = Command::new("ss")
        .args(["--kill", "--tcp", "--numeric", "--no-header"])
        .args(["src", &local.to_string(), "dst", &peer.to_string()])
        .output()
        .expect("ss runs: install iproute2");
    // It lists what it has destroyed; a kernel without the means lets it list nothing.
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.lines().count(),
        1,
        "ss -K must destroy one socket: the kernel needs CONFIG_INET_DIAG_DESTROY: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
