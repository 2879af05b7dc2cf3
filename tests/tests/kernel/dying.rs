//! Deaths of a daemon that nobody sent: out of memory, a panic, a disk that is full, a loop that hangs. Traffic
//! flows, and the next daemon says and does what pins and journal say (AT-21).

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;

use shedder_tests::backend::Behaviour;
use shedder_tests::bounds::{Bounds, Resource};
use shedder_tests::bpf_fs::BpfFs;
use shedder_tests::caller::Caller;
use shedder_tests::daemon::Daemon;
use shedder_tests::hanging::Hanging;
use shedder_user::api::model::{Breaker, EventKind};

use crate::journal::{assert_gapless, journal};
use crate::scene::{
    LASTING, PATIENCE, assert_all_answered, backend, caller, open, policy, wait_for,
};
use crate::supervisor::Ear;

fn start_inside(bounds: &Bounds, text: &str, arguments: &[&str]) -> Daemon {
    let enter = bounds.enter();
    let enter: Vec<&str> = enter.iter().map(String::as_str).collect();
    Daemon::start_through(&enter, text, arguments).expect("it starts")
}

fn is_answered(caller: &mut Caller, endpoint: SocketAddr) -> bool {
    caller.call(endpoint, PATIENCE).expect("it lives").answered()
}

/// What an operator compares, of a breaker before and after.
fn standing(breaker: &Breaker) -> (String, Option<String>, u32, u64) {
    let reason = breaker.reason.as_ref().map(|reason| reason.text.clone());
    (breaker.state.clone(), reason, breaker.level, breaker.allowed_total)
}

/// Ended by the kernel for want of memory: verdicts stay for their time and then expire, and the next daemon
/// goes on from the pins.
#[test]
fn at_21_out_of_memory_verdicts_expire_and_come_back_with_the_next_daemon() {
    let directory = tempfile::tempdir().expect("a directory");
    let bpffs = BpfFs::mount(directory.path()).expect("it can be mounted");
    let (mut caller, cgroup) = caller("out-of-memory");
    let backend = backend(Behaviour::Refuse);
    let pins = bpffs.pins();
    let node =
        format!("[node]\nwatch = false\nverdict_ttl = \"2s\"\npin_dir = \"{}\"\n", pins.display());
    let text = node + &policy(&cgroup, &[backend.addr()], LASTING);
    let bounds = Bounds::new(Resource::Memory).expect("the kernel bounds memory");
    let mut daemon = start_inside(&bounds, &text, &["--detach-on-exit=false"]);
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");
    let before = standing(&daemon.breaker(backend.addr()).expect("it has one"));

    bounds.tighten().expect("the bound is taken");
    // A policy file somebody has written a log to, say.
    let huge = format!("{text}{}", "# much ado\n".repeat(6 << 20));
    fs::write(daemon.policy_file(), huge).expect("it is ours");
    daemon.signal(libc::SIGHUP);
    let status = daemon.wait().expect("it ends");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert_eq!(bounds.ended().expect("it is counted"), 1);
    let mut refused = 0;
    while !is_answered(&mut caller, backend.addr()) {
        refused += 1;
        assert!(refused < 2_000, "the verdict outlives its time");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));

    fs::write(daemon.policy_file(), &text).expect("it is ours");
    let again = Daemon::start_at(&daemon, &["--detach-on-exit=false"]).expect("it starts again");
    assert!(!is_answered(&mut caller, backend.addr()), "what was open is open");
    let after = standing(&again.breaker(backend.addr()).expect("it has one"));
    assert_eq!((&after.0, &after.1, after.2), (&before.0, &before.1, before.2));
    // What went through between the two is counted: the programs were there.
    assert!(after.3 >= before.3, "{after:?} {before:?}");
    wait_for("the journal goes on", || {
        journal(&again.state_dir()).iter().any(|it| matches!(it.kind, EventKind::TookOver { .. }))
    });
    let events = journal(&again.state_dir());
    assert_gapless(&events);
    let told = events.iter().rev().find_map(|event| {
        let EventKind::Transition { to, .. } = &event.kind else { return None };
        Some(to.clone())
    });
    assert_eq!(told, Some(after.0), "the journal's last word is what is in force");
}

/// A real panic of a real daemon: its runtime wants a thread and may have none.
#[test]
fn a_daemon_that_panics_lets_everything_through_and_the_next_one_tells() {
    let (mut caller, cgroup) = caller("panicking");
    let backend = backend(Behaviour::Refuse);
    let unwatched = "[node]\nwatch = false\n".to_owned();
    let rules = policy(&cgroup, &[backend.addr()], LASTING);
    let bounds = Bounds::new(Resource::Threads).expect("the kernel bounds threads");
    let mut daemon = start_inside(&bounds, &(unwatched + &rules), &[]);
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");
    bounds.tighten().expect("the bound is taken");
    // To watch the file takes a thread.
    fs::write(daemon.policy_file(), rules).expect("it is ours");
    daemon.signal(libc::SIGHUP);
    let status = daemon.wait().expect("it ends");
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{}", daemon.log());
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));

    let again = Daemon::start_at(&daemon, &[]).expect("it starts again");
    let said = again.succeed(&["events"]).expect("it answers");
    assert!(said.contains("the daemon panicked at") && said.contains("spawn"), "{said}");
    assert_eq!(again.breaker(backend.addr()).expect("it has one").state, "closed");
}

/// A policy file on a disk that does not answer holds up the loop: it is not alive for systemd, verdicts
/// expire, and when the disk answers all is as before.
#[test]
fn at_21_a_loop_that_hangs_is_not_heard_and_its_verdicts_expire() {
    let (mut caller, cgroup) = caller("hanging");
    let backend = backend(Behaviour::Refuse);
    let node = "[node]\nwatch = false\nverdict_ttl = \"1s\"\n".to_owned();
    let ear = Ear::open();
    let daemon = ear.start(&(node + &policy(&cgroup, &[backend.addr()], LASTING)));
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");
    let before = standing(&daemon.breaker(backend.addr()).expect("it has one"));

    let hanging = Hanging::file(&daemon.policy_file()).expect("the kernel asks before it opens");
    daemon.signal(libc::SIGHUP);
    ear.assert_silence();
    let mut refused = 0;
    while !is_answered(&mut caller, backend.addr()) {
        refused += 1;
        assert!(refused < 2_000, "the verdict outlives its time");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));

    drop(hanging);
    ear.assert_alive();
    wait_for("its verdicts are back", || !is_answered(&mut caller, backend.addr()));
    let after = standing(&daemon.breaker(backend.addr()).expect("it has one"));
    assert_eq!((after.0, after.1, after.2), (before.0, before.1, before.2));
}
