//! How traffic returns: probes, ramp, levels, flapping, throttling.

use std::time::Duration;

use super::*;
use crate::engine::State;
use crate::engine::{CloseGate, Response};

fn consecutive() -> Policy {
    policy(vec![Strategy::Consecutive { failures: 5 }])
}

/// Trips at 0, recovers from 1000 on.
const RECOVERING: &str = "0 fail 5\n 1000 probe 3 2 0";

#[test]
fn the_ramp_grows_from_its_start_to_everything() {
    let mut policy = consecutive();
    policy.ramp.start_permille = 500;
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play(RECOVERING);
    let shares = [1_000, 3_500, 6_000, 11_000].map(|time| stage.admitted(0, time));
    assert_eq!(shares, [500, 625, 750, 1_000]);
}

/// A failure share over a fifth stops the growth; the time it stood still is added.
#[test]
fn the_ramp_stands_still_while_too_much_fails() {
    let mut stage = Stage::new(&policy(vec![failure_share(0.9, 1.96, 1)]), &[(0, 0, 0)]);
    stage.play("0 fail 40\n 1000 probe 3 2 0\n 3000 ok 6\n 3000 fail 3");
    let frozen = stage.admitted(0, 3_000);
    assert_eq!([4_000, 8_000].map(|time| stage.admitted(0, time)), [frozen, frozen]);
    stage.play("9000 ok 20");
    assert!(stage.admitted(0, 10_000) > frozen);
    stage.play("20000 .");
    stage.expect(
        "0 closed -> open, level 1: 40 of 40 attempts failed in 10s: at least 91.2 % with confidence (limit 90.0 %)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> recovering, level 1: 2 of 3 probes succeeded
         17000 recovering -> closed, level 1: all traffic is admitted again",
    );
}

/// Half the evidence is enough while traffic returns: two of two.
#[test]
fn two_failures_reopen_a_ramp_whatever_the_rules_are() {
    check(
        &policy(vec![failure_share(0.9, 1.96, 1)]),
        "0 fail 40\n 1000 probe 3 2 0\n 2000 fail 1\n 2100 fail 1",
        "0 closed -> open, level 1: 40 of 40 attempts failed in 10s: at least 91.2 % with confidence (limit 90.0 %)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> recovering, level 1: 2 of 3 probes succeeded
         2100 recovering -> open, level 2: 2 of 2 attempts failed while traffic returned",
    );
}

/// A frozen ramp without any traffic goes on: nothing fails any more.
#[test]
fn a_frozen_ramp_does_not_wait_for_ever() {
    check(
        &policy(vec![failure_share(0.9, 1.96, 1)]),
        "0 fail 40\n 1000 probe 3 2 0\n 2000 ok 2\n 2000 fail 1\n 60000 .",
        "0 closed -> open, level 1: 40 of 40 attempts failed in 10s: at least 91.2 % with confidence (limit 90.0 %)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> recovering, level 1: 2 of 3 probes succeeded
         21000 recovering -> closed, level 1: all traffic is admitted again",
    );
}

/// Callers that were shed all come back at once; no more than twice the usual traffic gets in.
#[test]
fn the_ramp_keeps_a_stampede_out() {
    let mut stage = Stage::new(&consecutive(), &[(0, 0, 0)]);
    stage.play("100..9900/100 ok 10\n 10000 fail 5\n 11000 probe 3 2 0\n 16000 asked 100000 0");
    let stampede = stage.admitted(0, 16_000);
    assert!((1..100).contains(&stampede), "{stampede} {}", stage.log);
    let mut calm = Stage::new(&consecutive(), &[(0, 0, 0)]);
    calm.play("100..9900/100 ok 10\n 10000 fail 5\n 11000 probe 3 2 0\n 16000 asked 100 0");
    assert_eq!(calm.admitted(0, 16_000), 550);
}

#[test]
fn a_batch_of_probes_is_judged_as_a_whole() {
    let mut policy = consecutive();
    policy.half_open.admission = Admission::Tokens(20);
    policy.half_open.successes = 19;
    policy.half_open.gate = Some(CloseGate {
        success_permille: 950,
        quantile_permille: 990,
        at_most: Duration::from_millis(1_200),
    });
    let opened = "0 closed -> open, level 1: 5 failures in a row (limit 5)
        1000 open -> half_open, level 1: the open time has passed; probing";
    let expect = |timeline: &str, end: &str| {
        let timeline = format!("0 fail 5\n 1000 probe 20 0 0\n {timeline}");
        check(&policy, &timeline, &format!("{opened}\n{end}"));
    };
    expect(
        "1100 probe 0 18 0\n 1200 probe 0 1 1",
        "1200 half_open -> recovering, level 1: 19 of 20 probes succeeded",
    );
    expect(
        "1100 probe 0 10 2",
        "1100 half_open -> open, level 2: of 20 probes 2 failed and 8 had no answer",
    );
    // Nineteen are not enough to tell: the twentieth may be the slow one.
    expect("1100 probe 0 19 0", "");
    expect(
        "1050 slow 2000 20\n 1100 probe 0 20 0",
        "1100 half_open -> open, level 2: p99 of the probes took 2s (limit 1.2s)",
    );
}

