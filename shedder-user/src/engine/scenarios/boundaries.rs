//! Where one decision ends and the next begins: each timeline lies on either side of a limit.

use std::time::Duration;

use super::*;
use crate::engine::{CloseGate, Response, State};

fn consecutive() -> Policy {
    policy(vec![Strategy::Consecutive { failures: 5 }])
}

/// Two endpoints of one service, of which one may be open.
fn pair() -> Policy {
    let mut policy = policy(vec![failure_share(0.9, 0.0, 5)]);
    policy.safety.max_open_percent = 50;
    policy.safety.lone = Lone::Throttle;
    policy
}

const TWO: [(u32, u32, u32); 2] = [(0, 0, 0), (0, 0, 1)];

fn view_state(stage: &Stage, cell: u32, time: u64) -> State {
    stage.engine.view(CellId(cell), at(time)).expect("it exists").state
}

/// Connects, or attempts on kept connections, within the last minute: anything else is no traffic.
#[test]
fn an_endpoint_is_in_use_while_it_is_called() {
    let opened_after = |other: &str| {
        let mut stage = Stage::new(&pair(), &TWO);
        stage.play(&format!("{other}\n 100000 c0 fail 5"));
        view_state(&stage, 0, 100_000) == State::Open
    };
    assert!(opened_after("40000 c1 ok 1"));
    assert!(!opened_after("39999 c1 ok 1"));
    assert!(opened_after("99000 c1 asked 5 0"));
    // Six attempts without a connect.
    assert!(opened_after("99000 c1 burst"));
    assert!(!opened_after("99000 c1 rtt 1 5"));
}

/// Of two a share below half lets none open, of three always one.
#[test]
fn one_of_three_may_always_be_open() {
    let mut policy = pair();
    policy.safety.max_open_percent = 10;
    let state = |cells: &[(u32, u32, u32)]| {
        let mut stage = Stage::new(&policy, cells);
        stage.play("0 c0 ok 1\n 0 c1 ok 1");
        stage.play(if cells.len() > 2 { "0 c2 ok 1" } else { "0 c0 ok 1" });
        stage.play("30000 c0 fail 9");
        view_state(&stage, 0, 30_000)
    };
    assert_eq!(state(&TWO), State::Throttled);
    assert_eq!(state(&[(0, 0, 0), (0, 0, 1), (0, 0, 2)]), State::Open);
}

/// One that is only slightly worse does not take another's place.
#[test]
fn only_a_clearly_worse_one_takes_a_place() {
    let mut policy = pair();
    policy.trip = vec![TripRule::opens(Rule::One(failure_share(0.5, 0.0, 10)))];
    policy.open.base = Duration::from_mins(10);
    policy.open.max = Duration::from_mins(10);
    let states = |failures: u64| {
        let mut stage = Stage::new(&policy, &TWO);
        stage.play("0 c1 ok 1\n 100 c0 mixed 5 5");
        stage.play(&format!("20000 c1 mixed {} {failures}", 100 - failures));
        [0, 1].map(|cell| view_state(&stage, cell, 20_000))
    };
    assert_eq!(states(55), [State::Open, State::Throttled]);
    assert_eq!(states(56), [State::Throttled, State::Open]);
}

/// Where none may be open, one that is open already yields to nobody.
#[test]
fn there_is_no_place_to_take_where_there_is_none() {
    let mut policy = pair();
    policy.trip = vec![TripRule::opens(Rule::One(failure_share(0.5, 0.0, 10)))];
    policy.open.base = Duration::from_mins(10);
    policy.open.max = Duration::from_mins(10);
    policy.safety.max_open_percent = 10;
    policy.safety.lone = Lone::Open;
    let mut stage = Stage::new(&policy, &TWO);
    stage.play("100 c0 mixed 4 6\n 20000 c1 fail 100");
    let states = [0, 1].map(|cell| view_state(&stage, cell, 20_000));
    assert_eq!(states, [State::Open, State::Throttled]);
}

