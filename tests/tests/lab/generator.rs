//! The generator of the benches: every call that became due is told, timed from when it was due.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_user::clock::now;

use crate::LOCALHOST;

/// A line of what it told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    due_us: u64,
    took_us: u64,
    end: String,
    attempts: u32,
}

fn backend(behaviour: Behaviour) -> Backend {
    Backend::start(LOCALHOST, behaviour).expect("a backend starts")
}

/// Ten milliseconds apart, for as long as given, to these addresses; in the order they became due.
fn calls(to: &[SocketAddr], seconds: &str, more: &[&str]) -> Vec<Told> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab-generator"));
    for address in to {
        command.args(["--to", &address.to_string()]);
    }
    let start = now().plus(Duration::from_millis(200)).as_nanos().to_string();
    command.args(["--rate", "100", "--seconds", seconds, "--start-ns", &start]).args(more);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is text");
    let (calls, cpu) = text.rsplit_once("cpu ").expect("it tells its processor time");
    assert!(cpu.trim().parse::<u64>().is_ok_and(|cpu| cpu > 0), "{cpu}");
    let mut told: Vec<Told> = calls.lines().map(read).collect();
    told.sort_by_key(|call| call.due_us);
    told
}

fn read(line: &str) -> Told {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words.len(), 4, "{line}");
    let number = |word: &str| word.parse::<u64>().expect("a number");
    Told {
        due_us: number(words[0]),
        took_us: number(words[1]) / 1000,
        end: words[2].to_owned(),
        attempts: u32::try_from(number(words[3])).expect("few"),
    }
}

#[test]
fn every_call_that_became_due_is_told_once() {
    let backend = backend(Behaviour::Healthy);
    let told = calls(&[backend.addr()], "0.5", &[]);
    let due: Vec<u64> = told.iter().map(|call| call.due_us).collect();
    assert_eq!(due, (0..50).map(|number| number * 10_000).collect::<Vec<u64>>());
    assert!(told.iter().all(|call| call.end == "a0" && call.attempts == 1), "{told:?}");
    assert_eq!((backend.accepted(), backend.answered()), (50, 50));
}

/// A server that takes twice as long as there is between two calls: each waits for all before it.
#[test]
fn waiting_behind_others_is_part_of_a_call() {
    let backend = backend(Behaviour::OneByOne(Duration::from_millis(20)));
    let told = calls(&[backend.addr()], "0.5", &[]);
    assert_eq!(told.len(), 50);
    for (number, call) in (0_u64..).zip(&told) {
        let least = 20_000 * (number + 1) - 10_000 * number;
        assert!(call.took_us >= least.saturating_sub(1000), "call {number}: {call:?}");
    }
}

#[test]
fn an_address_that_refuses_is_passed_over_where_others_may_be_tried() {
    let (bad, good) = (backend(Behaviour::Refuse), backend(Behaviour::Healthy));
    let both = [bad.addr(), good.addr()];
    let told = calls(&both, "0.2", &["--attempts", "2"]);
    assert!(told.iter().all(|call| call.end == "a0"), "{told:?}");
    let attempts: Vec<u32> = told.iter().map(|call| call.attempts).collect();
    assert_eq!(attempts, [2, 1].repeat(10));

    let told = calls(&both, "0.2", &[]);
    let refused = format!("n{}", libc::ECONNREFUSED);
    let ends: Vec<&str> = told.iter().map(|call| call.end.as_str()).collect();
    assert_eq!(ends, [refused.as_str(), "a0"].repeat(10));
}

#[test]
fn what_comes_instead_of_an_answer_is_told() {
    for (behaviour, end) in [
        (Behaviour::ResetAfterAccept, format!("l{}", libc::ECONNRESET)),
        (Behaviour::CloseAfterAccept, "e0".to_owned()),
        (Behaviour::Hang, "t0".to_owned()),
        (Behaviour::Blackhole, "c0".to_owned()),
    ] {
        let backend = backend(behaviour);
        let told = calls(&[backend.addr()], "0.1", &[]);
        assert_eq!(told.len(), 10, "{behaviour:?}");
        assert!(told.iter().all(|call| call.end == end), "{behaviour:?}: {told:?}");
    }
}

#[test]
fn a_request_that_is_poison_breaks_its_connection_only() {
    let backend = backend(Behaviour::Healthy);
    let told = calls(&[backend.addr()], "0.1", &["--request", "poison"]);
    assert!(told.iter().all(|call| call.end == format!("l{}", libc::ECONNRESET)), "{told:?}");
    let told = calls(&[backend.addr()], "0.1", &[]);
    assert!(told.iter().all(|call| call.end == "a0"), "{told:?}");
}

#[test]
fn connections_of_a_pool_are_used_again_and_those_that_ended_are_not() {
    let backend = backend(Behaviour::Healthy);
    let told = calls(&[backend.addr()], "0.5", &["--pool", "4"]);
    assert!(told.len() == 50 && told.iter().all(|call| call.end == "a0"), "{told:?}");
    assert_eq!(backend.accepted(), 4);

    // Each connection fails its tenth request, and the call goes with it.
    backend.reset_counters();
    backend.set(Behaviour::Flaky { permille: 100 }).expect("it lives");
    let told = calls(&[backend.addr()], "1", &["--pool", "4"]);
    let failed = told.iter().filter(|call| call.end != "a0").count();
    assert_eq!((told.len(), failed), (100, 10), "{told:?}");
}

#[test]
fn as_many_calls_are_under_way_as_asked() {
    let backend = backend(Behaviour::Slow(Duration::from_millis(50)));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab-generator"));
    let start = now().plus(Duration::from_millis(200)).as_nanos().to_string();
    command.args(["--to", &backend.addr().to_string(), "--at-once", "3", "--seconds", "0.5"]);
    let output = command.args(["--start-ns", &start]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("it is text");
    let calls = text.lines().filter(|line| line.contains(" a0 ")).count();
    assert!((3..=30).contains(&calls), "{text}");
}
