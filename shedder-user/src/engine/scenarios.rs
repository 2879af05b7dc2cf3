//! Timelines as data: what happens when, and the transitions that must follow.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use shedder_common::errno::Errno;
use shedder_common::histogram::bucket;
use shedder_common::time::Monotonic;

use super::{
    CellId, Engine, Force, HalfOpenRule, Mode, OpenRule, Policy, RampRule, Sample, ShedAction,
    Signal, Strategy,
};

pub(super) const CELL: CellId = CellId(7);

/// Opens for 1 s to 8 s without jitter, 3 tokens of which 2 must succeed, 10 s ramp.
pub(super) fn policy(trip: Vec<Strategy>) -> Policy {
    Policy {
        name: "test".to_owned(),
        mode: Mode::Enforce,
        trip,
        shed: ShedAction::Deny(Errno::ConnectionRefused),
        open: OpenRule {
            base: Duration::from_secs(1),
            max: Duration::from_secs(8),
            jitter_permille: 0,
        },
        half_open: HalfOpenRule { tokens: 3, successes: 2, deadline: Duration::from_secs(5) },
        ramp: RampRule { duration: Duration::from_secs(10), start_permille: 100 },
        caller_timeout: Duration::from_secs(1),
        turns_to_skip: 0,
    }
}

fn consecutive() -> Vec<Strategy> {
    vec![Strategy::Consecutive { failures: 5 }]
}

fn share() -> Vec<Strategy> {
    let window = Duration::from_secs(10);
    vec![Strategy::FailureShare { at_least: 0.5, z: 1.96, min_attempts: 1, window }]
}

fn latency() -> Vec<Strategy> {
    vec![Strategy::Latency {
        signal: Signal::Response,
        quantile_permille: 900,
        over: Duration::from_millis(500),
        min_samples: 10,
        window: Duration::from_secs(10),
    }]
}

/// Plays a timeline. Each line is a time in milliseconds and an event:
/// `ok N`, `fail N`, `slow MS N`, `burst` (five failures and a success unseen between two looks),
/// `probe ADMITTED OK FAILED`, `open MS`, `hold MS`, `reset`, or `.` for the passage of time.
fn check(trip: Vec<Strategy>, timeline: &str, expected: &str) {
    let mut engine = Engine::new(1);
    let mut log = String::new();
    engine.insert(CELL, Arc::new(policy(trip).try_new().expect("a valid policy")), at(0));
    let mut run = 0;
    for line in timeline.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let now = at(words.next().and_then(|word| word.parse().ok()).expect("a time"));
        while let Some(due) = engine.poll_timeout().filter(|due| *due <= now) {
            engine.handle_timeout(due);
        }
        let event = words.next().expect("an event");
        let numbers: Vec<u64> = words.map(|word| word.parse().expect("a number")).collect();
        play(&mut engine, event, &numbers, &mut run, now);
        while let Some(transition) = engine.poll_transition() {
            let at = transition.at.as_nanos() / 1_000_000;
            let (from, to, cause) = (transition.from, transition.to, transition.cause);
            let level = transition.level;
            writeln!(log, "{at} {from} -> {to}, level {level}: {cause}").expect("to a string");
        }
    }
    let expected: String =
        expected.lines().map(str::trim).filter(|l| !l.is_empty()).flat_map(|l| [l, "\n"]).collect();
    assert_eq!(log, expected);
}

fn play(engine: &mut Engine, event: &str, numbers: &[u64], run: &mut u64, now: Monotonic) {
    let sample = match (event, numbers) {
        ("ok", [count]) => {
            *run = 0;
            Sample { successes: *count, ..Sample::default() }
        }
        ("fail", [count]) => {
            *run += count;
            Sample { refused: *count, failure_run: *run, ..Sample::default() }
        }
        ("slow", [milliseconds, count]) => {
            let bucket = u8::try_from(bucket(milliseconds * 1000)).expect("a bucket");
            let count32 = u32::try_from(*count).expect("small");
            Sample { successes: *count, response: vec![(bucket, count32)], ..Sample::default() }
        }
        ("burst", []) => {
            Sample { refused: 5, successes: 1, failure_bursts: 1, ..Sample::default() }
        }
        ("probe", [probes, probe_successes, probe_failures]) => Sample {
            probes: *probes,
            probe_successes: *probe_successes,
            probe_failures: *probe_failures,
            ..Sample::default()
        },
        ("open", [ttl]) => {
            assert!(engine.force(CELL, Force::Open, Duration::from_millis(*ttl), now));
            return;
        }
        ("hold", [ttl]) => {
            assert!(engine.force(CELL, Force::Closed, Duration::from_millis(*ttl), now));
            return;
        }
        ("reset", []) => {
            assert!(engine.reset(CELL, now));
            return;
        }
        (".", []) => return,
        other => panic!("not an event: {other:?}"),
    };
    engine.observe(CELL, &sample, now);
}

pub(super) fn at(milliseconds: u64) -> Monotonic {
    Monotonic::from_nanos(milliseconds * 1_000_000)
}

