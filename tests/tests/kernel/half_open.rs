//! Probing: exactly as many sockets as there are tokens, whoever comes (AT-20, S2.14, S3.30).

use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::{Call, Caller};
use shedder_tests::daemon::Daemon;

use crate::scene::{PATIENCE, assert_all_answered, backend, caller, open, policy, wait_until};

/// Three tokens, all of which must succeed; open for half a second, then for a second, …
const THREE: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "500ms", max = "8s", jitter = 0.0 }
half_open = { tokens = 3, successes = 3, deadline = "5s" }
recovery = { ramp = "2s", from = 0.5 }
"#;

fn answered(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.answered()).count()
}

#[test]
fn sixty_four_processes_share_three_probes_and_success_closes_by_the_ramp() {
    let (mut caller, cgroup) = caller("probes");
    let backend = backend(Behaviour::Refuse);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], THREE)).expect("it starts");
    let events = open(&daemon, &mut caller, backend.addr());
    // Slow enough that no probe has its result before the last of the 64 has connected.
    backend.set(Behaviour::Slow(Duration::from_millis(500))).expect("it lives");
    events.wait_for_state(backend.addr(), "half_open").expect("it probes");

    let calls = caller.storm(backend.addr(), 64, PATIENCE).expect("they live");
    assert_eq!(backend.accepted(), 3, "sockets on the wire");
    assert_eq!(answered(&calls), 3);
    let refused = |call: &&Call| call.connect_errno() == Some(libc::ECONNREFUSED);
    assert_eq!(calls.iter().filter(refused).count(), 61);

    let why = events.wait_for_state(backend.addr(), "recovering").expect("it recovers");
    assert_eq!(why, "3 of 3 probes succeeded");
    backend.set(Behaviour::Healthy).expect("it lives");
    // Half of everything at the start, and no less than that.
    let ramp = caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives");
    assert!(answered(&ramp) >= 10, "{} of 20", answered(&ramp));
    events.wait_for_state(backend.addr(), "closed").expect("it closes");
    assert_all_answered(&caller.call_many(backend.addr(), 50, PATIENCE).expect("it lives"));
}

#[test]
fn failed_probes_reopen_for_longer() {
    let (mut caller, cgroup) = caller("reopen");
    let backend = backend(Behaviour::Refuse);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], THREE)).expect("it starts");
    let events = open(&daemon, &mut caller, backend.addr());
    events.wait_for_state(backend.addr(), "half_open").expect("it probes");
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    let why = events.wait_for_state(backend.addr(), "open").expect("it reopens");
    assert!(why.starts_with("of 1 probes 1 failed"), "{why}");
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!(breaker.level, 2);
    let wait = |time: &str| humantime::parse_rfc3339(time).expect("a time");
    let next = breaker.next.expect("open ends");
    let open_for = wait(&next.at).duration_since(wait(&breaker.since)).expect("later");
    // Twice the half second of the first time, give or take the rounding of the two times shown.
    assert!((990..=1010).contains(&open_for.as_millis()), "{open_for:?}");
}

/// One token, for a long time.
const ONE: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "100ms", max = "10m", jitter = 0.0 }
half_open = { tokens = 1, successes = 1, deadline = "10m" }
recovery = { ramp = "0s" }
caller_timeout = "10s"
"#;

/// A probe whose process is killed says nothing: the next caller gets its token at once.
#[test]
fn the_token_of_a_killed_prober_goes_to_another() {
    let (mut caller, cgroup) = caller("killed");
    let backend = backend(Behaviour::Refuse);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], ONE)).expect("it starts");
    let events = open(&daemon, &mut caller, backend.addr());
    backend.set(Behaviour::Hang).expect("it lives");
    events.wait_for_state(backend.addr(), "half_open").expect("it probes");
    let mut prober = Caller::spawn(&cgroup).expect("a caller starts");
    let probe = prober.open(backend.addr(), PATIENCE).expect("the token is its own");
    let call = prober.request(probe, Duration::from_millis(20)).expect("it lives");
    assert!(call.timed_out());
    let refused = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(refused.connect_errno(), Some(libc::ECONNREFUSED), "there is one token");
    drop(prober);
    wait_until(&daemon, backend.addr(), |breaker| breaker.in_flight.connections == 0);
    backend.set(Behaviour::Healthy).expect("it lives");
    while !caller.call(backend.addr(), PATIENCE).expect("it lives").answered() {
        std::thread::sleep(Duration::from_millis(5));
    }
    events.wait_for_state(backend.addr(), "closed").expect("the second probe closes it");
}

/// A probe that hangs ends by its deadline, whatever its caller does.
#[test]
fn a_probe_that_hangs_ends_by_its_deadline() {
    let (mut caller, cgroup) = caller("lease");
    let backend = backend(Behaviour::Refuse);
    let rules = ONE.replace("deadline = \"10m\"", "deadline = \"300ms\"");
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], &rules)).expect("it starts");
    let events = open(&daemon, &mut caller, backend.addr());
    backend.set(Behaviour::Hang).expect("it lives");
    events.wait_for_state(backend.addr(), "half_open").expect("it probes");
    let probe = caller.open(backend.addr(), PATIENCE).expect("the token is its own");
    let call = caller.request(probe, Duration::from_millis(20)).expect("it lives");
    assert!(call.timed_out());
    let why = events.wait_for_state(backend.addr(), "open").expect("it reopens");
    assert_eq!(why, "of 1 probes 0 failed and 1 had no answer");
}
