//! What keeps many breakers together from doing harm.

use std::time::Duration;

use super::*;
use crate::engine::State;

pub(super) fn guarded() -> Policy {
    let mut policy = policy(vec![Strategy::Consecutive { failures: 5 }]);
    policy.open.base = Duration::from_mins(10);
    policy.open.max = Duration::from_mins(10);
    policy.safety.max_open_percent = 50;
    policy.safety.lone = Lone::Throttle;
    policy.safety.scope = ScopeRule::Endpoint;
    policy
}

const FIVE: [(u32, u32, u32); 5] = [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 4)];

pub(super) fn all_in_use(cells: usize) -> String {
    let lines: Vec<String> = (0..cells).map(|cell| format!("0 c{cell} ok 10\n")).collect();
    lines.concat()
}

/// Two of five dead: both are off, which a mean and standard deviation never notice.
#[test]
fn two_of_five_dead_are_both_opened() {
    Stage::new(&guarded(), &FIVE).check(
        &format!("{}100 c1 fail 5\n 110 c2 fail 5", all_in_use(5)),
        "100 c1 closed -> open, level 1: 5 failures in a row (limit 5)
         110 c2 closed -> open, level 1: 5 failures in a row (limit 5)",
    );
}

/// Over the cap the rest is throttled: never all or nothing.
#[test]
fn the_cap_throttles_what_it_does_not_let_open() {
    Stage::new(&guarded(), &FIVE).check(
        &format!("{}100 c1 fail 5\n 110 c2 fail 5\n 120 c3 fail 5", all_in_use(5)),
        "100 c1 closed -> open, level 1: 5 failures in a row (limit 5)
         110 c2 closed -> open, level 1: 5 failures in a row (limit 5)
         120 c3 closed -> throttled, level 0: 5 failures in a row (limit 5); 2 of 5 endpoints are open already and at most 50 % may be, so a share still gets through",
    );
}

/// The worst stay open: a much worse one takes the place of the mildest.
#[test]
fn the_worst_are_the_ones_that_stay_open() {
    let mut policy = guarded();
    policy.trip = vec![TripRule::opens(Rule::One(failure_share(0.5, 0.0, 10)))];
    Stage::new(&policy, &[(0, 0, 0), (0, 0, 1)]).check(
        "0 c0 ok 10\n 0 c1 ok 10\n 100 c0 fail 10\n 20000 c1 ok 1\n 20000 c1 fail 99",
        "100 closed -> open, level 1: 10 of 20 attempts failed in 10s: 50.0 % (limit 50.0 %)
         20000 open -> throttled, level 1: another endpoint of the service is worse
         20000 c1 closed -> open, level 1: 99 of 100 attempts failed in 10s: 99.0 % (limit 50.0 %)",
    );
}

/// One that relapses while traffic returns finds its place taken: it is throttled.
#[test]
fn a_relapse_does_not_exceed_the_cap() {
    let mut policy = guarded();
    policy.open.base = Duration::from_secs(1);
    let mut stage = Stage::new(&policy, &[(0, 0, 0), (0, 0, 1)]);
    stage.play("0 c0 ok 9\n 0 c1 ok 9\n 100 c0 fail 5\n 1200 c0 probe 3 2 0\n 1300 c1 fail 5\n 1500 c0 fail 2");
    stage.expect(
        "100 closed -> open, level 1: 5 failures in a row (limit 5)
         1100 open -> half_open, level 1: the open time has passed; probing
         1200 half_open -> recovering, level 1: 2 of 3 probes succeeded
         1300 c1 closed -> open, level 1: 5 failures in a row (limit 5)
         1500 recovering -> throttled, level 1: 2 of 2 attempts failed while traffic returned; 1 of 2 endpoints are open already and at most 50 % may be, so a share still gets through",
    );
}

/// Somebody always gets through to an endpoint that has no other.
#[test]
fn a_lone_endpoint_is_throttled() {
    let mut stage = Stage::new(&guarded(), &[(0, 0, 0)]);
    stage.play("0 ok 10\n 100 fail 5");
    stage.expect(
        "100 closed -> throttled, level 0: 5 failures in a row (limit 5); no other endpoint of the service is in use, so a share still gets through",
    );
    stage.play("200..10000/100 fail 20");
    assert_eq!(stage.admitted(0, 10_000), 100);
}

