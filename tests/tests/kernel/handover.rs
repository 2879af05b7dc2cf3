//! One daemon after another, while callers go on: nothing is let through and nothing is refused because
//! of the change.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shedder_tests::attached::{Hook, programs};
use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::bpf_fs::BpfFs;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_user::api::model::Breaker;
use tempfile::TempDir;

use crate::scene::{
    LASTING, PATIENCE, assert_all_answered, backend, caller, open, policy, wait_for, wait_until,
};

/// A bpf file system, and what a policy file says to use it. Verdicts stay long enough for a busy machine.
fn bpffs() -> (TempDir, BpfFs, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let bpffs = BpfFs::mount(directory.path()).expect("it can be mounted");
    let pins = bpffs.pins();
    let node = format!("[node]\nverdict_ttl = \"60s\"\npin_dir = \"{}\"\n", pins.display());
    (directory, bpffs, node)
}

fn start(text: &str) -> Daemon {
    Daemon::start_with(text, KEEP).expect("it starts")
}

fn start_again(earlier: &Daemon) -> Daemon {
    Daemon::start_at(earlier, KEEP).expect("it starts again")
}

fn stop(daemon: &mut Daemon, signal: i32) {
    daemon.signal(signal);
    daemon.wait().expect("it ends");
}

const KEEP: &[&str] = &["--detach-on-exit=false"];

/// What is open stays open, and what is well stays well, before, between and after.
fn nothing_changes(signal: i32) {
    let (_directory, bpffs, node) = bpffs();
    let (mut caller, cgroup) = caller("handed");
    let (bad, good) = (backend(Behaviour::Refuse), backend(Behaviour::Healthy));
    let text = node + &policy(&cgroup, &[bad.addr(), good.addr()], LASTING);
    let mut daemon = start(&text);
    drop(open(&daemon, &mut caller, bad.addr()));
    bad.set(Behaviour::Healthy).expect("it lives");
    let before = daemon.breaker(bad.addr()).expect("it has one");
    let links = bpffs.links().expect("they can be listed");
    let is_over = AtomicBool::new(false);
    let (again, calls) = std::thread::scope(|scope| {
        let (is_over, bad, good, caller) = (&is_over, bad.addr(), good.addr(), &mut caller);
        let calling = scope.spawn(move || {
            let mut calls = 0;
            while calls < 20 || !is_over.load(Ordering::Relaxed) {
                let call = caller.call(bad, PATIENCE).expect("it lives");
                assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "open");
                assert!(caller.call(good, PATIENCE).expect("it lives").answered(), "closed");
                calls += 1;
            }
            calls
        });
        stop(&mut daemon, signal);
        let again = start_again(&daemon);
        is_over.store(true, Ordering::Relaxed);
        (again, calling.join().expect("every call went as it should"))
    });
    assert_eq!(bad.accepted(), 0, "no SYN has left");
    assert_eq!(good.accepted(), calls);

    let after = wait_until(&again, bad.addr(), |breaker| breaker.shed_total >= calls);
    assert_eq!((after.state.as_str(), after.level), ("open", before.level));
    let why = |breaker: &Breaker| breaker.reason.as_ref().map(|reason| reason.text.clone());
    assert_eq!((why(&after), after.shed_total), (why(&before), calls));
    let good = wait_until(&again, good.addr(), |breaker| breaker.allowed_total >= calls);
    assert_eq!(good.allowed_total, calls);
    assert_eq!(bpffs.links().expect("they can be listed"), links, "the same links");
    assert_eq!(programs(&cgroup, Hook::Connect4).expect("root may ask"), 1);
    let said = again.succeed(&["events"]).expect("it answers");
    assert!(
        said.contains("going on where an earlier shedder was: 2 breakers, 1 of them not closed"),
        "{said}"
    );
}

#[test]
fn a_restart_changes_nothing() {
    nothing_changes(libc::SIGTERM);
}

#[test]
fn a_crash_changes_nothing() {
    nothing_changes(libc::SIGKILL);
}

/// No probe is admitted because there is another daemon, and the result of one counts for it.
#[test]
fn probes_under_way_are_waited_for() {
    let (_directory, _bpffs, node) = bpffs();
    let (mut caller, cgroup) = caller("probed");
    let (bad, _good) = (backend(Behaviour::Refuse), backend(Behaviour::Healthy));
    let rules = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "200ms", max = "200ms", jitter = 0.0 }