#[test]
fn consecutive_failures_open_and_success_closes_by_the_ramp() {
    check(
        consecutive(),
        "100 ok 10
         200 fail 4
         300 fail 1
         1500 probe 3 2 0
         6000 ok 50
         11500 .",
        "300 closed -> open, level 1: 5 failures in a row (limit 5)
         1300 open -> half_open, level 1: the open time has passed; probing
         1500 half_open -> recovering, level 1: 2 of 3 probes succeeded
         11500 recovering -> closed, level 1: all traffic is admitted again",
    );
}

#[test]
fn one_success_ends_the_run() {
    check(consecutive(), "100 fail 4\n 200 ok 1\n 300 fail 4\n 400 ok 1", "");
}

#[test]
fn a_run_that_ended_between_two_looks_still_counts() {
    check(consecutive(), "100 burst", "100 closed -> open, level 1: 5 failures in a row (limit 5)");
}

#[test]
fn failed_probes_reopen_for_longer() {
    check(
        consecutive(),
        "0 fail 5
         1000 probe 2 0 1
         1200 probe 1 0 1
         3200 probe 3 0 3
         7200 .",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1200 half_open -> open, level 2: of 3 probes 2 failed and 1 had no answer
         3200 open -> half_open, level 2: the open time has passed; probing
         3200 half_open -> open, level 3: of 3 probes 3 failed and 0 had no answer
         7200 open -> half_open, level 3: the open time has passed; probing",
    );
}

#[test]
fn a_probe_without_result_cannot_wedge_half_open() {
    check(
        consecutive(),
        "0 fail 5
         2000 probe 1 0 0
         7000 .",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         7000 half_open -> open, level 2: of 1 probes 0 failed and 1 had no answer",
    );
}

#[test]
fn fewer_callers_than_tokens_recover_at_the_deadline() {
    check(
        consecutive(),
        "0 fail 5
         2000 probe 1 1 0
         7000 .",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         7000 half_open -> recovering, level 1: 1 of 1 probes succeeded",
    );
}

#[test]
fn rules_stay_armed_while_recovering() {
    check(
        consecutive(),
        "0 fail 5
         1000 probe 3 2 0
         2000 ok 0
         2100 fail 5",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> recovering, level 1: 2 of 3 probes succeeded
         2100 recovering -> open, level 2: 5 failures in a row (limit 5)",
    );
}

#[test]
fn levels_are_forgotten_with_uninterrupted_health() {
    check(
        consecutive(),
        "0 fail 5
         1000 probe 3 2 0
         11000 ok 1
         41000 .
         42000 fail 5",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> recovering, level 1: 2 of 3 probes succeeded
         11000 recovering -> closed, level 1: all traffic is admitted again
         42000 closed -> open, level 1: 5 failures in a row (limit 5)",
    );
}

#[test]
fn a_failure_share_needs_confidence_not_a_minimum() {
    check(share(), "100 fail 3", "");
    check(
        share(),
        "100 fail 3\n 200 fail 1",
        "200 closed -> open, level 1: 4 of 4 attempts failed in 10s: at least 51.0 % with confidence (limit 50.0 %)",
    );
    check(share(), "100 ok 50\n 200 fail 40", "");
}

#[test]
fn failures_an_hour_apart_do_not_trip() {
    check(share(), "0 fail 1\n 1200000 fail 1\n 2400000 fail 1\n 3600000 fail 1", "");
}

#[test]
fn slow_answers_open() {
    check(
        latency(),
        "100 slow 20 5
         200 slow 1000 4
         300 slow 1000 4",
        "300 closed -> open, level 1: p90 of 13 response times in 10s is 1.0s (limit 500ms)",
    );
}

#[test]
fn an_operator_overrides_for_a_while() {
    check(
        consecutive(),
        "100 open 1000
         500 fail 5
         1100 .
         1200 reset
         1300 hold 1000
         1400 fail 5
         2300 .",
        "100 closed -> forced_open, level 0: forced open by an operator for 1s
         1100 forced_open -> half_open, level 1: the operator's override ended
         1200 half_open -> closed, level 0: reset by an operator
         1300 closed -> forced_closed, level 0: held closed by an operator for 1s
         2300 forced_closed -> open, level 1: the operator's override ended",
    );
}

#[test]
fn an_override_starts_the_probing_afresh() {
    check(
        consecutive(),
        "0 fail 5
         1100 probe 2 0 1
         1200 hold 1000
         2300 probe 1 0 1
         2400 probe 2 2 0",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1200 half_open -> forced_closed, level 1: held closed by an operator for 1s
         2200 forced_closed -> half_open, level 1: the operator's override ended
         2400 half_open -> recovering, level 1: 2 of 3 probes succeeded",
    );
}

#[test]
fn the_ramp_grows_from_its_start_to_everything() {
    let mut engine = Engine::new(1);
    let mut policy = policy(consecutive());
    policy.ramp.start_permille = 500;
    engine.insert(CELL, Arc::new(policy), at(0));
    engine.observe(CELL, &Sample { refused: 5, failure_run: 5, ..Sample::default() }, at(0));
    engine.handle_timeout(at(1_000));
    let probes = Sample { probes: 2, probe_successes: 2, ..Sample::default() };
    engine.observe(CELL, &probes, at(1_000));
    let share = |time| engine.directive(CELL, at(time)).expect("it exists").admit_permille;
    assert_eq!([1_000, 3_500, 6_000, 11_000].map(share), [500, 625, 750, 1_000]);
}