/// AT-19: never above the cap, here 30 % of ten.
#[test]
fn the_ejected_share_stays_under_the_cap() {
    let mut policy = guarded();
    policy.safety.max_open_percent = 30;
    let cells: Vec<_> = (0..10).map(|endpoint| (0, 0, endpoint)).collect();
    let mut stage = Stage::new(&policy, &cells);
    stage.play(&all_in_use(10));
    for cell in 0..10 {
        stage.play(&format!("{} c{cell} fail 9", 100 + cell));
    }
    let open = (0..10).filter(|cell| {
        stage.engine.view(CellId(*cell), at(200)).expect("it exists").state == State::Open
    });
    assert_eq!(open.count(), 3);
}

/// One caller's own fault trips only its cell.
#[test]
fn a_fault_of_one_caller_is_not_the_endpoints() {
    let callers = [(0, 0, 0), (0, 0, 1), (1, 0, 0), (2, 0, 0)];
    Stage::new(&guarded(), &callers).check(
        &format!("{}100 c0 fail 5", all_in_use(4)),
        "100 closed -> open, level 1: 5 failures in a row (limit 5); its 2 other callers are served well, so only this one is affected",
    );
}

/// Two callers see it fail: the third need not find out by itself.
#[test]
fn two_callers_open_an_endpoint_for_the_third() {
    let callers = [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 0, 1)];
    Stage::new(&guarded(), &callers).check(
        "0 c0 ok 9\n 0 c1 ok 9\n 0 c2 ok 9\n 0 c3 ok 9\n 0 c4 ok 2\n 0 c5 ok 9
         20000 c1 ok 5\n 20000 c3 ok 5\n 20000 c5 ok 5
         20000 c4 fail 1\n 20100 c0 fail 5\n 20200 c2 fail 5",
        "20100 closed -> open, level 1: 5 failures in a row (limit 5)
         20200 c2 closed -> open, level 1: 5 failures in a row (limit 5); 2 callers see it fail
         20200 c4 closed -> open, level 1: 2 other callers see the endpoint fail: 5 failures in a row (limit 5); 2 callers see it fail",
    );
}

/// Most unrelated services go bad at once: it is the node, and shedding would not help.
#[test]
fn a_fault_of_the_node_opens_nothing_new() {
    let services =
        [(0, 0, 0), (0, 0, 1), (0, 1, 2), (0, 1, 3), (0, 2, 4), (0, 2, 5), (0, 3, 6), (0, 3, 7)];
    Stage::new(&guarded(), &services).check(
        &format!("{}100 c0 fail 5\n 110 c2 fail 5\n 120 c4 fail 5", all_in_use(8)),
        "100 closed -> open, level 1: 5 failures in a row (limit 5)
         notice: 2 of 4 services go bad at once: this node or its network is at fault, so no breaker trips",
    );
}

/// Ten trips a minute are enough for anyone.
#[test]
fn the_node_trips_only_so_many_a_minute() {
    let cells: Vec<_> = (0..30).map(|endpoint| (0, 0, endpoint)).collect();
    let mut stage = Stage::with_rules(&guarded(), &cells, NodeRules::default());
    stage.play(&all_in_use(30));
    for cell in 0..12 {
        stage.play(&format!("{} c{cell} fail 5", 100 + cell));
    }
    assert_eq!(stage.log.matches("closed -> open").count(), 10);
    assert_eq!(
        stage
            .log
            .matches("notice: 10 breakers tripped within a minute (limit 10), so no breaker trips")
            .count(),
        1
    );
    for cell in 15..30 {
        stage.play(&format!("100000 c{cell} ok 1"));
    }
    stage.play("100100 c20 fail 5");
    assert!(
        stage.log.contains("notice: the node is within its limits: breakers trip again"),
        "{}",
        stage.log
    );
    assert!(stage.log.contains("100100 c20 closed -> open"), "{}", stage.log);
}

/// A caller of which more than half is refused already gets no new refusals.
#[test]
fn a_caller_is_never_refused_most_of_its_connects() {
    let mut stage = Stage::new(&guarded(), &FIVE);
    stage.play(&format!("{}100 c1 fail 5\n 200 c1 asked 100 100\n 300 c2 fail 5", all_in_use(5)));
    assert_eq!(stage.log.matches("closed -> open").count(), 1);
    assert!(
        stage.log.contains("connects of one caller were refused within a minute"),
        "{}",
        stage.log
    );
}

