//! When the daemon is gone, so are its verdicts (AT-21, S4.30).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::bpf_fs::BpfFs;
use shedder_tests::daemon::Daemon;

use crate::scene::{
    LASTING, PATIENCE, assert_all_answered, backend, caller, open, policy, wait_at_most,
};

/// The links are pinned, so the programs go on after the daemon; their verdicts do not.
#[test]
fn at_21_pinned_verdicts_expire_after_sigkill() {
    let directory = tempfile::tempdir().expect("a directory");
    let bpffs = BpfFs::mount(directory.path()).expect("it can be mounted");
    let (mut caller, cgroup) = caller("killed");
    let backend = backend(Behaviour::Refuse);
    let pins = bpffs.pins();
    let node = format!("[node]\nverdict_ttl = \"2s\"\npin_dir = \"{}\"\n", pins.display());
    let text = node + &policy(&cgroup, &[backend.addr()], LASTING);
    let mut daemon = Daemon::start_with(&text, &["--detach-on-exit=false"]).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");

    daemon.signal(libc::SIGKILL);
    daemon.wait().expect("it dies");
    let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "still enforced by the kernel");
    // No event tells of an expiry, so ask again until it has come; the time to live is two seconds.
    let mut refused = 0;
    while !caller.call(backend.addr(), PATIENCE).expect("it lives").answered() {
        refused += 1;
        assert!(refused < 2_000, "the verdict outlives its time");
        sleep(Duration::from_millis(5));
    }
    assert_all_answered(&caller.call_many(backend.addr(), 50, PATIENCE).expect("it lives"));

    // A daemon that starts again removes what the dead one left, and guards.
    backend.set(Behaviour::Refuse).expect("it lives");
    let again = Daemon::start(&text).expect("it starts after a crash");
    assert!(!pins.exists(), "no pin is left");
    drop(open(&again, &mut caller, backend.addr()));
}

/// The pins of a daemon that lives are not another's leftovers.
#[test]
fn pins_in_use_are_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let bpffs = BpfFs::mount(directory.path()).expect("it can be mounted");
    let (mut caller, cgroup) = caller("pinned");
    let (_other_caller, other_cgroup) = crate::scene::caller("other");
    let backend = backend(Behaviour::Healthy);
    let node = format!("[node]\npin_dir = \"{}\"\n", bpffs.pins().display());
    let text = node.clone() + &policy(&cgroup, &[backend.addr()], LASTING);
    let pinned = Daemon::start_with(&text, &["--detach-on-exit=false"]).expect("it starts");
    let text = node + &policy(&other_cgroup, &[backend.addr()], LASTING);
    let refused = Daemon::start_with(&text, &["--detach-on-exit=false"]).expect_err("in use");
    assert!(refused.to_string().contains("holds the links of a shedder that runs"), "{refused}");
    let other = Daemon::start(&text).expect("it needs no pins");
    pinned.succeed(&["trip", &backend.addr().to_string()]).expect("root");
    let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "still attached");
    drop((other, pinned));
    let mode = fs::metadata(bpffs.pins()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "whoever can open a pin can detach it");
    let left = bpffs.links().expect("they can be listed").len();
    assert_eq!(left, 5, "told not to detach, it leaves one link for each program");
}

/// Nothing is pinned, so the kernel detaches the programs with the process.
#[test]
fn without_pins_traffic_flows_at_once_after_sigkill() {
    let (mut caller, cgroup) = caller("unpinned");
    let backend = backend(Behaviour::Refuse);
    let mut daemon =
        Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");
    daemon.signal(libc::SIGKILL);
    daemon.wait().expect("it dies");
    assert_all_answered(&caller.call_many(backend.addr(), 50, PATIENCE).expect("it lives"));
}

/// A daemon that hangs stops renewing; its programs, alive and attached, let everything through.
#[test]
fn at_21_verdicts_of_a_stopped_daemon_expire() {
    let (mut caller, cgroup) = caller("stopped");
    let backend = backend(Behaviour::Refuse);
    let text =
        "[node]\nverdict_ttl = \"1s\"\n".to_owned() + &policy(&cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");
    daemon.signal(libc::SIGSTOP);
    let mut refused = 0;
    while !caller.call(backend.addr(), PATIENCE).expect("it lives").answered() {
        refused += 1;
        assert!(refused < 2_000, "the verdict outlives its time");
        sleep(Duration::from_millis(5));
    }
    // It comes back, and so do its verdicts.
    daemon.signal(libc::SIGCONT);
    while caller.call(backend.addr(), PATIENCE).expect("it lives").answered() {
        refused += 1;
        assert!(refused < 4_000, "the verdict is not renewed");
        sleep(Duration::from_millis(5));
    }
}

/// Only links of ours are ever removed, and only from a directory of ours.
#[test]
fn a_pin_directory_that_is_not_ours_is_refused() {
    let (_caller, cgroup) = caller("not-ours");
    let directory = tempfile::tempdir().expect("a directory");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(directory.path(), private).expect("it is ours");
    let precious = directory.path().join("precious");
    fs::write(&precious, "kept").expect("it is writable");
    let node = format!("[node]\npin_dir = \"{}\"\n", directory.path().display());
    let endpoint = "127.0.0.1:9".parse().expect("an address");
    let refused = Daemon::start(&(node + &policy(&cgroup, &[endpoint], LASTING)));
    let refused = refused.expect_err("not a bpf file system").to_string();
    assert!(refused.contains("is not in a bpf file system"), "{refused}");
    assert!(precious.exists());
}

/// A cgroup that goes takes its pins with it.
#[test]
fn pins_go_with_their_cgroup() {
    let directory = tempfile::tempdir().expect("a directory");
    let bpffs = BpfFs::mount(directory.path()).expect("it can be mounted");
    let outer = shedder_tests::cgroup::Cgroup::new("churn").expect("a cgroup");
    let pins = bpffs.pins();
    let node = format!("[node]\npin_dir = \"{}\"\n", pins.display());
    let endpoint = "127.0.0.1:9".parse().expect("an address");
    let pattern = format!("{}/job-*", outer.name());
    let text = node + &policy(&outer, &[endpoint], LASTING).replace(outer.name(), &pattern);
    let daemon = Daemon::start_with(&text, &["--detach-on-exit=false"]).expect("it starts");
    let events = daemon.events().expect("it answers");
    for job in ["job-1", "job-2"] {
        let inner = outer.child(job).expect("a cgroup");
        events.wait_for(|event| event.text.starts_with("guarding").then_some(())).expect("guarded");
        drop(inner);
        events.wait_for(|event| event.text.contains("is gone").then_some(())).expect("let go");
    }
    // A little later, so that connections that outlive the cgroup are seen to end.
    let links = || bpffs.links().expect("they can be listed");
    wait_at_most(Duration::from_secs(40), "its links go", || links().is_empty());
    assert_eq!(links(), Vec::<PathBuf>::new());
}
