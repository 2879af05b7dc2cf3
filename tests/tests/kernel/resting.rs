//! While all is well the daemon looks less often, and the kernel wakes it when something is not.

use std::fs;
use std::thread;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use shedder_user::clock;

use crate::scene::{PATIENCE, backend, caller, policy};

/// A rest is five ticks long: ten seconds.
const LONG_TICKS: &str = "[node]\ntick = \"2s\"\nverdict_ttl = \"1m\"\nrescan = \"10s\"\n";

/// How long after a call that goes as `behaviour` says the breaker opens, when the daemon has rested for a while.
fn opens_after(label: &str, behaviour: Behaviour, trip: &str) -> Duration {
    let (mut caller, cgroup) = caller(label);
    let backend = backend(behaviour);
    let rules = format!("trip = {{ {trip} }}\nopen = {{ base = \"10m\", max = \"10m\" }}\n");
    let text = LONG_TICKS.to_owned() + &policy(&cgroup, &[backend.addr()], &rules);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    // Whoever asks is told what is, so this is when the last look was at the latest; two seconds later there is none.
    thread::sleep(Duration::from_secs(3));
    let start = clock::now();
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    clock::now().since(start)
}

#[test]
fn the_first_failure_ends_a_rest() {
    let rule = r#"failure_share = { at_least = 0.5, confidence = 0, min_attempts = 1 }, without = ["consecutive"]"#;
    let took = opens_after("rest-failure", Behaviour::ResetAfterAccept, rule);
    assert!(took < Duration::from_secs(5), "a tick is 2 s, and the rest had 7 s to go: {took:?}");
}

#[test]
fn the_first_slow_answer_ends_a_rest() {
    let rule = r#"latency = { over = "20ms", quantile = 0.5, min_samples = 1 }, without = ["consecutive", "failure_share"]"#;
    let slow = Behaviour::Slow(Duration::from_millis(100));
    let took = opens_after("rest-slow", slow, rule);
    assert!(took < Duration::from_secs(5), "a tick is 2 s, and the rest had 7 s to go: {took:?}");
}

/// How often a process's first thread has gone to sleep.
fn sleeps(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("the kernel counts them")
}

#[test]
fn who_has_nothing_to_do_wakes_a_fifth_as_often() {
    let (_caller, cgroup) = caller("rest-idle");
    let backend = backend(Behaviour::Healthy);
    let text = "[node]\ntick = \"20ms\"\n".to_owned() + &policy(&cgroup, &[backend.addr()], "");
    let daemon = Daemon::start(&text).expect("it starts");
    let before = sleeps(daemon.pid());
    thread::sleep(Duration::from_secs(4));
    let slept = sleeps(daemon.pid()) - before;
    // 200 ticks: 40 looks, and what else wakes it.
    assert!((20..120).contains(&slept), "{slept}");
}

#[test]
fn who_is_called_all_the_time_wakes_as_seldom_while_all_goes_well() {
    let (mut caller, cgroup) = caller("rest-called");
    let backend = backend(Behaviour::Healthy);
    let text = "[node]\ntick = \"20ms\"\n".to_owned() + &policy(&cgroup, &[backend.addr()], "");
    let daemon = Daemon::start(&text).expect("it starts");
    let (before, start) = (sleeps(daemon.pid()), clock::now());
    let mut calls = 0;
    while clock::now().since(start) < Duration::from_secs(4) {
        caller.call(backend.addr(), PATIENCE).expect("it lives");
        calls += 1;
        thread::sleep(Duration::from_millis(5));
    }
    let slept = sleeps(daemon.pid()) - before;
    assert!(calls > 200, "more than one for each tick: {calls}");
    // A call that takes longer than a moment, on a busy machine, ends a rest.
    assert!((20..150).contains(&slept), "{slept} with {calls} calls");
    assert_eq!(daemon.breaker(backend.addr()).expect("it answers").outcomes.answered, calls);
}
