//! A share is shed where opening would be too much, and heartbeats instead of a batch of probes.

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use shedder_tests::wire::SynCounter;

use crate::scene::{PATIENCE, assert_all_answered, backend, caller, open, policy};

/// An endpoint without another to go to is never shut off: of many connects most fail at once by
/// the verdict, some still reach it, and those find out when it is well again.
#[test]
fn a_lone_endpoint_is_throttled_and_comes_back() {
    let (mut caller, cgroup) = caller("lone");
    let backend = backend(Behaviour::Refuse);
    let rules = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { errno = "EHOSTUNREACH", base = "10m", max = "10m" }
throttle = { window = "2s", calm = "500ms" }
safety = { lone = "throttle" }
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    let why = events.wait_for_state(backend.addr(), "throttled").expect("it throttles");
    assert_eq!(why, "3 failures in a row (limit 3)");

    let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count packets");
    // Until the share has come down, then one that counts.
    let shed = |daemon: &Daemon| daemon.breaker(backend.addr()).expect("it has one").shed_total;
    while shed(&daemon) < 20 {
        caller.call_many(backend.addr(), 10, PATIENCE).expect("it lives");
    }
    let (before, on_wire) = (shed(&daemon), wire.count().expect("the counter lives"));
    let calls = caller.call_many(backend.addr(), 200, PATIENCE).expect("it lives");
    let refused = |errno| calls.iter().filter(|call| call.connect_errno() == Some(errno)).count();
    let passed = wire.count().expect("the counter lives") - on_wire;
    assert_eq!(refused(libc::ECONNREFUSED) as u64, passed);
    assert_eq!(refused(libc::EHOSTUNREACH) as u64, shed(&daemon) - before);
    assert!((20..100).contains(&passed), "a share of {passed} of 200 was let through");

    backend.set(Behaviour::Healthy).expect("it lives");
    while daemon.breaker(backend.addr()).expect("it has one").state != "closed" {
        caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives");
    }
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));
}

/// Each refill grants one more connect; enough of them in a row close the breaker.
#[test]
fn heartbeats_are_granted_one_by_one() {
    let (mut caller, cgroup) = caller("heartbeats");
    let backend = backend(Behaviour::Refuse);
    let rules = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "100ms", max = "100ms", jitter = 0.0 }
half_open = { tokens = 1, successes = 3, refill = "200ms", deadline = "1m" }
recovery = { ramp = "0s" }
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = open(&daemon, &mut caller, backend.addr());
    backend.set(Behaviour::Healthy).expect("it lives");
    events.wait_for_state(backend.addr(), "half_open").expect("it probes");
    let mut answered = 0;
    while daemon.breaker(backend.addr()).expect("it has one").state == "half_open" {
        let calls = caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives");
        answered += calls.iter().filter(|call| call.answered()).count();
    }
    let why = events.wait_for_state(backend.addr(), "closed").expect("it closes");
    assert_eq!(why, "3 of 3 probes succeeded");
    // Those of the last round may have come after it closed.
    assert!((3..=3 + 5).contains(&answered), "{answered}");
}