/// Too few callers for a batch: at the deadline those there were are judged.
#[test]
fn a_batch_that_never_fills_is_judged_at_its_deadline() {
    let mut policy = consecutive();
    policy.half_open.admission = Admission::Tokens(20);
    policy.half_open.successes = 19;
    policy.half_open.gate = Some(CloseGate {
        success_permille: 950,
        quantile_permille: 990,
        at_most: Duration::from_millis(1_200),
    });
    let end = |results: &str| {
        let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
        stage.play(&format!("0 fail 5\n 1000 probe {results}\n 6500 ."));
        stage.log.lines().last().expect("it changed").to_owned()
    };
    assert_eq!(end("5 5 0"), "6000 half_open -> recovering, level 1: 5 of 5 probes succeeded");
    assert_eq!(
        end("5 4 0"),
        "6000 half_open -> open, level 2: of 5 probes 0 failed and 1 had no answer"
    );
}

/// Heartbeats: with results it goes on beyond its deadline, without any it reopens.
#[test]
fn heartbeats_go_on_while_there_are_results() {
    let mut policy = consecutive();
    policy.half_open.admission = Admission::Tokens(1);
    policy.half_open.successes = 5;
    policy.half_open.on_failure = OnFailure::Restart;
    policy.half_open.refill = Some(Duration::from_secs(1));
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play("0 fail 5\n 1500 probe 1 1 0\n 3000 probe 1 0 1\n 11000 .\n 12000 .");
    stage.expect(
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         11500 half_open -> open, level 2: of 2 probes 1 failed and 0 had no answer",
    );
}

/// Heartbeats: each refill grants another token, and a bad one starts the count afresh.
#[test]
fn probes_in_a_row_may_start_afresh() {
    let mut policy = consecutive();
    policy.half_open.admission = Admission::Tokens(1);
    policy.half_open.successes = 3;
    policy.half_open.on_failure = OnFailure::Restart;
    policy.half_open.refill = Some(Duration::from_secs(1));
    policy.half_open.deadline = Duration::from_mins(1);
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play("0 fail 5\n 1500 probe 1 1 0\n 2500 probe 1 1 0\n 3500 probe 1 0 1");
    let directive = stage.engine.directive(CELL, at(3_600)).expect("it exists");
    assert_eq!(directive.tokens, Some(3));
    stage.play("4500..6500/1000 probe 1 1 0");
    stage.expect(
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         6500 half_open -> recovering, level 1: 5 of 6 probes succeeded",
    );
}

/// The fourth trip within a short time: it stays open for longer, and traffic returns more slowly.
#[test]
fn an_endpoint_that_comes_and_goes_is_damped() {
    let mut policy = consecutive();
    policy.ramp.duration = Duration::ZERO;
    check(
        &policy,
        "0 fail 5\n 1000 probe 3 2 0
         2000 ok 1\n 2100 fail 5\n 3100 probe 3 2 0
         4000 ok 1\n 4100 fail 5\n 5100 probe 3 2 0
         6000 ok 1\n 6100 fail 5\n 36100 probe 3 2 0
         96100 .",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> closed, level 1: 2 of 3 probes succeeded
         2100 closed -> open, level 2: 5 failures in a row (limit 5)
         3100 open -> half_open, level 2: the open time has passed; probing
         3100 half_open -> closed, level 2: 2 of 3 probes succeeded
         4100 closed -> open, level 3: 5 failures in a row (limit 5)
         5100 open -> half_open, level 3: the open time has passed; probing
         5100 half_open -> closed, level 3: 2 of 3 probes succeeded
         6100 closed -> open, level 4: 5 failures in a row (limit 5)
         36100 open -> half_open, level 4: the open time has passed; probing
         36100 half_open -> recovering, level 4: 2 of 3 probes succeeded
         96100 recovering -> closed, level 4: all traffic is admitted again",
    );
}

/// Throttled by a rule: the share follows what goes wrong, and calm closes it.
#[test]
fn a_throttled_endpoint_closes_when_it_has_served_well() {
    let mut policy = policy(vec![failure_share(0.5, 1.96, 1)]);
    policy.trip[0].response = Response::Throttle;
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play("100 ok 20\n 1000..3000/100 fail 10");
    let worst = stage.admitted(0, 3_000);
    assert!((100..300).contains(&worst), "{worst}");
    stage.play("3100..60000/100 ok 5");
    assert_eq!(stage.admitted(0, 60_000), 1_000);
    let log = std::mem::take(&mut stage.log);
    assert!(log.starts_with("1300 closed -> throttled, level 0: 40 of 60"), "{log}");
    assert!(log.contains("; the rule asks to throttle only\n"), "{log}");
    assert!(
        log.trim_end().ends_with("throttled -> closed, level 0: it has served well for 10s"),
        "{log}"
    );
}