/// Four successes show that another caller is served.
#[test]
fn a_few_successes_show_whose_fault_it_is() {
    let is_callers = |successes: u64| {
        let mut stage = Stage::new(&consecutive(), &[(0, 0, 0), (1, 0, 0)]);
        stage.play(&format!("0 c1 ok {successes}\n 100 c0 fail 5"));
        stage.log.contains("its other caller is served well, so only this one is affected")
    };
    assert!(is_callers(4));
    assert!(!is_callers(3));
}

/// A thousand attempts of which a tenth fails have a run of five by chance.
#[test]
fn a_run_says_less_among_a_thousand_attempts() {
    let log = |before: &str| {
        let mut stage = Stage::new(&consecutive(), &[(0, 0, 0)]);
        stage.play(&format!("0 mixed {before}\n 100 fail 5"));
        stage.log
    };
    assert!(log("894 100").contains("closed -> open"));
    assert_eq!(log("895 100"), "");
}

/// Little traffic is judged by what the last minute holds, and no more.
#[test]
fn a_stretched_look_ends_after_a_minute() {
    let is_open = |last: u64| {
        let mut stage = Stage::new(&policy(vec![failure_share(0.5, 1.96, 1)]), &[(0, 0, 0)]);
        stage.play(&format!("0..40000/20000 fail 1\n {last} fail 1"));
        view_state(&stage, 0, last) == State::Open
    };
    assert!(is_open(60_000));
    assert!(!is_open(60_001));
}

/// What goes on is said again after five minutes.
#[test]
fn an_alarm_is_repeated_after_a_while() {
    let mut policy = policy(vec![Strategy::InFlight { over: 20 }]);
    policy.trip[0].response = Response::Alarm;
    let alarm = "notice: alarm: 21 connections in use (limit 20)";
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    for (time, expected) in [(0, alarm), (299_999, ""), (300_000, alarm), (400_000, "")] {
        stage.play(&format!("{time} in-flight 21"));
        stage.expect(expected);
    }
}

/// The strongest response is given, and of equal ones the first reason.
#[test]
fn the_first_of_equal_rules_is_the_reason() {
    let mut policy = policy(vec![
        failure_share(0.1, 0.0, 5),
        Strategy::Consecutive { failures: 5 },
        failure_share(0.9, 0.0, 5),
    ]);
    policy.trip[0].response = Response::Alarm;
    check(&policy, "0 fail 5", "0 closed -> open, level 1: 5 failures in a row (limit 5)");
}

/// An alarm that goes on keeps nothing throttled, a rule that throttles does.
#[test]
fn an_alarm_does_not_keep_a_breaker_throttled() {
    let state = |response| {
        let slow = quantile(Signal::Response, 900, Duration::from_millis(500), 10);
        let mut policy = policy(vec![Strategy::Consecutive { failures: 5 }, slow]);
        policy.trip[0].response = Response::Throttle;
        policy.trip[1].response = response;
        let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
        stage.play("0 fail 5\n 100..50000/100 slow 1000 10");
        view_state(&stage, 0, 50_000)
    };
    assert_eq!(state(Response::Alarm), State::Closed);
    assert_eq!(state(Response::Throttle), State::Throttled);
}

/// A policy that only observes counts what it would shed, but an operator's order acts.
#[test]
fn an_order_acts_although_the_policy_observes() {
    let mut policy = consecutive();
    policy.mode = Mode::Observe;
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    let acts = |stage: &Stage, time| {
        let directive = stage.engine.directive(CELL, at(time)).expect("it exists");
        directive.sheds().then_some(!directive.observes())
    };
    stage.play("0 fail 5");
    assert_eq!(acts(&stage, 0), Some(false));
    stage.play("100 open 1000");
    assert_eq!(acts(&stage, 100), Some(true));
}

