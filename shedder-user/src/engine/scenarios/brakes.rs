//! The limits of a caller and of the node as a whole, each from both sides.

use std::time::Duration;

use super::*;

fn consecutive() -> Policy {
    policy(vec![Strategy::Consecutive { failures: 5 }])
}

/// Half of the services with traffic, of three at least, within ten seconds. `fourth` is what the
/// fourth and later ones see.
#[test]
fn services_go_bad_at_once_within_ten_seconds() {
    let is_suspect = |services: u32, gap: u64, fourth: &str| {
        let cells: Vec<_> = (0..services * 2).map(|endpoint| (0, endpoint / 2, endpoint)).collect();
        let mut stage = Stage::new(&consecutive(), &cells);
        stage.play("1000 c0 fail 5");
        let later = 1_000 + gap;
        for service in 0..services {
            let event = if service < 3 { "ok 1" } else { fourth };
            stage.play(&format!("{later} c{} {event}", service * 2 + 1));
        }
        stage.play(&format!("{later} c2 fail 5"));
        stage.log.contains("go bad at once")
    };
    assert!(is_suspect(3, 10_000, "ok 1"));
    assert!(!is_suspect(3, 10_001, "ok 1"));
    assert!(is_suspect(4, 100, "ok 1"));
    assert!(!is_suspect(5, 100, "ok 1"));
    assert!(!is_suspect(2, 100, "ok 1"));
    // Without an outcome there is no traffic.
    assert!(is_suspect(5, 100, "rtt 1 1"));
}

/// Refusals a second are counted over five.
#[test]
fn the_node_refuses_only_so_many_a_second() {
    let rules = NodeRules {
        refusals_per_second: 20,
        caller_refused_permille: 1_000,
        trips_per_minute: 1_000,
        ..NodeRules::default()
    };
    let log = |shed: u64| {
        let mut stage = Stage::with_rules(&consecutive(), &[(0, 0, 0), (0, 0, 1)], rules.clone());
        stage.play(&format!("0 c0 fail 5\n 100 c0 asked {shed} {shed}\n 200 c1 fail 5"));
        stage.log
    };
    assert!(log(104).contains("200 c1 closed -> open"));
    let braked = log(105);
    assert!(!braked.contains("c1"), "{braked}");
    assert!(
        braked.contains("notice: 21 connects a second are refused (limit 20), so no breaker trips"),
        "{braked}"
    );
}

/// Who trips breakers, or is refused, as fast as it can takes half of the limit from the others; two of
/// them take all of it.
#[test]
fn one_caller_does_not_brake_another() {
    let rules = NodeRules {
        trips_per_minute: 4,
        refusals_per_second: 20,
        caller_refused_permille: 1_000,
        suspect_permille: 1_000,
    };
    let mut cells: Vec<_> = (0..8).map(|endpoint| (0, 0, endpoint)).collect();
    cells.extend((8..12).map(|endpoint| (1, 1, endpoint)));
    let mut stage = Stage::with_rules(&consecutive(), &cells, rules);
    for cell in 0..8 {
        stage.play(&format!("{} c{cell} fail 5", 100 + cell));
    }
    assert_eq!(stage.log.matches("closed -> open").count(), 4, "{}", stage.log);
    stage.play("200 c0 asked 100000 100000");
    for cell in 8..12 {
        stage.play(&format!("{} c{cell} fail 5", 300 + cell));
    }
    // Two of the others, which are half, and two of its own.
    assert!(stage.log.contains("c8 closed -> open"), "{}", stage.log);
    assert!(stage.log.contains("c9 closed -> open"), "{}", stage.log);
    assert!(!stage.log.contains("c10 closed -> open"), "{}", stage.log);
    let told = "notice: 4 breakers tripped within a minute (limit 4), so no breaker trips";
    assert_eq!(stage.log.matches(told).count(), 1, "{}", stage.log);
}

