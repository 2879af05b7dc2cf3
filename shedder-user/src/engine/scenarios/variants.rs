//! The state-machine variants SM-1 to SM-12: each is a policy, driven through its transitions.

use std::time::Duration;

use super::*;
use crate::engine::CloseGate;

/// A variant without ramp or growth, so that each line is one of its own rules.
fn variant(trip: Strategy, open: Duration) -> Policy {
    let mut policy = policy(vec![trip]);
    policy.open.base = open;
    policy.open.max = open;
    policy.open.growth = Growth::Constant;
    policy.half_open.admission = Admission::Tokens(1);
    policy.half_open.successes = 1;
    policy.ramp.duration = Duration::ZERO;
    policy
}

const MINUTE: Duration = Duration::from_mins(1);

/// SM-1, SM-2 (S0.13, S2.12): n in a row, one probe, one success closes, one failure reopens and
/// starts the time afresh.
#[test]
fn sm_1_and_2_one_probe_decides() {
    check(
        &variant(Strategy::Consecutive { failures: 5 }, MINUTE),
        "0 fail 5\n 61000 probe 1 0 1\n 122000 probe 1 1 0",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         60000 open -> half_open, level 1: the open time has passed; probing
         61000 half_open -> open, level 2: of 1 probes 1 failed and 0 had no answer
         121000 open -> half_open, level 2: the open time has passed; probing
         122000 half_open -> closed, level 2: 1 of 1 probes succeeded",
    );
}

/// SM-3 (S3.29 to S3.31): half of at least 20 in a minute; one request at a time, three in a row.
#[test]
fn sm_3_three_single_probes_in_a_row() {
    let mut strategy = failure_share(0.5, 0.0, 20);
    let Strategy::FailureShare { window, .. } = &mut strategy else { unreachable!() };
    *window = Span::Time(MINUTE);
    let mut policy = variant(strategy, MINUTE);
    policy.half_open.successes = 3;
    policy.half_open.refill = Some(Duration::from_secs(1));
    policy.half_open.deadline = MINUTE;
    check(
        &policy,
        "0 ok 10\n 30000 fail 10\n 90000 probe 1 1 0\n 91500 probe 1 1 0\n 92500 probe 1 1 0",
        "30000 closed -> open, level 1: 10 of 20 attempts failed in 60s: 50.0 % (limit 50.0 %)
         90000 open -> half_open, level 1: the open time has passed; probing
         92500 half_open -> closed, level 1: 3 of 3 probes succeeded",
    );
}

/// SM-3: one failure among them reopens.
#[test]
fn sm_3_one_failure_reopens() {
    let mut policy = variant(Strategy::Consecutive { failures: 5 }, MINUTE);
    policy.half_open.successes = 3;
    policy.half_open.refill = Some(Duration::from_secs(1));
    check(
        &policy,
        "0 fail 5\n 60500 probe 1 1 0\n 61500 probe 1 0 1",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         60000 open -> half_open, level 1: the open time has passed; probing
         61500 half_open -> open, level 2: of 2 probes 1 failed and 0 had no answer",
    );
}

/// SM-4 (S3.1 to S3.5): after two seconds everyone is let in; the next result decides.
#[test]
fn sm_4_everyone_is_a_probe() {
    let mut policy = variant(Strategy::Consecutive { failures: 3 }, Duration::from_secs(2));
    policy.half_open.admission = Admission::Everyone;
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play("0 fail 3\n 2500 .");
    assert_eq!(stage.admitted(0, 2_500), 1_000);
    stage.play("2600 fail 1\n 4700 ok 1");
    stage.expect(
        "0 closed -> open, level 1: 3 failures in a row (limit 3)
         2000 open -> half_open, level 1: the open time has passed; probing
         2600 half_open -> open, level 2: of 1 probes 1 failed and 0 had no answer
         4600 open -> half_open, level 2: the open time has passed; probing
         4700 half_open -> closed, level 2: 1 of 1 probes succeeded",
    );
}

/// SM-5 (S1.24 to S1.27): doubling, and a batch that must pass as a whole.
#[test]
fn sm_5_a_batch_must_pass_as_a_whole() {
    let mut policy = variant(failure_share(0.1, 0.0, 20), MINUTE);
    policy.open.growth = Growth::Exponential(2.0);
    policy.open.max = 10 * MINUTE;
    policy.half_open.admission = Admission::Tokens(20);
    policy.half_open.successes = 19;
    policy.half_open.gate = Some(CloseGate {
        success_permille: 950,
        quantile_permille: 990,
        at_most: Duration::from_millis(1_200),
    });
    check(
        &policy,
        "0 fail 20\n 60000 probe 20 17 3\n 180000 slow 20 20\n 180000 probe 20 19 1",
        "0 closed -> open, level 1: 20 of 20 attempts failed in 10s: 100.0 % (limit 10.0 %)
         60000 open -> half_open, level 1: the open time has passed; probing
         60000 half_open -> open, level 2: of 20 probes 3 failed and 0 had no answer
         180000 open -> half_open, level 2: the open time has passed; probing
         180000 half_open -> closed, level 2: 19 of 20 probes succeeded",
    );
}