/// Connections are ended by a policy that enforces, until probes have shown that all is well, and then no more.
#[test]
fn connections_end_only_until_an_enforced_breaker_recovers() {
    let timeline = "0 .\n 100 fail 5\n 1100 .\n 1200 probe 3 2 0\n 2000 open 1000\n 2100 hold 1000";
    let ended = |mode| {
        let policy = Policy { mode, established: Established::Drain, ..consecutive() };
        let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
        timeline
            .lines()
            .map(|line| {
                stage.play(line);
                let (time, _) = line.trim().split_once(' ').expect("a time");
                let now = at(time.parse().expect("milliseconds"));
                stage.engine.directive(CELL, now).expect("it exists").established
                    == Established::Drain
            })
            .collect::<Vec<_>>()
    };
    // Closed, open, half-open, recovering, and by order open and closed.
    assert_eq!(ended(Mode::Enforce), [false, true, true, false, true, false]);
    assert_eq!(ended(Mode::Observe), [false; 6]);
}

/// The kernel reports runs of the length that matters: half of it while traffic returns, but never
/// a failure alone, unless the rule asks for no more.
#[test]
fn the_kernel_is_told_which_runs_matter() {
    let limits = [1, 2, 3, 5, 10].map(|failures| {
        let policy = policy(vec![Strategy::Consecutive { failures }]);
        let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
        let limit = |stage: &Stage, time| {
            stage.engine.directive(CELL, at(time)).expect("it exists").failure_run_limit
        };
        let closed = limit(&stage, 0);
        stage.play("0 fail 10\n 1000 probe 3 2 0");
        assert_eq!(view_state(&stage, 0, 1_000), State::Recovering);
        (closed, limit(&stage, 1_000))
    });
    assert_eq!(limits, [(1, 1), (2, 2), (3, 2), (5, 3), (10, 5)]);
    let mut two = consecutive();
    two.trip.insert(0, TripRule::opens(Rule::One(Strategy::Consecutive { failures: 9 })));
    let stage = Stage::new(&two, &[(0, 0, 0)]);
    assert_eq!(stage.engine.directive(CELL, at(0)).expect("it exists").failure_run_limit, 5);
}

/// Usual were 975 connects in 10 s. Half-way up the ramp, at a share of 550, twice 97.5 · 0.55 a
/// second are let in: of 400 a second 268 thousandths.
#[test]
fn a_stampede_is_cut_to_twice_the_usual_rate() {
    let admitted = |connects: u64| {
        let mut stage = Stage::new(&consecutive(), &[(0, 0, 0)]);
        stage.play("100..9900/100 ok 10\n 10000 fail 5\n 11000 probe 3 2 0");
        stage.play(&format!("16000 asked {connects} 0"));
        stage.admitted(0, 16_000)
    };
    assert_eq!([536, 2_000, 4_000].map(admitted), [550, 268, 134]);
}

/// Five connects a second are let in whatever was usual, counted over a second at least.
#[test]
fn a_few_connects_are_no_stampede() {
    let admitted = |time: u64, connects: u64| {
        let mut stage = Stage::new(&consecutive(), &[(0, 0, 0)]);
        stage.play(&format!("0 fail 5\n 1000 probe 3 2 0\n {time} asked {connects} 0"));
        stage.admitted(0, time)
    };
    assert_eq!(admitted(6_000, 25), 550);
    assert_eq!(admitted(6_000, 100), 250);
    assert_eq!(admitted(1_500, 20), 145);
    assert_eq!(admitted(1_500, 50), 100);
}

/// A fifth of failures is not too much, more than a fifth is.
#[test]
fn the_ramp_stands_still_over_its_limit_only() {
    let grows = |outcomes: &str| {
        let mut stage = Stage::new(&policy(vec![failure_share(0.9, 1.96, 1)]), &[(0, 0, 0)]);
        stage.play(&format!("0 fail 40\n 1000 probe 3 2 0\n 3000 mixed {outcomes}"));
        stage.admitted(0, 5_000) > stage.admitted(0, 3_000)
    };
    assert!(grows("8 2"));
    assert!(!grows("7 2"));
}

