//! Why a connect was refused: by which rule, on which numbers, until when, and what would let it through
//! (S0.65).

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::Caller;
use shedder_tests::daemon::Daemon;
use shedder_user::api::model::Explanation;

use crate::scene::{LASTING, PATIENCE, backend, caller, open, policy, wait_until};

/// Waits until the daemon has heard of as many refusals as are told.
#[expect(clippy::panic, reason = "a helper of tests fails as they do")]
pub(crate) fn explain(daemon: &Daemon, arguments: &[&str], refusals: usize) -> Explanation {
    let arguments = [&["explain", "--json"], arguments].concat();
    let mut last = String::new();
    for _ in 0..1_000 {
        last = daemon.succeed(&arguments).expect("it answers");
        let explanation: Explanation = serde_json::from_str(&last).expect("it is one");
        if explanation.refusals.len() >= refusals {
            return explanation;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{last}");
}

#[test]
fn an_open_breaker_says_why_and_until_when() {
    let (mut caller, cgroup) = caller("why");
    let backend = backend(Behaviour::Refuse);
    let rules = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "10m", max = "10m", errno = "EHOSTUNREACH" }
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let endpoint = backend.addr().to_string();
    let closed = daemon.succeed(&["explain", &endpoint]).expect("it answers");
    assert!(closed.contains("every connect goes through, until 3 fail in a row"), "{closed}");
    assert!(closed.contains("No connect to it was refused lately."), "{closed}");

    drop(open(&daemon, &mut caller, backend.addr()));
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    let told = explain(&daemon, &[&endpoint], 1);
    let refusal = &told.refusals[0];
    assert_eq!((refusal.pid, refusal.uid, refusal.comm.as_str()), (caller.pid(), 0, "lab-caller"));
    assert_eq!(refusal.cgroup.as_deref(), Some(cgroup.name()));
    assert_eq!((refusal.errno.as_str(), refusal.cause.as_str()), ("EHOSTUNREACH", "open"));
    let reason = refusal.reason.as_ref().expect("it had one");
    assert_eq!((reason.strategy.as_str(), refusal.refused), ("consecutive", 1));

    let text = daemon.succeed(&["explain", &endpoint]).expect("it answers");
    for part in [
        "3 failures in a row (limit 3) (consecutive; policy app:db, generation 1)",
        "connect() fails at once with EHOSTUNREACH",
        "it becomes half_open: then 3 connects are let through as probes, and 2 of them must succeed",
        &format!("`shedder hold {endpoint}` lets everything through for a while"),
        "1 of 4 connects were shed",
        "(lab-caller), user 0, in /shedder-lab-why",
        "EHOSTUNREACH to 127.0.0.1",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

/// Each process is told of once; of many refusals one in 128 is.
#[test]
fn a_process_finds_its_own_refusals() {
    let (mut first, cgroup) = caller("whose");
    let mut second = Caller::spawn(&cgroup).expect("a caller starts");
    let backend = backend(Behaviour::Refuse);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    drop(open(&daemon, &mut first, backend.addr()));
    first.call_many(backend.addr(), 200, PATIENCE).expect("it lives");
    // Not within the millisecond in which the slot told of another.
    std::thread::sleep(std::time::Duration::from_millis(5));
    second.call(backend.addr(), PATIENCE).expect("it lives");
    let told = explain(&daemon, &["--pid", &second.pid().to_string()], 1);
    assert_eq!((told.refusals.len(), told.breakers.len()), (1, 1));
    assert_eq!((told.refusals[0].pid, told.refusals[0].refused), (second.pid(), 201));
    let told = explain(&daemon, &["--pid", &first.pid().to_string()], 2);
    let which: Vec<u64> = told.refusals.iter().map(|refusal| refusal.refused).collect();
    assert_eq!(which, [128, 1], "newest first");
    let nobody = daemon.succeed(&["explain", "--pid", "1"]).expect("it answers");
    assert_eq!(nobody, "No connect of this process was refused lately, as far as was told.\n");
}

#[test]
fn a_burst_and_a_missing_token_are_told_apart() {
    let (mut caller, cgroup) = caller("causes");
    let backend = backend(Behaviour::Refuse);
    let rules = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "1s", max = "1s", jitter = 0.0 }
half_open = { tokens = 1, successes = 1, deadline = "10m" }
"#;
    let node = "node = { verdict_ttl = \"60s\", brakes = { caller_refused = 1.0 } }\n";
    let text = node.to_owned() + &policy(&cgroup, &[backend.addr()], rules);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    wait_until(&daemon, backend.addr(), |breaker| breaker.verdict.sheds_after_failures == Some(3));
    daemon.signal(libc::SIGSTOP);
    caller.call_many(backend.addr(), 4, PATIENCE).expect("it lives");
    daemon.signal(libc::SIGCONT);
    let endpoint = backend.addr().to_string();
    let told = explain(&daemon, &[&endpoint], 1);
    assert_eq!(told.refusals[0].cause, "burst");
    let reason = told.refusals[0].reason.as_ref().expect("the breaker opened for it");
    assert_eq!(reason.text, "3 failures in a row (limit 3)");

    backend.set(Behaviour::Hang).expect("it lives");
    events.wait_for_state(backend.addr(), "half_open").expect("it probes");
    caller.open(backend.addr(), PATIENCE).expect("the token is its own");
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    let told = explain(&daemon, &[&endpoint], 2);
    assert_eq!(told.refusals[0].cause, "no_token");
    assert!(told.breakers[0].effect.ends_with("only probes go through"), "{told:?}");
}

#[test]
fn an_endpoint_nobody_guards_is_no_riddle() {
    let (_caller, cgroup) = caller("nobody");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    for (arguments, expected) in [
        (&["explain", "192.0.2.1:80"][..], "lets every connect to it through"),
        (&["explain", "database"], "write address:port, as `shedder status` shows it"),
        (&["explain"], "required"),
        (&["explain", "192.0.2.1:80", "--pid", "1"], "cannot be used with"),
    ] {
        let output = daemon.command(arguments).expect("it runs");
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{said}");
    }
}
