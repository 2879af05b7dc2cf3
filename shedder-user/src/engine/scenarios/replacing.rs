//! Another policy for breakers that have a past: what is kept, and what is not.

use super::*;
use crate::engine::{Directive, View};

fn consecutive() -> Policy {
    policy(vec![Strategy::Consecutive { failures: 5 }])
}

fn stage(policy: &Policy) -> Stage {
    Stage::new(policy, &[(0, 0, 0)])
}

impl Stage {
    fn replace(&mut self, policy: &Policy, time: u64) {
        let policy = Arc::new(policy.clone().try_new().expect("a valid policy"));
        assert!(self.engine.replace_policy(CELL, policy, at(time)));
    }

    fn directive(&self, time: u64) -> Directive {
        self.engine.directive(CELL, at(time)).expect("it exists")
    }

    fn view(&self, time: u64) -> View {
        self.engine.view(CELL, at(time)).expect("it exists")
    }
}

/// The open time a breaker has is its own; the next one is the new policy's.
#[test]
fn an_open_breaker_stays_open_until_its_own_deadline() {
    let mut stage = stage(&consecutive());
    stage.play("0 fail 5\n 500 .");
    let (epoch, level) = (stage.directive(500).epoch, stage.view(500).level);
    let mut longer = consecutive();
    longer.open.base = Duration::from_secs(4);
    longer.generation = 2;
    stage.replace(&longer, 500);
    assert_eq!((stage.directive(500).epoch, stage.view(500).level), (epoch, level));
    stage.play("1000 probe 3 0 3\n 9000 .");
    stage.expect(
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1000 half_open -> open, level 2: of 3 probes 3 failed and 0 had no answer
         9000 open -> half_open, level 2: the open time has passed; probing",
    );
    assert_eq!(stage.view(9000).policy.generation, 2);
}

#[test]
fn observe_and_enforce_take_effect_at_once() {
    let mut observing = consecutive();
    observing.mode = Mode::Observe;
    let mut stage = stage(&observing);
    stage.play("0 fail 5");
    assert!(stage.directive(100).observes());
    stage.replace(&consecutive(), 100);
    let directive = stage.directive(100);
    assert!(directive.sheds() && !directive.observes(), "{directive:?}");
    stage.replace(&observing, 200);
    assert!(stage.directive(200).observes());
}

/// A window is known by how far back it looks.
#[test]
fn windows_that_are_still_asked_for_keep_what_they_hold() {
    let share = failure_share(0.5, 0.0, 10);
    let mut stage = stage(&policy(vec![share.clone()]));
    stage.play("0 fail 4");
    let mut stricter = share.clone();
    if let Strategy::FailureShare { at_least, .. } = &mut stricter {
        *at_least = 0.9;
    }
    stage.replace(&policy(vec![stricter]), 100);
    assert_eq!(stage.view(100).window.failures, 4);
    let mut longer = share;
    if let Strategy::FailureShare { window, .. } = &mut longer {
        *window = Span::Time(Duration::from_secs(20));
    }
    stage.replace(&policy(vec![longer]), 200);
    assert_eq!(stage.view(200).window.failures, 0);
}

/// Six of the ten outcomes it takes came before the change.
#[test]
fn evidence_of_before_trips_by_the_rules_of_after() {
    let mut stage = stage(&policy(vec![failure_share(0.9, 0.0, 10)]));
    stage.play("0 fail 6\n 100 ok 2");
    stage.replace(&policy(vec![failure_share(0.5, 0.0, 10)]), 200);
    stage.play("300 fail 2");
    stage.expect(
        "300 closed -> open, level 1: 8 of 10 attempts failed in 10s: 80.0 % (limit 50.0 %)",
    );
}

