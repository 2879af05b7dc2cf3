//! What happens to a connect that is shed, other than being denied.

use std::net::SocketAddr;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use shedder_tests::wire::SynCounter;

use crate::scene::{PATIENCE, WATCH, assert_all_answered, backend, caller, open, policy};

/// AT-25: the hold is as long as configured, one SYN is sent late, and the call succeeds.
#[test]
fn delay_holds_the_connect_and_lets_it_succeed() {
    for milliseconds in [20_u64, 50, 120, 300] {
        let (mut caller, cgroup) = caller("delay");
        let backend = backend(Behaviour::Healthy);
        let rules = format!("open = {{ action = \"delay\", delay = \"{milliseconds}ms\" }}");
        let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], &rules)).expect("it starts");
        let endpoint = backend.addr().to_string();
        daemon.succeed(&["trip", &endpoint]).expect("root may trip");
        let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count");

        // The shortest of five, because a busy machine can only add to a hold.
        let calls = caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives");
        assert_all_answered(&calls);
        let held = calls.iter().map(|call| call.connect_us).min().expect("five calls");
        let error = held.abs_diff(milliseconds * 1000);
        assert!(error <= TOLERANCE_US, "asked {milliseconds} ms, held {held} us");
        assert_eq!(wire.count().expect("it counts"), 5, "one SYN each on the wire");
        let breaker = daemon.breaker(backend.addr()).expect("it has one");
        assert_eq!(
            (breaker.shed_total, breaker.verdict.delay_ms),
            (5, u16::try_from(milliseconds).ok())
        );
    }
}

#[test]
fn redirect_reaches_the_sibling() {
    let (mut caller, cgroup) = caller("redirect");
    let (bad, good) = (backend(Behaviour::Refuse), backend(Behaviour::Healthy));
    let rules =
        "trip.consecutive = 3\nopen = { action = \"redirect\", base = \"10m\", max = \"10m\" }";
    let endpoints = [bad.addr(), good.addr()];
    let daemon = Daemon::start(&policy(&cgroup, &endpoints, rules)).expect("it starts");
    drop(open(&daemon, &mut caller, bad.addr()));
    let calls = caller.call_many(bad.addr(), 10, PATIENCE).expect("it lives");
    assert_all_answered(&calls);
    assert_eq!(good.accepted(), 10);
    // The application finds the peer it asked for.
    assert!(calls.iter().all(|call| call.peer == Some(bad.addr())), "{:?}", calls[0].peer);
    // The sibling's evidence is the sibling's.
    assert_eq!(daemon.breaker(good.addr()).expect("it has one").allowed_total, 10);
    let breaker = daemon.breaker(bad.addr()).expect("it has one");
    assert_eq!((breaker.shed_total, breaker.verdict.action.as_str()), (10, "redirect"));
    assert_eq!(breaker.verdict.redirect_to, Some(good.addr().to_string()));

    // A dual-stack socket is sent to the same place.
    let mapped = shedder_tests::caller::as_mapped_ipv6(bad.addr());
    let calls = caller.call_many(mapped, 5, PATIENCE).expect("it lives");
    assert_all_answered(&calls);
    assert_eq!((good.accepted(), calls[0].peer), (15, Some(mapped)));
}

/// Held connects leave apart (S3.3).
#[test]
fn a_hold_is_lengthened_by_chance() {
    let (mut caller, cgroup) = caller("jitter");
    let backend = backend(Behaviour::Healthy);
    let rules = format!(
        "{WATCH}open = {{ action = \"delay\", delay = \"20ms\", delay_jitter = \"300ms\" }}"
    );
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], &rules)).expect("it starts");
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root may trip");
    let calls = caller.storm(backend.addr(), 16, PATIENCE).expect("they live");
    assert_all_answered(&calls);
    let mut took: Vec<u64> = calls.iter().map(|call| call.connect_us).collect();
    took.sort_unstable();
    // Sixteen even draws from 300 ms all lie within 75 ms of each other once in hundreds of millions.
    assert!(took[0] >= 4_000 && took[15] - took[0] > 75_000, "{took:?}");
    assert!(took[15] < 320_000 + 32_000 + TOLERANCE_US, "{took:?}");
}

/// More than may be held at once are not held.
#[test]
fn too_many_holds_are_not_begun() {
    let (mut caller, cgroup) = caller("crowded");
    let backend = backend(Behaviour::Healthy);
    let rules = format!("{WATCH}open = {{ action = \"delay\", delay = \"1s\" }}");
    let text = policy(&cgroup, &[backend.addr()], &rules);
    let daemon = Daemon::start(&format!("node = {{ max_held = 2 }}\n{text}")).expect("it starts");
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root may trip");
    let calls = caller.storm(backend.addr(), 8, PATIENCE).expect("they live");
    assert_all_answered(&calls);
    let held = calls.iter().filter(|call| call.connect_us > 900_000).count();
    let node = daemon.status().expect("it answers").node;
    assert_eq!((held, node.holds_over, node.held), (2, 6, 0));
    // What was held is given back, also by those that end while they are held.
    let impatient = Duration::from_millis(30);
    for _ in 0..4 {
        assert!(!caller.call(backend.addr(), impatient).expect("it lives").answered());
    }
    assert_eq!(daemon.status().expect("it answers").node.held, 0);
}

#[test]
fn without_a_healthy_sibling_a_redirect_denies() {
    let (mut caller, cgroup) = caller("alone");
    let backend = backend(Behaviour::Healthy);
    let rules = "open = { action = \"redirect\", errno = \"ENETUNREACH\" }";
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root may trip");
    let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ENETUNREACH));
}

#[test]
fn a_fallback_takes_what_its_service_cannot() {
    let (mut caller, cgroup) = caller("fallback");
    let (bad, fallback) = (backend(Behaviour::Refuse), backend(Behaviour::Healthy));
    let with_fallback = |endpoint: SocketAddr| format!("fallback = [\"{endpoint}\"]\n[[caller]]");
    let rules =
        "trip.consecutive = 3\nopen = { action = \"redirect\", base = \"10m\", max = \"10m\" }";
    let text = policy(&cgroup, &[bad.addr()], rules);
    let text = text.replacen("[[caller]]", &with_fallback(fallback.addr()), 1);
    let daemon = Daemon::start(&text).expect("it starts");
    drop(open(&daemon, &mut caller, bad.addr()));
    assert_all_answered(&caller.call_many(bad.addr(), 5, PATIENCE).expect("it lives"));
    assert_eq!(fallback.accepted(), 5);
}

/// 15 ms and one jiffy of the slowest clock this runs on, 250 a second.
const TOLERANCE_US: u64 = 15_000 + 4_000;
