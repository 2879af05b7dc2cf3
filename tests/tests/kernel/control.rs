//! The command line and its socket.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::{Daemon, command};
use shedder_tests::program::copy_into;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, open, policy};

#[test]
fn trip_hold_and_reset_steer_a_breaker() {
    let (mut caller, cgroup) = caller("steered");
    let backend = backend(Behaviour::Healthy);
    let endpoint = backend.addr().to_string();
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let mut answered = || caller.call(backend.addr(), PATIENCE).expect("it lives").answered();
    let state = || daemon.breaker(backend.addr()).expect("it has one").state;
    assert!(answered());

    let said =
        daemon.succeed(&["trip", &endpoint, "--caller", "app", "--for", "1h"]).expect("root");
    assert_eq!(said, format!("tripped for 1h: app calling db at {endpoint}\n"));
    assert_eq!((state().as_str(), answered()), ("forced_open", false));

    daemon.succeed(&["hold", &endpoint, "--for", "1h"]).expect("root");
    assert_eq!((state().as_str(), answered()), ("forced_closed", true));

    daemon.succeed(&["trip", &endpoint]).expect("root");
    daemon.succeed(&["reset", &endpoint]).expect("root");
    assert_eq!((state().as_str(), answered()), ("closed", true));
}

/// An override ends by itself, and a forced opening ends in probes.
#[test]
fn an_override_ends_by_itself() {
    let (mut caller, cgroup) = caller("ttl");
    let backend = backend(Behaviour::Healthy);
    let rules = "half_open = { tokens = 1, successes = 1 }\nrecovery.ramp = \"0s\"";
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    daemon.succeed(&["trip", &backend.addr().to_string(), "--for", "200ms"]).expect("root");
    events.wait_for_state(backend.addr(), "half_open").expect("the override ends");
    assert_all_answered(&caller.call_many(backend.addr(), 1, PATIENCE).expect("it lives"));
    events.wait_for_state(backend.addr(), "closed").expect("one probe closes it");
}

/// A held-closed breaker does not trip, whatever happens.
#[test]
fn hold_keeps_a_failing_endpoint_closed() {
    let (mut caller, cgroup) = caller("held");
    let backend = backend(Behaviour::Refuse);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    daemon.succeed(&["hold", &backend.addr().to_string()]).expect("root");
    caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives");
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!((breaker.state.as_str(), breaker.shed_total), ("forced_closed", 0));
}

#[test]
fn status_and_events_show_what_people_need() {
    let (mut caller, cgroup) = caller("shown");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let events = daemon.events().expect("it answers");
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));
    backend.set(Behaviour::Refuse).expect("it lives");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    let table = daemon.succeed(&["status"]).expect("it answers");
    let row = table.lines().nth(1).expect("one breaker");
    for part in ["app", "db", &backend.addr().to_string(), "open", "3 failures in a row"] {
        assert!(row.contains(part), "{part} is missing in {row}");
    }
    let elsewhere = daemon.succeed(&["status", "--service", "other"]).expect("it answers");
    assert!(elsewhere.starts_with("No breakers"), "{elsewhere}");
    let past = daemon.succeed(&["events"]).expect("it answers");
    assert!(past.contains("closed -> open, because 3 failures in a row"), "{past}");
    // The contract of `status --json`, by its names.
    let json: serde_json::Value =
        serde_json::from_str(&daemon.succeed(&["status", "--json"]).expect("it answers"))
            .expect("JSON");
    let breaker = &json["breakers"][0];
    for field in [
        "caller",
        "service",
        "policy",
        "endpoint",
        "state",
        "since",
        "reason",
        "window",
        "verdict",
        "shed_total",
        "allowed_total",
        "destroyed",
        "next",
    ] {
        assert!(!breaker[field].is_null(), "{field} is missing");
    }
    for field in ["attempts", "failures", "failure_share", "p50_us", "p99_us"] {
        assert!(breaker["window"].get(field).is_some(), "window.{field} is missing");
    }
    assert_eq!(breaker["reason"]["strategy"], "consecutive");
    assert_eq!(breaker["verdict"]["action"], "deny");
    assert!(breaker["verdict"]["expires_in_ms"].is_u64());
    assert_eq!(breaker["next"]["state"], "half_open");
}