/// A probe is slow over the least limit that is known beforehand.
#[test]
fn a_probe_is_slow_over_the_least_fixed_limit() {
    let [half, third] = [500, 300].map(Duration::from_millis);
    let slow = |over| quantile(Signal::Response, 900, over, 10);
    let (times, floor, cap) = (2.0, Duration::ZERO, third);
    let mut relative = slow(third);
    if let Strategy::Latency { over, .. } = &mut relative {
        *over = Limit::Mean { times, floor, cap };
    }
    let slow_after = |trip| policy(trip).slow_after();
    assert_eq!(slow_after(vec![Strategy::Consecutive { failures: 5 }, relative]), None);
    assert_eq!(slow_after(vec![quantile(Signal::Connect, 900, half, 10)]), None);
    assert_eq!(slow_after(vec![slow(half), slow(third)]), Some(third));
}

/// A gate that asks for no share of successes still wants one.
#[test]
fn no_success_passes_no_gate() {
    let mut policy = consecutive();
    let at_most = Duration::from_secs(1);
    policy.half_open.gate =
        Some(CloseGate { success_permille: 0, quantile_permille: 990, at_most });
    let end = |results: &str| {
        let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
        stage.play(&format!("0 fail 5\n 1000 probe {results}\n 6000 ."));
        view_state(&stage, 0, 6_000)
    };
    assert_eq!(end("2 0 0"), State::Open);
    assert_eq!(end("2 1 0"), State::Recovering);
}

/// What follows the open time depends on who is let through, and on the ramp.
#[test]
fn people_are_told_what_follows() {
    let next = |admission, ramp| {
        let mut policy = consecutive();
        policy.half_open.admission = admission;
        policy.ramp.duration = ramp;
        let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
        stage.play("0 fail 5");
        let next = stage.engine.view(CELL, at(0)).expect("it exists").next.expect("it is open");
        assert_eq!(next.at, at(1_000));
        stage.play("1000 .");
        assert_eq!(view_state(&stage, 0, 1_000), next.state);
        next.state
    };
    let ten = Duration::from_secs(10);
    assert_eq!(next(Admission::Tokens(3), ten), State::HalfOpen);
    assert_eq!(next(Admission::Everyone, Duration::ZERO), State::HalfOpen);
    assert_eq!(next(Admission::Skip, ten), State::Recovering);
    assert_eq!(next(Admission::Skip, Duration::ZERO), State::Closed);
}

/// After a hold it is what it has come to meanwhile; a policy that observes does so again.
#[test]
fn people_are_told_what_follows_an_order() {
    let next = |mode, order: &str| {
        let mut stage = Stage::new(&Policy { mode, ..consecutive() }, &[(0, 0, 0)]);
        stage.play(&format!("0 fail 5\n 100 {order} 500"));
        let next = stage.engine.view(CELL, at(100)).expect("it exists").next.expect("it ends");
        stage.play("600 .");
        assert_eq!((view_state(&stage, 0, 600), at(600)), (next.state, next.at));
        next.state
    };
    assert_eq!(next(Mode::Enforce, "hold"), State::Open);
    assert_eq!(next(Mode::Enforce, "open"), State::HalfOpen);
    assert_eq!(next(Mode::Observe, "hold"), State::Observe);
    assert_eq!(next(Mode::Observe, "open"), State::Observe);
}

/// Closed and without evidence it wants to be looked at no more.
#[test]
fn a_breaker_at_rest_wakes_nobody() {
    let mut policy = consecutive();
    policy.trip[0].response = Response::Throttle;
    let mut stage = Stage::new(&policy, &[(0, 0, 0)]);
    stage.play("0 fail 5\n 40000 ok 1\n 300000 .");
    assert_eq!(view_state(&stage, 0, 300_000), State::Closed);
    assert_eq!(stage.engine.poll_timeout(), None);
    let mut stage = Stage::new(&consecutive(), &[(0, 0, 0)]);
    stage.play("0 fail 5\n 1000 probe 3 2 0\n 300000 .");
    assert_eq!(view_state(&stage, 0, 300_000), State::Closed);
    assert_eq!(stage.engine.poll_timeout(), None);
}