half_open = { tokens = 1, successes = 1, deadline = "60s" }
recovery.ramp = "0s"
"#;
    let text = node + &policy(&cgroup, &[bad.addr()], rules);
    let mut daemon = start(&text);
    let events = open(&daemon, &mut caller, bad.addr());
    events.wait_for_state(bad.addr(), "half_open").expect("the open time passes");
    drop(events);
    bad.set(Behaviour::Hang).expect("it lives");
    std::thread::scope(|scope| {
        // It holds the only token.
        let mut prober = shedder_tests::caller::Caller::spawn(&cgroup).expect("a caller starts");
        let at = bad.addr();
        let probe = scope.spawn(move || prober.call(at, PATIENCE));
        wait_for("the probe", || daemon.breaker(bad.addr()).is_ok_and(|it| it.allowed_total == 4));
        stop(&mut daemon, libc::SIGTERM);
        let again = start_again(&daemon);
        let refused = caller.call(bad.addr(), PATIENCE).expect("it lives");
        assert_eq!(refused.connect_errno(), Some(libc::ECONNREFUSED), "no second token");
        let breaker = again.breaker(bad.addr()).expect("it has one");
        assert_eq!((breaker.state.as_str(), breaker.allowed_total), ("half_open", 4));
        bad.set(Behaviour::Healthy).expect("it lives");
        drop(probe);
    });
}

/// Of an endpoint that only traffic has told of.
#[test]
fn discovered_endpoints_keep_their_breakers() {
    let (_directory, _bpffs, node) = bpffs();
    let (mut caller, cgroup) = caller("found");
    let bad = backend(Behaviour::Refuse);
    let network = format!("127.0.0.0/8:{}", bad.addr().port());
    let text = policy(&cgroup, &[bad.addr()], LASTING).replace(&bad.addr().to_string(), &network);
    let mut daemon = start(&(node + &text));
    let events = daemon.events().expect("it answers");
    caller.call(bad.addr(), PATIENCE).expect("it lives");
    events.wait_for(|event| event.text.starts_with("found").then_some(())).expect("found");
    drop(events);
    drop(open(&daemon, &mut caller, bad.addr()));
    stop(&mut daemon, libc::SIGTERM);
    let again = start_again(&daemon);
    assert_eq!(again.breaker(bad.addr()).expect("it has one").state, "open");
    let call = caller.call(bad.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
}

/// A daemon that cannot go on says why, and guards from the beginning.
fn starts_clean(label: &str, change: impl FnOnce(&Daemon, &Path), why: &str) {
    let (_directory, bpffs, node) = bpffs();
    let (mut caller, cgroup) = caller(label);
    let bad = backend(Behaviour::Refuse);
    let text = node + &policy(&cgroup, &[bad.addr()], LASTING);
    let mut daemon = start(&text);
    drop(open(&daemon, &mut caller, bad.addr()));
    stop(&mut daemon, libc::SIGTERM);
    change(&daemon, &bpffs.pins());
    let again = start_again(&daemon);
    assert_eq!(again.breaker(bad.addr()).expect("it has one").state, "closed");
    let said = again.succeed(&["events"]).expect("it answers");
    assert!(said.contains("everything an earlier shedder knew is forgotten"), "{said}");
    assert!(said.contains(why), "{said}");
    assert_eq!(programs(&cgroup, Hook::Connect4).expect("root may ask"), 1);
    drop(open(&again, &mut caller, bad.addr()));
}

#[test]
fn maps_of_another_size_are_not_used() {
    let resize = |daemon: &Daemon, _: &Path| {
        let file = daemon.policy_file();
        let text = fs::read_to_string(&file).expect("it is ours");
        fs::write(file, text.replace("[node]", "[node]\nmax_endpoints = 64")).expect("it is ours");
    };
    starts_clean("resized", resize, "has 4096 rows, and now there are to be 64");
}

#[test]
fn maps_of_another_version_are_not_used() {
    let older = |_: &Daemon, pins: &Path| {
        let entry = fs::read_dir(pins).expect("it is ours").next().expect("a version");
        let own = entry.expect("readable").path();
        fs::rename(own, pins.join("abi-6")).expect("it is ours");
    };
    starts_clean("older", older, "version 6 of the kernel ABI, and this shedder has");
}

#[test]
fn a_missing_map_is_named() {
    let lose = |_: &Daemon, pins: &Path| {
        let entry = fs::read_dir(pins).expect("it is ours").next().expect("a version");
        fs::remove_file(entry.expect("readable").path().join("map-COUNTERS")).expect("ours");
    };
    starts_clean("missing", lose, "its map COUNTERS is missing");
}

/// Callers are numbers in the kernel. One that has the number of another now has none of its breakers.
#[test]
fn nobody_inherits_the_breakers_of_another() {
    let (_directory, _bpffs, node) = bpffs();
    let (mut first, first_cgroup) = caller("testator");
    let (mut second, second_cgroup) = caller("stranger");
    let bad = backend(Behaviour::Refuse);
    let text = policy(&first_cgroup, &[bad.addr()], LASTING);
    let mut daemon = start(&(node.clone() + &text));
    drop(open(&daemon, &mut first, bad.addr()));
    bad.set(Behaviour::Healthy).expect("it lives");
    stop(&mut daemon, libc::SIGTERM);
    let elsewhere = policy(&second_cgroup, &["127.0.0.1:9".parse().expect("good")], LASTING);
    let other = elsewhere.replace("\"app\"", "\"other\"");
    fs::write(daemon.policy_file(), node + &other).expect("it is ours");
    let again = start_again(&daemon);
    for caller in [&mut first, &mut second] {
        assert_all_answered(&caller.call_many(bad.addr(), 3, PATIENCE).expect("it lives"));
    }
    assert_eq!(again.status().expect("it answers").breakers.len(), 1);
}

/// A connection that is older than the daemon is measured on: its tag outlives both.
#[test]
fn connections_are_measured_on() {
    let (_directory, _bpffs, node) = bpffs();
    let (mut caller, cgroup) = caller("lasting");
    let slow = backend(Behaviour::Healthy);
    let mut daemon = start(&(node + &policy(&cgroup, &[slow.addr()], LASTING)));
    assert_all_answered(&caller.call_many(slow.addr(), 3, PATIENCE).expect("it lives"));
    slow.set(Behaviour::Slow(Duration::from_secs(3))).expect("it lives");
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| caller.call(slow.addr(), PATIENCE));
        wait_until(&daemon, slow.addr(), |breaker| breaker.allowed_total == 4);
        stop(&mut daemon, libc::SIGTERM);
        let again = start_again(&daemon);
        assert!(calling.join().expect("it ends").expect("it lives").answered());
        let breaker = wait_until(&again, slow.addr(), |it| it.outcomes.answered == 4);
        assert_eq!(breaker.allowed_total, 4);
    });
}