/// A refusal counts although its connect was counted at an earlier look.
#[test]
fn refusals_count_by_themselves() {
    let mut stage = Stage::new(&guarded(), &FIVE);
    stage.play(&format!(
        "{}100 c1 fail 5\n 200 c1 asked 10 0\n 250 c1 asked 0 40\n 300 c2 fail 5",
        all_in_use(5)
    ));
    assert_eq!(stage.log.matches("closed -> open").count(), 1, "{}", stage.log);
}

/// A policy that refuses little, for endpoints that are well again after a second.
fn suspicious() -> Policy {
    let mut policy = guarded();
    policy.open.base = Duration::from_secs(1);
    policy.ramp.duration = Duration::ZERO;
    policy.safety.false_refusals_permille = Some(10);
    policy
}

/// Five endpoints refuse a hundred connects each; of three probes so many succeed.
fn refuted(successes: u64) -> Stage {
    let mut stage = Stage::new(&suspicious(), &FIVE);
    stage.play(&all_in_use(5));
    // One trip that the probes refute may have been a short outage; five in a row are none.
    for cell in 0..5 {
        assert!(!stage.log.contains("notice"), "{}", stage.log);
        let [healthy, failed, shed, probed] = [50, 100, 500, 1_200].map(|at| cell * 2_000 + at);
        let other = (cell + 1) % 5;
        stage.play(&format!(
            "{healthy} c{other} ok 300\n {failed} c{cell} fail 5\n {shed} c{cell} asked 100 100\n {probed} c{cell} probe 3 {successes} 0"
        ));
    }
    stage
}

/// Probes keep finding the endpoint well: what was refused was refused wrongly.
#[test]
fn a_policy_that_refuses_wrongly_suspends_itself() {
    let mut stage = refuted(3);
    assert!(
        stage.log.contains("notice: of 2075 connects in ten minutes about 500 were refused although they would have succeeded: the policy only observes until it is reset"),
        "{}",
        stage.log
    );
    let view = stage.engine.view(CellId(2), at(10_000)).expect("it exists");
    assert_eq!((view.state, view.is_suspended), (State::Observe, true));
    stage.play("12000 c1 reset");
    let view = stage.engine.view(CellId(2), at(12_000)).expect("it exists");
    assert_eq!((view.state, view.is_suspended), (State::Closed, false));
}

/// Where a third of the probes had no answer, a third of the refusals was right.
#[test]
fn as_much_was_refused_wrongly_as_probes_succeed() {
    let stage = refuted(2);
    assert!(
        stage.log.contains("notice: of 2075 connects in ten minutes about 330"),
        "{}",
        stage.log
    );
}

/// An endpoint that is found later is treated as the others of its service are.
#[test]
fn a_new_breaker_of_a_suspended_policy_only_observes() {
    let mut stage = refuted(3);
    let policy = Arc::new(suspicious());
    let state_of_new = |stage: &mut Stage, cell: u32, time| {
        let place = Place { caller: 0, service: 0, endpoint: cell };
        stage.engine.insert(CellId(cell), place, Arc::clone(&policy), at(time));
        stage.engine.view(CellId(cell), at(time)).expect("it exists").state
    };
    assert_eq!(state_of_new(&mut stage, 5, 10_000), State::Observe);
    stage.play("12000 c1 reset");
    assert_eq!(state_of_new(&mut stage, 6, 12_000), State::Closed);
}

/// What is removed is in nobody's group any more: the other one is alone.
#[test]
fn a_removed_breaker_is_forgotten() {
    let mut stage = Stage::new(&guarded(), &[(0, 0, 0), (0, 0, 1)]);
    stage.play(&all_in_use(2));
    stage.engine.remove(CellId(1));
    assert_eq!(stage.engine.directive(CellId(1), at(0)), None);
    stage.play("100 fail 5");
    assert!(stage.log.contains("closed -> throttled"), "{}", stage.log);
    stage.engine.remove(CellId(0));
    assert_eq!(stage.engine.poll_timeout(), None);
}

/// What was refused while the endpoint was truly down was refused rightly.
#[test]
fn an_outage_is_no_false_refusal() {
    let mut policy = guarded();
    policy.open.base = Duration::from_secs(1);
    policy.safety.false_refusals_permille = Some(10);
    let mut stage = Stage::new(&policy, &FIVE);
    stage.play(&all_in_use(5));
    stage.play("100 c1 fail 5\n 500 c1 asked 100 100\n 1200 c1 probe 3 0 3\n 2000 c1 asked 99 99\n 3300 c1 probe 3 3 0");
    assert!(!stage.log.contains("notice"), "{}", stage.log);
}

