//! Clients of the control socket that are many, slow, rude or too eager: whoever means well is answered.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::program::copy_into;

use crate::metrics::{scrape, scrape_until, with_pages};
use crate::scene::{LASTING, PATIENCE, backend, caller, wait_for};

fn start(label: &str) -> (Daemon, Caller, Cgroup) {
    let (caller, cgroup) = caller(label);
    let endpoint = backend(Behaviour::Healthy).addr();
    let text = with_pages("", &cgroup, &[endpoint], LASTING);
    (Daemon::start(&text).expect("it starts"), caller, cgroup)
}

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is no zero");
    stream
}

/// What the daemon says until it hangs up.
fn answer(mut stream: &UnixStream) -> String {
    let mut bytes = Vec::new();
    // It may hang up on what was still being sent.
    drop(stream.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refused(daemon: &Daemon, reason: &str) -> f64 {
    let series = format!("shedder_control_refused_total{{reason=\"{reason}\"}}");
    scrape(daemon).value(&series).expect("it is there")
}

/// Two hundred who ask byte by byte, or nothing at all, keep nobody from being answered.
#[test]
fn many_slow_clients_keep_nobody_from_being_answered() {
    let (daemon, _caller, _cgroup) = start("slowloris");
    let mut slow: Vec<UnixStream> = Vec::new();
    for _ in 0..10 {
        for turn in 0..20 {
            let mut client = connect(&daemon);
            if turn % 2 == 0 {
                drop(client.write_all(b"GET /v1/status HTTP/1.1\r\nx: "));
            }
            slow.push(client);
        }
        assert_eq!(daemon.status().expect("it answers").breakers.len(), 1);
    }
    assert!(refused(&daemon, "full") >= 100.0, "the oldest have made room");
    // Those who were left are told, in words, and cut off.
    let last = answer(slow.last().expect("there are some"));
    assert!(last.starts_with("HTTP/1.1 408") && last.contains("{\"error\":\"too slow"), "{last}");
    let slow_ones = "shedder_control_refused_total{reason=\"slow\"}";
    wait_for("they are cut off", || scrape(&daemon).value(slow_ones) >= Some(30.0));
    assert_eq!(daemon.status().expect("it answers").breakers.len(), 1);
}

/// A body that never comes, one that is too long, a head that is too long.
#[test]
fn what_is_too_long_or_never_comes_is_refused() {
    let (daemon, _caller, _cgroup) = start("too-long");
    let ask = |head: &str, body: &[u8]| {
        let mut client = connect(&daemon);
        drop(client.write_all(head.as_bytes()).and_then(|()| client.write_all(body)));
        answer(&client)
    };
    let order = "POST /v1/override HTTP/1.1\r\nhost: x\r\ncontent-length: ";
    let said = ask(&format!("{order}100000\r\n\r\n"), " ".repeat(100_000).as_bytes());
    assert!(said.starts_with("HTTP/1.1 413") && said.contains("an order is a few lines"), "{said}");
    let said = ask(&format!("GET /v1/status HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000)), &[]);
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    let said = ask(&format!("{order}100\r\n\r\n"), b"{");
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("too slow"), "{said}");
    scrape_until(&daemon, "shedder_control_refused_total{reason=\"large\"}", 2.0);
    scrape_until(&daemon, "shedder_control_refused_total{reason=\"slow\"}", 1.0);
    assert_eq!(daemon.status().expect("it answers").breakers.len(), 1);
}

/// Whoever follows and takes nothing is let go, and what is kept for it does not grow.
#[test]
fn a_reader_that_never_reads_is_let_go() {
    let (daemon, _caller, _cgroup) = start("deaf");
    let endpoint = daemon.status().expect("it answers").breakers[0].endpoint.clone();
    let resident = || {
        let text = fs::read_to_string(format!("/proc/{}/statm", daemon.pid())).expect("it lives");
        let pages: u64 = text.split(' ').nth(1).expect("pages").parse().expect("a number");
        pages * 4096
    };
    let give = |order: &str| {
        let mut client = connect(&daemon);
        let body = format!("{{\"order\":\"{order}\",\"endpoint\":\"{endpoint}\"}}");
        let length = body.len();
        let head = format!("POST /v1/override HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n");
        client.write_all(format!("{head}\r\n{body}").as_bytes()).expect("it is read");
        answer(&client)
    };
    let said = give("trip");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let deaf: Vec<UnixStream> = (0..4)
        .map(|_| {
            let mut client = connect(&daemon);
            let follow = b"GET /v1/events?follow=true HTTP/1.1\r\nhost: x\r\n\r\n";
            client.write_all(follow).expect("it is read");
            client
        })
        .collect();
    let before = resident();
    // Far more than what the kernel keeps for a reader.
    let mut fast: u32 = 0;
    for turn in 0..1_500 {
        let said = give(if turn % 2 == 0 { "reset" } else { "trip" });
        fast += u32::from(said.starts_with("HTTP/1.1 429"));
    }
    scrape_until(&daemon, "shedder_control_refused_total{reason=\"slow\"}", 4.0);
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
    for client in &deaf {
        // What lay there, and then the end.
        assert!(answer(client).starts_with("HTTP/1.1 200"));
    }
    scrape_until(&daemon, "shedder_control_refused_total{reason=\"fast\"}", f64::from(fast));
}

/// A user other than root has a few places only, and is told so.
#[test]
fn a_user_of_the_group_cannot_take_all_places() {
    let (daemon, _caller, _cgroup) = start("greedy");
    let socket = daemon.socket();
    let directory = socket.parent().expect("it has one");
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(directory, mode(0o755)).expect("it is ours");
    std::os::unix::fs::chown(&socket, None, Some(NOBODY)).expect("root may");
    let program = copy_into(&shedder_tests::daemon::program().expect("it is built"), directory)
        .expect("a copy");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.args(arguments).arg("--socket").arg(&socket).uid(NOBODY).gid(NOBODY);
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).spawn().expect("it runs")
    };
    let followers: Vec<_> = (0..12).map(|_| run(&["events", "--follow"])).collect();
    wait_for("one more is turned away, and told why", || {
        let output = run(&["status"]).wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        said.contains("8 clients of yours talk to the daemon already")
    });
    assert_eq!(daemon.status().expect("root is answered").breakers.len(), 1);
    for mut follower in followers {
        follower.kill().expect("it is ours");
        follower.wait().expect("it ends");
    }
    wait_for("their places are free", || run(&["status"]).wait().expect("it ends").success());
    assert!(refused(&daemon, "full") >= 1.0);
}

const NOBODY: u32 = 65_534;
