//! Timelines of one breaker in its states.

use std::time::Duration;

use super::*;
use crate::engine::{Signal, Strategy};

fn consecutive() -> Vec<Strategy> {
    vec![Strategy::Consecutive { failures: 5 }]
}

fn share() -> Vec<Strategy> {
    vec![failure_share(0.5, 1.96, 1)]
}

fn latency() -> Vec<Strategy> {
    vec![quantile(Signal::Response, 900, Duration::from_millis(500), 10)]
}

fn check(trip: Vec<Strategy>, timeline: &str, expected: &str) {
    super::check(&policy(trip), timeline, expected);
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
         2100 recovering -> open, level 2: 5 of 5 attempts failed while traffic returned",
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
        "300 closed -> open, level 1: p90 of 13 response times in 10s is 1s (limit 500ms)",
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