/// When most of a service fails, everything goes through again if the policy says so.
#[test]
fn panic_lets_everything_through() {
    let mut policy = guarded();
    policy.safety.max_open_percent = 100;
    policy.safety.panic_percent = Some(80);
    let mut stage = Stage::new(&policy, &FIVE);
    stage.play(&format!("{}100 c0 fail 5\n 110 c1 fail 5\n 120 c2 fail 5", all_in_use(5)));
    assert_eq!(stage.admitted(0, 130), 0);
    stage.play("140 c3 fail 5");
    assert!(
        stage.log.contains("notice: 4 of 5 endpoints fail: shedding protects nobody"),
        "{}",
        stage.log
    );
    assert_eq!(stage.admitted(0, 150), 1_000);
    stage.play("1000 c3 reset");
    assert_eq!(stage.admitted(0, 1_000), 0);
}

/// In a panic nothing is left to count either: neither probes nor a share.
#[test]
fn panic_leaves_neither_tokens_nor_shares() {
    let mut policy = guarded();
    policy.safety.max_open_percent = 100;
    policy.safety.panic_percent = Some(60);
    policy.open.base = Duration::from_secs(1);
    let mut stage = Stage::new(&policy, &FIVE);
    stage.play(&format!("{}100 c0 fail 5\n 1200 c0 probe 3 2 0", all_in_use(5)));
    let kept = |stage: &Stage, cell, time| {
        let directive = stage.engine.directive(CellId(cell), at(time)).expect("it exists");
        (directive.tokens, directive.admit_permille)
    };
    assert!(kept(&stage, 0, 1_300).1 > 0, "it recovers");
    stage.play("1300 c1 fail 5\n 1300 c2 fail 5\n 1300 c3 fail 5\n 2400 .");
    assert!(stage.log.contains("shedding protects nobody"), "{}", stage.log);
    assert_eq!([0, 1].map(|cell| kept(&stage, cell, 2_400)), [(None, 0), (None, 0)]);
}

/// A policy that knows no panic ends the panic of the one before it.
#[test]
fn panic_ends_with_the_policy_that_asked_for_it() {
    let mut policy = guarded();
    policy.safety.max_open_percent = 100;
    policy.safety.panic_percent = Some(80);
    let mut stage = Stage::new(&policy, &FIVE);
    stage.play(&format!(
        "{}100 c0 fail 5\n 110 c1 fail 5\n 120 c2 fail 5\n 140 c3 fail 5",
        all_in_use(5)
    ));
    assert_eq!(stage.admitted(0, 150), 1_000);
    policy.safety.panic_percent = None;
    let place = Place { caller: 0, service: 0, endpoint: 4 };
    stage.engine.insert(CellId(4), place, Arc::new(policy), at(200));
    assert_eq!(stage.admitted(0, 200), 0);
}

/// Cells of other callers and services go their own way.
#[test]
fn breakers_meet_only_in_their_group() {
    let places = [(0, 0, 0), (0, 0, 1), (1, 0, 2), (1, 0, 3), (0, 1, 4), (0, 1, 5)];
    Stage::new(&guarded(), &places).check(
        &format!("{}100 c0 fail 5\n 200 c2 fail 5", all_in_use(6)),
        "100 closed -> open, level 1: 5 failures in a row (limit 5)
         200 c2 closed -> open, level 1: 5 failures in a row (limit 5)",
    );
}

/// A breaker that is gone no longer counts, neither as one of the service nor as a witness.
#[test]
fn a_breaker_that_is_gone_does_not_count() {
    let mut stage = Stage::new(&guarded(), &FIVE);
    stage.play(&format!("{}100 c1 fail 5\n 110 c2 fail 5\n 120 .", all_in_use(5)));
    stage.log.clear();
    stage.engine.remove(CellId(1));
    // One of four is open, and two may be.
    stage.play("130 c3 fail 5");
    stage.expect("130 c3 closed -> open, level 1: 5 failures in a row (limit 5)");

    // Those that are left are witnesses as before.
    let callers = [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 0, 1)];
    let mut stage = Stage::new(&guarded(), &callers);
    stage.play(&format!("{}100 c0 fail 5", all_in_use(6)));
    stage.engine.remove(CellId(4));
    stage.log.clear();
    stage.play("20200 c2 fail 5");
    assert!(stage.log.contains("2 callers see it fail"), "{}", stage.log);
}