/// A rule that must hold three times in a row, twice before and once after.
#[test]
fn streaks_survive_unless_the_trip_rules_change() {
    let lasting = |limit| {
        let mut policy = consecutive();
        let rule = Box::new(Rule::One(Strategy::Consecutive { failures: limit }));
        let rule = Rule::Lasting { rule, evaluations: 3, every: Duration::ZERO };
        policy.trip = vec![TripRule::opens(rule)];
        policy
    };
    let tripped_by_third = |replacement: &Policy| {
        let mut stage = stage(&lasting(2));
        stage.play("0 fail 2\n 100 fail 1");
        stage.replace(replacement, 150);
        stage.play("200 fail 1");
        stage.directive(200).sheds()
    };
    let mut longer = lasting(2);
    longer.open.base = Duration::from_secs(4);
    assert!(tripped_by_third(&longer));
    assert!(!tripped_by_third(&lasting(1)));
}

#[test]
fn an_override_outlasts_the_policy() {
    let mut stage = stage(&consecutive());
    stage.play("0 open 60000");
    let mut observing = consecutive();
    observing.mode = Mode::Observe;
    stage.replace(&observing, 100);
    let directive = stage.directive(100);
    assert!(directive.sheds() && !directive.observes());
}

/// Two more tokens than the old rule granted, and what the old probes found does not count.
#[test]
fn half_open_is_probed_anew_only_by_new_rules_of_half_open() {
    let mut stage = stage(&consecutive());
    stage.play("0 fail 5\n 1000 probe 3 1 0");
    let epoch = stage.directive(1_000).epoch;
    let mut other = consecutive();
    other.open.base = Duration::from_secs(4);
    stage.replace(&other, 1_100);
    assert_eq!(stage.directive(1_100).epoch, epoch);
    other.half_open.admission = Admission::Tokens(5);
    other.half_open.successes = 5;
    stage.replace(&other, 1_200);
    let directive = stage.directive(1_200);
    assert_eq!((directive.tokens, directive.epoch), (Some(5), epoch.wrapping_add(1)));
    stage.play("1300 probe 4 4 0");
    assert!(stage.directive(1_300).tokens.is_some());
    stage.play("1400 probe 1 1 0");
    stage.expect(
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1400 half_open -> recovering, level 1: 5 of 5 probes succeeded",
    );
}

/// Without probes nothing would ever end them.
#[test]
fn half_open_ends_when_the_new_policy_does_not_probe() {
    let mut stage = stage(&consecutive());
    stage.play("0 fail 5\n 1000 .");
    let mut without = consecutive();
    without.half_open.admission = Admission::Skip;
    stage.replace(&without, 1_100);
    stage.play("1100 .");
    stage.expect(
        "0 closed -> open, level 1: 5 failures in a row (limit 5)
         1000 open -> half_open, level 1: the open time has passed; probing
         1100 open -> recovering, level 1: the open time has passed; probing",
    );
}

/// A share that is shed does not fall to nothing for a moment.
#[test]
fn a_throttled_endpoint_stays_throttled() {
    let mut lone = consecutive();
    lone.safety.lone = Lone::Throttle;
    let mut stage = stage(&lone);
    stage.play("0 fail 5\n 100..2000/100 fail 10");
    let before = stage.admitted(0, 2_000);
    assert!(before < 1_000);
    lone.throttle.multiplier = 1.5;
    lone.throttle.window = Duration::from_mins(1);
    stage.replace(&lone, 2_000);
    assert_eq!(stage.admitted(0, 2_000), before);
    lone.throttle.max_shed_permille = 100;
    stage.replace(&lone, 2_100);
    assert_eq!(stage.admitted(0, 2_100), 900);
}

/// The brake of the node is as the file now says.
#[test]
fn limits_of_the_node_change_and_what_was_counted_stays() {
    let cells = [(0, 0, 0), (0, 1, 1)];
    let rules = |trips_per_minute| NodeRules { trips_per_minute, ..NodeRules::default() };
    let mut stage = Stage::with_rules(&consecutive(), &cells, rules(5));
    stage.play("0 fail 5");
    stage.engine.replace_rules(rules(1));
    stage.play("100 c1 fail 5");
    assert!(!stage.engine.directive(CellId(1), at(200)).expect("it exists").sheds());
    stage.engine.replace_rules(rules(5));
    stage.play("300 c1 fail 1");
    assert!(stage.engine.directive(CellId(1), at(300)).expect("it exists").sheds());
}