#[test]
fn the_socket_refuses_a_user_outside_the_group() {
    let (_caller, cgroup) = caller("outsider");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let socket = daemon.socket();
    assert_eq!(fs::metadata(&socket).expect("it exists").permissions().mode() & 0o777, 0o660);
    // The directory lets everybody through, so that it is the socket that refuses.
    let directory = socket.parent().expect("it has one");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("it is ours");
    // The outsider runs a copy it may execute, wherever the build lies.
    let built = shedder_tests::daemon::program().expect("it is built");
    let program = copy_into(&built, directory).expect("a copy");
    let run = |uid: u32, gid: u32, arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.args(arguments).arg("--socket").arg(&socket).uid(uid).gid(gid);
        command.output().expect("it runs")
    };
    let output = run(NOBODY, NOBODY, &["status"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not in the group"), "{said}");
    assert_eq!(run(NOBODY, NOBODY, &["reload"]).status.code(), Some(3));

    // In the group, but not root: may look, may not touch.
    std::os::unix::fs::chown(&socket, None, Some(NOBODY)).expect("root may");
    assert_eq!(run(NOBODY, NOBODY, &["status"]).status.code(), Some(0));
    let output = run(NOBODY, NOBODY, &["trip", &backend.addr().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("only root may override"));
    let output = run(NOBODY, NOBODY, &["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("only root may reload"));
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let (_caller, cgroup) = caller("codes");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let code = |arguments: &[&str]| daemon.command(arguments).expect("it runs").status.code();
    assert_eq!(code(&["status"]), Some(0));
    assert_eq!(code(&["trip", "192.0.2.1:1"]), Some(1));
    assert_eq!(code(&["trip", "nonsense"]), Some(1));
    assert_eq!(code(&["reset", &backend.addr().to_string(), "--caller", "nobody"]), Some(1));
    assert_eq!(code(&["trip", &backend.addr().to_string(), "--for", "1ms"]), Some(1));
    assert_eq!(code(&["trip"]), Some(2));
    assert_eq!(code(&["status", "--colour"]), Some(2));
    let nowhere = daemon.socket().with_file_name("nowhere.sock");
    let output = command(&["status"], &nowhere).expect("it is built").output().expect("it runs");
    assert_eq!(output.status.code(), Some(3));
}

/// Nothing a client does to its end of the socket ends the daemon.
#[test]
fn a_rude_client_does_not_end_the_daemon() {
    let (_caller, cgroup) = caller("rude");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let connect = || UnixStream::connect(daemon.socket()).expect("it listens");
    // Gone before the answer can be written.
    let mut garbage = connect();
    garbage.write_all(b"\0\0garbage\r\n\r\n").expect("it is read");
    drop(garbage);
    let mut follower = connect();
    let follow = b"GET /v1/events?follow=true HTTP/1.1\r\nhost: shedder\r\n\r\n";
    follower.write_all(follow).expect("it is read");
    follower.read_exact(&mut [0; 16]).expect("it answers");
    follower.shutdown(std::net::Shutdown::Both).expect("it is open");
    // Each of these is an event the follower is sent.
    for order in ["trip", "hold", "reset"] {
        daemon.succeed(&[order, &backend.addr().to_string()]).expect("root");
    }
    for request in ["GET /nowhere", "DELETE /v1/status", "POST /v1/override", "POST /v1/reload"] {
        let mut client = connect();
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).expect("it is read");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(daemon.status().expect("it lives").breakers.len(), 1);
}

/// The programs log only when told to.
#[test]
fn programs_log_behind_a_switch() {
    for (arguments, is_expected) in [(&[][..], false), (&["--debug-programs"][..], true)] {
        let (mut caller, cgroup) = caller("debug");
        let backend = backend(Behaviour::Refuse);
        let text = policy(&cgroup, &[backend.addr()], LASTING);
        let mut daemon = Daemon::start_with(&text, arguments).expect("it starts");
        drop(open(&daemon, &mut caller, backend.addr()));
        // Whatever was logged is passed on when the daemon stops.
        daemon.signal(libc::SIGTERM);
        daemon.wait().expect("it ends");
        assert_eq!(daemon.log().contains("connect slot"), is_expected, "{}", daemon.log());
    }
}

const NOBODY: u32 = 65_534;