/// SM-7 (S0.56): up to a hundred probes, all of which must succeed.
#[test]
fn sm_7_all_of_a_hundred() {
    let mut policy = variant(failure_share(0.6, 0.0, 50), MINUTE);
    policy.half_open.admission = Admission::Tokens(100);
    policy.half_open.successes = 100;
    check(
        &policy,
        "0 fail 50\n 60000 probe 100 99 0\n 60100 probe 0 0 1\n 120200 probe 100 100 0",
        "0 closed -> open, level 1: 50 of 50 attempts failed in 10s: 100.0 % (limit 60.0 %)
         60000 open -> half_open, level 1: the open time has passed; probing
         60100 half_open -> open, level 2: of 100 probes 1 failed and 0 had no answer
         120100 open -> half_open, level 2: the open time has passed; probing
         120200 half_open -> closed, level 2: 100 of 100 probes succeeded",
    );
}

/// SM-8 (S1.47): every 30 s three probes, all of which must succeed.
#[test]
fn sm_8_three_probes_every_half_minute() {
    let mut policy = variant(failure_share(0.05, 0.0, 50), Duration::from_secs(30));
    policy.half_open.admission = Admission::Tokens(3);
    policy.half_open.successes = 3;
    check(
        &policy,
        "0 ok 10\n 0 fail 51\n 30000 probe 3 2 1\n 60000 probe 3 3 0",
        "0 closed -> open, level 1: 51 of 61 attempts failed in 10s: 83.6 % (limit 5.0 %)
         30000 open -> half_open, level 1: the open time has passed; probing
         30000 half_open -> open, level 2: of 3 probes 1 failed and 0 had no answer
         60000 open -> half_open, level 2: the open time has passed; probing
         60000 half_open -> closed, level 2: 3 of 3 probes succeeded",
    );
}

/// SM-10 (S0.38, S0.39): a rate for each resource, which never meets another's.
#[test]
fn sm_10_resources_are_apart() {
    let policy = variant(failure_share(0.5, 0.0, 10), Duration::from_secs(45));
    Stage::new(&policy, &[(0, 0, 0), (0, 1, 1)]).check(
        "0 c0 ok 50\n 0 c1 fail 10\n 100 c0 ok 50\n 45000 c1 probe 1 1 0",
        "0 c1 closed -> open, level 1: 10 of 10 attempts failed in 10s: 100.0 % (limit 50.0 %)
         45000 c1 open -> half_open, level 1: the open time has passed; probing
         45000 c1 half_open -> closed, level 1: 1 of 1 probes succeeded",
    );
}

/// SM-11 (S0.62): the whole endpoint returns when its time is up, longer with every ejection.
#[test]
fn sm_11_the_endpoint_returns_without_a_probe() {
    let mut policy = variant(Strategy::Consecutive { failures: 15 }, MINUTE);
    policy.open.growth = Growth::Linear;
    policy.open.max = 10 * MINUTE;
    policy.half_open.admission = Admission::Skip;
    let share = failure_share(0.9, 0.0, 15);
    policy.trip.push(TripRule::opens(Rule::One(share)));
    policy.trip.remove(0);
    check(
        &policy,
        "0 fail 15\n 61000 fail 15\n 182000 .",
        "0 closed -> open, level 1: 15 of 15 attempts failed in 10s: 100.0 % (limit 90.0 %)
         60000 open -> closed, level 1: the open time has passed; probing
         61000 closed -> open, level 2: 15 of 15 attempts failed in 10s: 100.0 % (limit 90.0 %)
         181000 open -> closed, level 2: the open time has passed; probing",
    );
}

/// SM-9, SM-12 (S2.8, S0.58): each failed probe makes the wait longer, with jitter.
#[test]
fn sm_9_and_12_every_failed_probe_makes_the_wait_longer() {
    let mut policy = variant(Strategy::Consecutive { failures: 5 }, Duration::from_secs(1));
    policy.open.growth = Growth::Exponential(2.0);
    policy.open.max = Duration::from_secs(8);
    check(
        &policy,
        "0 fail 5\n 1000 probe 1 0 1\n 3000 probe 1 0 1\n 7000 probe 1 0 1\n 15000 probe 1 0 1\n 23000 probe 1 1 0",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> open, level 2: of 1 probes 1 failed and 0 had no answer
         3000 open -> half_open, level 2: the open time has passed; probing
         3000 half_open -> open, level 3: of 1 probes 1 failed and 0 had no answer
         7000 open -> half_open, level 3: the open time has passed; probing
         7000 half_open -> open, level 4: of 1 probes 1 failed and 0 had no answer
         15000 open -> half_open, level 4: the open time has passed; probing
         15000 half_open -> open, level 5: of 1 probes 1 failed and 0 had no answer
         23000 open -> half_open, level 5: the open time has passed; probing
         23000 half_open -> closed, level 5: 1 of 1 probes succeeded",
    );
}

/// Overlay (S0.10, S2.39): by order, whatever the evidence says, and never for ever.
#[test]
fn overlays_end_by_themselves() {
    check(
        &variant(Strategy::Consecutive { failures: 5 }, MINUTE),
        "0 hold 5000\n 100 fail 50\n 5000 .",
        "0 closed -> forced_closed, level 0: held closed by an operator for 5s
         5000 forced_closed -> open, level 1: the operator's override ended",
    );
}

/// Guard (S2.24): half-open without a result falls back to open.
#[test]
fn half_open_without_a_result_reopens() {
    check(
        &variant(Strategy::Consecutive { failures: 5 }, MINUTE),
        "0 fail 5\n 60000 probe 1 0 0\n 65000 .",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         60000 open -> half_open, level 1: the open time has passed; probing
         65000 half_open -> open, level 2: of 1 probes 0 failed and 1 had no answer",
    );
}
