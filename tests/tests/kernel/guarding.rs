//! Which cgroups are guarded, from start to stop.

use std::fs;
use std::process::Command;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_user::api::model::EventKind;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy};

#[test]
fn cgroups_are_followed_as_they_come_and_go() {
    let outer = Cgroup::new("followed").expect("a cgroup");
    let backend = backend(Behaviour::Refuse);
    let pattern = format!("{}/job-*", outer.name());
    let text = policy(&outer, &[backend.addr()], LASTING).replace(outer.name(), &pattern);
    let daemon = Daemon::start(&text).expect("a pattern may match nothing");
    let events = daemon.events().expect("it answers");
    assert!(daemon.status().expect("it answers").node.cgroups.is_empty());
    for round in ["job-1", "job-2"] {
        let inner = outer.child(round).expect("a cgroup");
        let name = inner.name().to_owned();
        let came = events.wait_for(|event| {
            let kind = &event.kind;
            matches!(kind, EventKind::Attached { cgroup, .. } if *cgroup == name).then_some(())
        });
        came.expect("it is guarded once it appears");
        let mut caller = Caller::spawn(&inner).expect("a caller starts");
        daemon.succeed(&["reset", &backend.addr().to_string()]).expect("root");
        caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
        events.wait_for_state(backend.addr(), "open").expect("it opens");
        drop(caller);
        drop(inner);
        let went = events.wait_for(|event| {
            let kind = &event.kind;
            matches!(kind, EventKind::Detached { cgroup, .. } if *cgroup == name).then_some(())
        });
        went.expect("it is let go once it is gone");
    }
}

/// A destination inside a network of the policy gets its breaker with its first connect.
#[test]
fn endpoints_of_a_network_are_discovered() {
    let (mut caller, cgroup) = caller("discover");
    let backend = backend(Behaviour::Refuse);
    let network = format!("127.0.0.0/8:{}", backend.addr().port());
    let text =
        policy(&cgroup, &[backend.addr()], LASTING).replace(&backend.addr().to_string(), &network);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    assert!(daemon.status().expect("it answers").breakers.is_empty());
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    let endpoint = backend.addr().to_string();
    let found = events.wait_for(|event| {
        let kind = &event.kind;
        matches!(kind, EventKind::Discovered { endpoint: found, .. } if *found == endpoint)
            .then_some(())
    });
    found.expect("it is discovered");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    // Another port of the same network is no concern of the policy.
    let other = crate::scene::backend(Behaviour::Healthy);
    assert_all_answered(&caller.call_many(other.addr(), 20, PATIENCE).expect("it lives"));
    assert_eq!(daemon.status().expect("it answers").breakers.len(), 1);
}

/// A name is looked up and its address gets a breaker.
#[test]
fn endpoints_given_by_name_are_looked_up() {
    let (mut caller, cgroup) = caller("named");
    let backend = backend(Behaviour::Refuse);
    let name = format!("localhost:{}", backend.addr().port());
    let text =
        policy(&cgroup, &[backend.addr()], LASTING).replace(&backend.addr().to_string(), &name);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    let endpoint = backend.addr().to_string();
    let found = events.wait_for(|event| {
        let kind = &event.kind;
        matches!(kind, EventKind::Discovered { endpoint: found, .. } if *found == endpoint)
            .then_some(())
    });
    found.expect("it is looked up");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
}

#[test]
fn every_way_to_be_stopped_detaches_and_leaves_nothing_behind() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let (mut caller, cgroup) = caller("clean");
        let backend = backend(Behaviour::Healthy);
        let mut daemon =
            Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
        daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root");
        assert!(!caller.call(backend.addr(), PATIENCE).expect("it lives").answered());
        let socket = daemon.socket();
        daemon.signal(signal);
        assert!(daemon.wait().expect("it ends").success());
        assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));
        let left: Vec<_> = fs::read_dir(socket.parent().expect("it has one"))
            .expect("it exists")
            .map(|entry| entry.expect("readable").file_name())
            .filter(|name| name.to_string_lossy().contains("sock"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn check_only_attaches_nothing() {
    let (mut caller, cgroup) = caller("check-only");
    let backend = backend(Behaviour::Healthy);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("shedder.toml");
    fs::write(&file, policy(&cgroup, &[backend.addr()], LASTING)).expect("it is writable");
    let output = Command::new(shedder_tests::daemon::program().expect("it is built"))
        .args(["run", "--check-only", "--config"])
        .arg(&file)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("would guard {} as app", cgroup.name())), "{said}");
    assert_all_answered(&caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives"));
}