/// Who finds all its services bad makes the node suspect to itself. Another caller takes its word for half of
/// what it takes, so that its own service, the sixth of eight, is the first it finds bad by itself.
#[test]
fn one_caller_does_not_make_the_node_suspect_to_another() {
    let rules = NodeRules {
        trips_per_minute: 1_000,
        caller_refused_permille: 1_000,
        ..NodeRules::default()
    };
    let mut cells: Vec<_> = (0..10).map(|endpoint| (0, endpoint / 2, endpoint)).collect();
    cells.extend((10..16).map(|endpoint| (1, endpoint / 2, endpoint)));
    let mut stage = Stage::with_rules(&consecutive(), &cells, rules);
    for cell in 0..16 {
        stage.play(&format!("{cell} c{cell} ok 1"));
    }
    for cell in [0, 2, 4, 6, 8] {
        stage.play(&format!("{} c{cell} fail 5", 100 + cell));
    }
    assert!(stage.log.contains("4 of 8 services go bad at once"), "{}", stage.log);
    assert!(!stage.log.contains("c6 closed -> open"), "{}", stage.log);
    // Two of the other's, which are half of four, and its own.
    stage.play("200 c10 fail 5");
    assert!(stage.log.contains("c10 closed -> open"), "{}", stage.log);
    stage.play("300 c12 fail 5");
    assert!(!stage.log.contains("c12 closed -> open"), "{}", stage.log);
}

/// More than half of its connects, twenty at least.
#[test]
fn a_caller_is_refused_no_more_than_half() {
    let is_braked = |healthy: u64, shed: u64| {
        let mut stage = Stage::new(&consecutive(), &[(0, 0, 0), (0, 0, 1)]);
        stage.play(&format!("0 c1 ok {healthy}\n 0 c0 fail 5\n 100 c0 asked {shed} {shed}"));
        stage.play("200 c1 fail 5");
        stage.log.contains("connects of one caller were refused within a minute")
    };
    // Of what went well, five and five failures, and the refused ones themselves.
    assert!(!is_braked(90, 100));
    assert!(is_braked(89, 100));
    assert!(is_braked(0, 20));
    assert!(!is_braked(0, 19));
}

/// Five trips, twenty refusals and more than the share: all three, and it is said once.
#[test]
fn a_policy_is_suspended_for_many_wrong_refusals_only() {
    assert_eq!(notices_of_refuted(4, 1_000, 100), 0);
    assert_eq!(notices_of_refuted(5, 1_000, 100), 1);
    assert_eq!(notices_of_refuted(7, 1_000, 100), 1);
    assert_eq!(notices_of_refuted(5, 1_000, 4), 1);
    assert_eq!(notices_of_refuted(5, 1_000, 3), 0);
    // 500 refusals are a hundredth of 50 000 connects, and more than that of one less.
    assert_eq!(notices_of_refuted(5, 49_475, 100), 0);
    assert_eq!(notices_of_refuted(5, 49_474, 100), 1);
}

/// After `healthy` connects come trips of five failures, each refuted by its first probes after
/// `shed` refusals.
fn notices_of_refuted(trips: u64, healthy: u64, shed: u64) -> usize {
    let mut policy = consecutive();
    policy.ramp.duration = Duration::ZERO;
    policy.safety.false_refusals_permille = Some(10);
    let cells: Vec<_> = (0..8).map(|endpoint| (0, 0, endpoint)).collect();
    let mut stage = Stage::new(&policy, &cells);
    stage.play(&format!("0 c7 ok {healthy}"));
    for cell in 0..trips {
        let [failed, refused, probed] = [100, 500, 1_200].map(|at| cell * 2_000 + at);
        stage.play(&format!(
            "{failed} c{cell} fail 5\n {refused} c{cell} asked {shed} {shed}\n {probed} c{cell} probe 3 3 0"
        ));
    }
    stage.log.matches("refused although they would have succeeded").count()
}