/// What only the earlier policy guarded is let go of.
#[test]
fn cgroups_that_are_guarded_no_more_are_detached() {
    let (_directory, bpffs, node) = bpffs();
    let (_one, first) = caller("first");
    let second = Cgroup::new("second").expect("a cgroup");
    let endpoint = "127.0.0.1:9".parse().expect("an address");
    let mut daemon = start(&(node.clone() + &policy(&first, &[endpoint], LASTING)));
    stop(&mut daemon, libc::SIGTERM);
    assert_eq!(programs(&first, Hook::Connect4).expect("root may ask"), 1);
    let text = node + &policy(&second, &[endpoint], LASTING);
    fs::write(daemon.policy_file(), text).expect("it is ours");
    let again = start_again(&daemon);
    wait_until_detached(&first, Hook::Connect4);
    assert_eq!(programs(&second, Hook::Connect4).expect("root may ask"), 1);
    assert_eq!(bpffs.links().expect("they can be listed").len(), 5);
    drop(again);
}

/// `shedder detach`, also after a crash; not while a daemon runs.
#[test]
fn detaching_leaves_nothing() {
    let (_directory, bpffs, node) = bpffs();
    let (mut caller, cgroup) = caller("detached");
    let bad: Backend = backend(Behaviour::Refuse);
    let mut daemon = start(&(node + &policy(&cgroup, &[bad.addr()], LASTING)));
    drop(open(&daemon, &mut caller, bad.addr()));
    bad.set(Behaviour::Healthy).expect("it lives");
    let pins = bpffs.pins();
    let detach = || {
        let program = shedder_tests::daemon::program().expect("it is built");
        let mut command = std::process::Command::new(program);
        command.arg("detach").arg("--pin-dir").arg(&pins).output().expect("it runs")
    };
    let output = detach();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("holds the links of a shedder that runs"), "{said}");
    stop(&mut daemon, libc::SIGKILL);
    let call = caller.call(bad.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "still in force");
    let output = detach();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(said.starts_with("5 links removed"), "{said}");
    assert!(!pins.exists());
    for hook in [Hook::Connect4, Hook::Connect6, Hook::SockOps, Hook::Ingress, Hook::Egress] {
        wait_until_detached(&cgroup, hook);
    }
    assert!(caller.call(bad.addr(), PATIENCE).expect("it lives").answered());
    assert!(String::from_utf8_lossy(&detach().stdout).starts_with("nothing was attached"));
}

/// The kernel lets go of a link whose pin was removed by a worker of its own, a moment later.
fn wait_until_detached(cgroup: &Cgroup, hook: Hook) {
    wait_for(&format!("{hook:?} is detached"), || {
        programs(cgroup, hook).expect("root may ask") == 0
    });
}