/// Where answers are slow rather than failing, slow ones do not count as accepted.
#[test]
fn a_slow_endpoint_is_throttled_by_its_slow_answers() {
    let mut policy = policy(vec![quantile(Signal::Response, 900, Duration::from_millis(500), 10)]);
    policy.trip[0].response = Response::Throttle;
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play("1000..5000/100 slow 2000 10");
    assert!(stage.admitted(0, 5_000) < 300);
}

/// A probe whose caller ends it early is no probe: its token goes to another. The deadline does not
/// move, so that half-open ends however many callers come and go.
#[test]
fn a_void_probe_gives_its_token_back() {
    let mut policy = consecutive();
    policy.half_open.admission = Admission::Tokens(1);
    policy.half_open.successes = 1;
    policy.half_open.deadline = Duration::from_secs(5);
    let tokens = |stage: &Stage, time| {
        stage.engine.directive(CELL, at(time)).expect("it exists").tokens.expect("it probes")
    };
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play("0 fail 5\n 1000 probe 1 0 0");
    assert_eq!(tokens(&stage, 1_000), 1);
    stage.play("1100 void 1");
    assert_eq!(tokens(&stage, 1_100), 2, "one was taken and one is to be had");
    stage.play("1200 probe 1 1 0");
    assert_eq!(stage.engine.view(CELL, at(1_200)).expect("it exists").state, State::Recovering);

    let mut endless = Stage::new(&policy, &[(0, 0, 0)]);
    endless.play("0 fail 5\n 1000..5900/100 probe 1 0 0\n 1050..5950/100 void 1\n 6000 .");
    assert_eq!(endless.engine.view(CELL, at(6_000)).expect("it exists").state, State::Open);
    // What was never taken is not given back.
    let mut wrong = Stage::new(&policy, &[(0, 0, 0)]);
    wrong.play("0 fail 5\n 1000 .\n 1100 void 7");
    assert_eq!(tokens(&wrong, 1_100), 1);
}

/// The probes' time begins with the first of them, not with what is refused before.
#[test]
fn the_deadline_waits_for_a_probe() {
    check(
        &consecutive(),
        "0 fail 5\n 1100 asked 5 5\n 3000 probe 1 0 0\n 3100 asked 5 5\n 8000 .",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         8000 half_open -> open, level 2: of 1 probes 0 failed and 1 had no answer",
    );
}

/// What began before probing is no probe, and what began before a ramp says nothing about it. What
/// began before a breaker closed, or was throttled, still counts.
#[test]
fn each_state_that_refuses_begins_an_epoch() {
    let epochs = |policy: &Policy, lines: &[&str]| {
        let mut stage = Stage::new(policy, &[(0, 0, 0)]);
        let epoch = |line: &&str| {
            stage.play(line);
            let (time, _) = line.split_once(' ').expect("a time");
            let now = at(time.parse().expect("milliseconds"));
            stage.engine.directive(CELL, now).expect("it exists").epoch
        };
        lines.iter().map(epoch).collect::<Vec<_>>()
    };
    let round = ["0 .", "100 fail 5", "1100 .", "1200 probe 3 2 0", "11200 ."];
    assert_eq!(epochs(&consecutive(), &round), [1, 2, 3, 4, 4]);
    let mut throttles = consecutive();
    throttles.trip[0].response = Response::Throttle;
    assert_eq!(epochs(&throttles, &["0 .", "100 fail 5", "60000 ."]), [1, 1, 1]);
}

/// What went well leaves the window, and what remains is too much: time alone reopens.
#[test]
fn a_frozen_ramp_reopens_when_only_failures_are_left() {
    let mut stage = Stage::new(&consecutive(), &[(0, 0, 0)]);
    stage.play(&format!("{RECOVERING}\n 1500 ok 6\n 6000 mixed 1 5\n 11000 ."));
    assert!(stage.log.ends_with("recovering, level 1: 2 of 3 probes succeeded\n"), "{}", stage.log);
    stage.play("14000 .");
    assert!(stage.log.contains("recovering -> open, level 2"), "{}", stage.log);
}

/// As long as a rule holds it is not calm, even where nothing would have to be shed.
#[test]
fn a_throttled_endpoint_does_not_close_while_its_rule_holds() {
    let mut policy = policy(vec![]);
    policy.trip = vec![TripRule {
        response: Response::Throttle,
        ..TripRule::opens(Rule::One(failure_share(0.2, 0.0, 10)))
    }];
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play("0..60000/1000 mixed 7 3");
    assert_eq!(stage.log.lines().count(), 1, "{}", stage.log);
    assert!(stage.log.contains("closed -> throttled"), "{}", stage.log);
    stage.play("61000..90000/1000 ok 10");
    assert!(stage.log.contains("throttled -> closed"), "{}", stage.log);
}
