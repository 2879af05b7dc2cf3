//! What the kernel sheds by itself, before it is told to: a burst of failures.

use super::safety::{all_in_use, guarded};
use super::*;
use crate::engine::Response;

/// Failures in a row from which on the kernel sheds by itself.
fn burst_limit(stage: &Stage, cell: u32, time: u64) -> Option<u32> {
    stage.engine.directive(CellId(cell), at(time))?.burst_limit
}

/// The kernel sheds a burst before it is told to, where opening is what would follow.
#[test]
fn a_burst_is_shed_at_once_where_it_would_open() {
    let mut stage = Stage::new(&guarded(), &[(0, 0, 0), (0, 0, 1)]);
    stage.play("0 .");
    assert_eq!(burst_limit(&stage, 0, 0), None, "nobody knows yet that it is not alone");
    stage.play("100 c0 ok 10\n 100 c1 ok 10\n 1200 .");
    assert_eq!(burst_limit(&stage, 0, 1_200), Some(5));
    let directive = stage.engine.directive(CellId(0), at(1_200)).expect("it exists");
    assert_eq!((directive.shed, directive.tokens), (Some(guarded().shed), None));
    stage.play("1300 c1 fail 5");
    assert_eq!(burst_limit(&stage, 0, 1_300), None, "no more of them may open");
    assert!(stage.engine.directive(CellId(1), at(1_300)).expect("it exists").sheds());
}

#[test]
fn a_burst_is_left_to_the_engine_where_it_might_not_open() {
    let in_use = "0 c0 ok 10\n 0 c1 ok 10\n 1100 .";
    let limit = |policy: &Policy, timeline: &str, time| {
        let mut stage = Stage::new(policy, &[(0, 0, 0), (0, 0, 1)]);
        stage.play(timeline);
        burst_limit(&stage, 0, time)
    };
    assert_eq!(limit(&guarded(), in_use, 1_100), Some(5));
    let mut throttles = guarded();
    throttles.trip[0].response = Response::Throttle;
    assert_eq!(limit(&throttles, in_use, 1_100), None, "the rule does not open");
    let mut in_part = guarded();
    let five = Rule::One(Strategy::Consecutive { failures: 5 });
    in_part.trip = vec![TripRule::opens(Rule::All(vec![five.clone(), five]))];
    assert_eq!(limit(&in_part, in_use, 1_100), None, "the run is not all it takes");
    let busy = "0 c0 ok 999\n 0 c1 ok 10\n 1100 c0 ok 1";
    assert_eq!(limit(&guarded(), busy, 1_100), None, "among so many a run may be chance");
    let held = format!("{in_use}\n 1200 hold 60000");
    assert_eq!(limit(&guarded(), &held, 1_200), None, "an operator holds it closed");
    let mut observing = guarded();
    observing.mode = Mode::Observe;
    assert_eq!(limit(&observing, in_use, 1_100), Some(5), "it counts what would be shed");
}

/// When one more bad service would make the node itself suspect, its bursts are left to the engine.
#[test]
fn a_burst_that_would_make_the_node_suspect_is_not_shed() {
    let mut policy = guarded();
    policy.safety.lone = Lone::Open;
    let places = [(0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 3)];
    let mut stage = Stage::new(&policy, &places);
    stage.play(&format!("{}100 c3 fail 5\n 1200 .", all_in_use(4)));
    assert_eq!(burst_limit(&stage, 0, 1_200), None, "two of four would be bad");
    stage.play("12000 c0 ok 1\n 12000 c1 ok 1\n 12000 c2 ok 1\n 13100 .");
    assert_eq!(burst_limit(&stage, 0, 13_100), Some(5), "the other has been bad for long");
}

/// What is reckoned once a second holds for that second, whatever falls out of use meanwhile.
#[test]
fn a_burst_is_left_to_the_engine_before_its_endpoint_is_alone() {
    let mut stage = Stage::new(&guarded(), &[(0, 0, 0), (0, 0, 1)]);
    stage.play("0 c0 ok 10\n 0 c1 ok 10\n 58500 c0 ok 1\n 58600 .");
    assert_eq!(burst_limit(&stage, 0, 58_600), Some(5));
    stage.play("59700 .");
    assert_eq!(burst_limit(&stage, 0, 60_100), None, "the other was last in use a minute ago");
}

/// What happens meanwhile is reckoned at once, not with the next second.
#[test]
fn a_burst_is_left_to_the_engine_as_soon_as_something_may_object() {
    let mut braked = Stage::new(&guarded(), &[(0, 0, 0), (0, 0, 1), (0, 0, 2)]);
    braked.play("0 c0 ok 10\n 0 c1 ok 10\n 0 c2 ok 10\n 100 c1 fail 5\n 1200 .");
    assert_eq!(burst_limit(&braked, 0, 1_200), None, "one of three is open already");
    braked.play("1300 c1 reset\n 1400 .");
    assert_eq!(burst_limit(&braked, 0, 1_400), Some(5), "none is open any more");
    braked.play("1500 c2 asked 100 90");
    assert_eq!(burst_limit(&braked, 0, 1_500), None, "too much of the caller's was refused");

    let mut policy = guarded();
    policy.safety.lone = Lone::Open;
    let mut suspect = Stage::new(&policy, &[(0, 0, 0), (0, 1, 1), (0, 2, 2)]);
    suspect.play("0 c0 ok 10\n 0 c1 ok 10\n 100 c1 fail 5\n 1200 .");
    assert_eq!(burst_limit(&suspect, 0, 1_200), Some(5), "of two services nobody can tell");
    suspect.play("1300 c2 ok 1");
    assert_eq!(burst_limit(&suspect, 0, 1_300), None, "two of three would be bad");
}