/// Others are sent only to what lets everything through.
#[test]
fn only_what_is_closed_or_held_closed_is_healthy() {
    let mut stage = Stage::new(&policy(vec![Strategy::Consecutive { failures: 5 }]), &[(0, 0, 0)]);
    assert!(stage.engine.is_healthy(CELL));
    stage.play("0 fail 5");
    assert!(!stage.engine.is_healthy(CELL));
    stage.play("100 hold 500");
    assert!(stage.engine.is_healthy(CELL));
    stage.play("1500 probe 3 2 0");
    assert!(!stage.engine.is_healthy(CELL), "traffic is only just returning");
    stage.play("2000 reset\n 2100 open 500");
    assert!(!stage.engine.is_healthy(CELL));
}

/// Two breakers that trip at the same moment do not probe at the same moment.
#[test]
fn each_breaker_draws_its_own_jitter() {
    let mut policy = policy(vec![Strategy::Consecutive { failures: 5 }]);
    policy.open.jitter_permille = 1000;
    let cells: Vec<_> = (0..20).map(|endpoint| (0, 0, endpoint)).collect();
    let mut stage = Stage::new(&policy, &cells);
    for cell in 0..20 {
        stage.play(&format!("0 c{cell} fail 5"));
    }
    let mut ends: Vec<_> = (0..20)
        .map(|cell| stage.engine.view(CellId(cell), at(0)).expect("it exists").next)
        .map(|next| next.expect("open ends").at)
        .collect();
    ends.sort();
    ends.dedup();
    assert!(ends.len() >= 15, "{} different times of 20", ends.len());
}

/// A rule about latency stays armed while traffic returns, although nothing fails.
#[test]
fn slow_answers_reopen_a_ramp() {
    let slow = quantile(Signal::Response, 900, Duration::from_millis(500), 10);
    check(
        &policy(vec![Strategy::Consecutive { failures: 5 }, slow]),
        "0 fail 5\n 1000 probe 3 2 0\n 2000 slow 1000 5",
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> recovering, level 1: 2 of 3 probes succeeded
         2000 recovering -> open, level 2: p90 of 5 response times in 10s is 1s (limit 500ms)",
    );
}

/// What flaps was truly down, again and again: damping takes care of it, suspension does not.
#[test]
fn flapping_is_no_false_refusal() {
    let mut policy = consecutive();
    policy.ramp.duration = Duration::ZERO;
    policy.open.max = policy.open.base;
    policy.safety.false_refusals_permille = Some(10);
    let mut stage = Stage::new(&policy, &[(0, 0, 0), (0, 0, 1)]);
    for trip in 0..4 {
        let [failed, shed, probed] = [0, 500, 1_000].map(|at| trip * 2_000 + at);
        stage.play(&format!(
            "{failed} c1 ok 100\n {failed} fail 5\n {shed} asked 50 50\n {probed} probe 3 3 0"
        ));
    }
    // The fourth is flapping; it and those after it are not held against the policy.
    for trip in 1..5 {
        let [failed, shed, probed] = [0, 500, 30_500].map(|at| trip * 100_000 + at);
        stage.play(&format!(
            "{failed} c1 ok 100\n {failed} fail 5\n {shed} asked 50 50\n {probed} probe 3 3 0"
        ));
    }
    assert!(!stage.log.contains("notice"), "{}", stage.log);
}

/// What a breaker takes by itself, and with a window full of answers of many lengths.
#[test]
fn memory_is_taken_as_it_is_needed() {
    let mut stage = Stage::new(&policy(vec![failure_share(0.5, 1.96, 1)]), &[(0, 0, 0)]);
    let bytes = |stage: &Stage| stage.engine.bytes(CELL).expect("it exists");
    let idle = bytes(&stage);
    assert!((320..=512).contains(&idle), "{idle}");
    let each =
        |second: u64| format!("{0} slow {1} 5\n{0} connect {1} 5\n", second * 1_000, second + 1);
    stage.play(&(0..20).map(each).collect::<String>());
    let busy = bytes(&stage);
    // Twenty lengths, each twice: in the slices of ten seconds and in their sums.
    assert!((4_000..=4_500).contains(&busy), "{busy}");
    assert_eq!(stage.engine.bytes(CellId(1)), None);
}
