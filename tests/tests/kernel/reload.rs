//! The policy file changes while the daemon runs: what stays is untouched, what changes acts at once.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use shedder_tests::attached::{Hook, programs};
use shedder_tests::backend::Behaviour;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_user::api::model::{EventKind, Fates, Reloaded};

use crate::scene::{
    LASTING, PATIENCE, WATCH, assert_all_answered, backend, caller, open, policy, policy_for,
    wait_for,
};

/// Only orders have the file read again.
pub(crate) const UNWATCHED: &str = "[node]\nwatch = false\n";

/// Replaces the policy file, as an editor does.
pub(crate) fn write(daemon: &Daemon, text: &str) {
    let file = daemon.policy_file();
    let new = file.with_extension("new");
    fs::write(&new, text).expect("it is writable");
    fs::rename(&new, &file).expect("it is ours");
}

pub(crate) fn reload(daemon: &Daemon, text: &str) -> Reloaded {
    write(daemon, text);
    let answer = daemon.succeed(&["reload", "--json"]).expect("root may");
    serde_json::from_str(&answer).expect("JSON")
}

/// One more service of the caller `app`, whose needs are others: UDP, and other peers to be shown.
fn besides(endpoint: SocketAddr) -> String {
    format!(
        "[[service]]\nname = \"other\"\nudp = true\nendpoints = [\"{endpoint}\"]\n[[policy]]\ncaller = \"app\"\nservice = \"other\"\nmode = \"enforce\"\nopen = {{ action = \"redirect\" }}\n"
    )
}

pub(crate) fn unwatched(cgroup: &Cgroup, endpoints: &[SocketAddr], rules: &str) -> String {
    format!("{UNWATCHED}{}", policy(cgroup, endpoints, rules))
}

/// `HAProxy` let traffic through to a server that was down, for half a second after a reload.
#[test]
fn an_open_breaker_admits_no_connect_over_a_reload_that_adds_a_service() {
    let (mut caller, cgroup) = caller("reload-open");
    let [sick, other] = [Behaviour::Refuse, Behaviour::Refuse].map(backend);
    let text = unwatched(&cgroup, &[sick.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = open(&daemon, &mut caller, sick.addr());
    let before = daemon.breaker(sick.addr()).expect("it has one");
    let said = reload(&daemon, &format!("{text}{}", besides(other.addr())));
    assert_eq!(said.changes, ["service other added", "policy app:other added: enforces"]);
    assert_eq!(said.breakers, Fates { kept: 1, added: 1, ..Fates::default() });
    assert_eq!((said.applied, said.generation), (true, 2));
    sick.set(Behaviour::Healthy).expect("it lives");
    let calls = caller.call_many(sick.addr(), 20, PATIENCE).expect("it lives");
    assert!(calls.iter().all(|call| !call.answered()));
    let after = daemon.breaker(sick.addr()).expect("it has one");
    assert_eq!(after.shed_total, before.shed_total + 20);
    assert_eq!((after.allowed_total, sick.accepted()), (before.allowed_total, 0));
    assert_eq!((after.since, after.level, after.next), (before.since, before.level, before.next));
    // What is new is guarded, and what happened is told in this order.
    caller.call_many(other.addr(), 10, PATIENCE).expect("it lives");
    let first = events.wait_for(|event| {
        let is_transition = matches!(event.kind, EventKind::Transition { .. });
        let is_reload = matches!(event.kind, EventKind::Reloaded { generation: 2, .. });
        (is_transition || is_reload).then_some(is_reload)
    });
    assert!(first.expect("it is told"), "the reload opened or closed something");
    wait_for("the new service has evidence", || {
        daemon.breaker(other.addr()).is_ok_and(|breaker| breaker.outcomes.refused > 0)
    });
    let node = daemon.status().expect("it answers").node;
    assert_eq!((node.generation, node.reload_error), (2, None));
}

/// Programs of the caller's cgroup come and go with the other service, fifty times.
#[test]
fn no_connect_is_lost_or_uncounted_over_fifty_reloads() {
    let (mut caller, cgroup) = caller("reload-traffic");
    let [steady, other] = [Behaviour::Healthy, Behaviour::Healthy].map(backend);
    let text = unwatched(&cgroup, &[steady.addr()], WATCH);
    let daemon = Daemon::start(&text).expect("it starts");
    let is_over = Arc::new(AtomicBool::new(false));
    let (addr, flag) = (steady.addr(), Arc::clone(&is_over));
    let traffic = thread::spawn(move || {
        let mut calls = Vec::new();
        while !flag.load(Ordering::Relaxed) {
            calls.extend(caller.call_many(addr, 20, PATIENCE).expect("it lives"));
        }
        calls
    });
    let with = format!("{text}{}", besides(other.addr()));
    for round in 0..50 {
        let said = reload(&daemon, if round % 2 == 0 { &with } else { &text });
        assert_eq!((said.applied, said.breakers.kept), (true, 1), "{said:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    let calls = traffic.join().expect("it ends");
    assert_all_answered(&calls);
    let breaker = daemon.breaker(addr).expect("it has one");
    assert_eq!(breaker.allowed_total, calls.len() as u64);
    wait_for("every answer is counted", || {
        daemon.breaker(addr).is_ok_and(|breaker| breaker.outcomes.answered == calls.len() as u64)
    });
    assert_eq!(daemon.status().expect("it answers").node.generation, 51);
    assert_eq!(programs(&cgroup, Hook::SendMsg4).expect("root"), 0);
}

#[test]
fn an_endpoint_that_is_removed_passes_and_begins_afresh_when_it_is_back() {
    let (mut caller, cgroup) = caller("reload-gone");
    let [stays, goes] = [Behaviour::Healthy, Behaviour::Healthy].map(backend);
    let both = unwatched(&cgroup, &[stays.addr(), goes.addr()], LASTING);
    let daemon = Daemon::start(&both).expect("it starts");
    let events = daemon.events().expect("it answers");
    daemon.succeed(&["trip", &goes.addr().to_string()]).expect("root");
    assert!(!caller.call(goes.addr(), PATIENCE).expect("it lives").answered());
    let said = reload(&daemon, &unwatched(&cgroup, &[stays.addr()], LASTING));
    assert_eq!(said.breakers, Fates { kept: 1, removed: 1, ..Fates::default() });
    assert_all_answered(&caller.call_many(goes.addr(), 20, PATIENCE).expect("it lives"));
    let endpoint = goes.addr().to_string();
    let forgotten = events.wait_for(|event| {
        let EventKind::Forgotten { endpoint: gone, .. } = &event.kind else { return None };
        (*gone == endpoint).then(|| event.text.clone())
    });
    assert!(forgotten.expect("it is told").ends_with("the policy no longer has it"));
    assert_eq!(daemon.status().expect("it answers").node.endpoints, 1);
    assert_eq!(reload(&daemon, &both).breakers, Fates { kept: 1, added: 1, ..Fates::default() });
    let breaker = daemon.breaker(goes.addr()).expect("it has one");
    assert_eq!((breaker.state.as_str(), breaker.allowed_total), ("closed", 0));
}

#[test]
fn observe_and_enforce_act_at_once_and_keep_what_was_found() {
    let (mut caller, cgroup) = caller("reload-mode");
    let sick = backend(Behaviour::Refuse);
    let enforcing = unwatched(&cgroup, &[sick.addr()], LASTING);
    let observing = enforcing.replace("\"enforce\"", "\"observe\"");
    let daemon = Daemon::start(&observing).expect("it starts");
    drop(open(&daemon, &mut caller, sick.addr()));
    sick.set(Behaviour::Healthy).expect("it lives");
    assert_all_answered(&caller.call_many(sick.addr(), 5, PATIENCE).expect("it lives"));
    let said = reload(&daemon, &enforcing);
    assert_eq!(said.changes, ["policy app:db: mode observe -> enforce"]);
    assert_eq!(said.breakers, Fates { changed: 1, ..Fates::default() });
    let calls = caller.call_many(sick.addr(), 5, PATIENCE).expect("it lives");
    assert!(calls.iter().all(|call| !call.answered()));
    let breaker = daemon.breaker(sick.addr()).expect("it has one");
    assert_eq!(
        (breaker.state.as_str(), breaker.would_shed_total, breaker.shed_total),
        ("open", 10, 5)
    );
    reload(&daemon, &observing);
    assert_all_answered(&caller.call_many(sick.addr(), 5, PATIENCE).expect("it lives"));
}

/// The kernel knows callers by number.
#[test]
fn callers_and_services_may_stand_in_any_order() {
    let [(mut first, here), (mut second, there)] = ["reload-a", "reload-b"].map(caller);
    let (_third, elsewhere) = caller("reload-c");
    let healthy = backend(Behaviour::Healthy);
    let callers = [("a", &here), ("b", &there)];
    let text = |callers: &[(&str, &Cgroup)]| {
        format!("{UNWATCHED}{}", policy_for(callers, &[healthy.addr()], LASTING))
    };
    let daemon = Daemon::start(&text(&callers)).expect("it starts");
    daemon.succeed(&["trip", &healthy.addr().to_string(), "--caller", "a"]).expect("root");
    let said = reload(&daemon, &text(&[("b", &there), ("c", &elsewhere), ("a", &here)]));
    assert_eq!(said.changes, ["caller c added", "policy c:db added: enforces"]);
    assert_eq!(said.breakers, Fates { kept: 2, added: 1, ..Fates::default() });
    assert!(!first.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    assert_all_answered(&second.call_many(healthy.addr(), 3, PATIENCE).expect("it lives"));
    // Order alone is no change.
    let said = reload(&daemon, &text(&[("a", &here), ("c", &elsewhere), ("b", &there)]));
    assert_eq!((said.applied, said.generation, said.changes.len()), (false, 2, 0));
    let breakers = daemon.status().expect("it answers").breakers;
    let allowed = breakers.iter().map(|it| (it.caller.as_str(), it.allowed_total, it.shed_total));
    assert_eq!(allowed.collect::<Vec<_>>(), [("a", 0, 1), ("b", 3, 0), ("c", 0, 0)]);
}

/// What was found in a network is kept with the network, and goes with it.
#[test]
fn networks_are_watched_for_as_the_file_says() {
    let (mut caller, cgroup) = caller("reload-network");
    let healthy = backend(Behaviour::Healthy);
    let network = format!("127.0.0.0/8:{}", healthy.addr().port());
    let text = unwatched(&cgroup, &[healthy.addr()], LASTING);
    let with = text.replace(&healthy.addr().to_string(), &network);
    let without = text.replace(&healthy.addr().to_string(), "192.0.2.1:1");
    let daemon = Daemon::start(&with).expect("it starts");
    let mut found = || {
        assert_all_answered(&caller.call_many(healthy.addr(), 1, PATIENCE).expect("it lives"));
        daemon.breaker(healthy.addr()).is_ok()
    };
    wait_for("it is discovered", &mut found);
    let said = reload(&daemon, &with.replace("base = \"10m\"", "base = \"9m\""));
    assert_eq!(said.breakers, Fates { changed: 1, ..Fates::default() });
    let said = reload(&daemon, &without);
    assert_eq!(said.breakers, Fates { added: 1, removed: 1, ..Fates::default() });
    assert!(!found());
    reload(&daemon, &with);
    wait_for("it is discovered again", &mut found);
}

/// A name need not be looked up again for its addresses to be known.
#[test]
fn what_a_name_stands_for_is_kept_with_the_name() {
    let (mut caller, cgroup) = caller("reload-name");
    let healthy = backend(Behaviour::Healthy);
    let text = unwatched(&cgroup, &[healthy.addr()], LASTING);
    let name = format!("localhost:{}", healthy.addr().port());
    let named = text.replace(&healthy.addr().to_string(), &name);
    let daemon = Daemon::start(&named).expect("it starts");
    wait_for("it is looked up", || daemon.breaker(healthy.addr()).is_ok());
    daemon.succeed(&["trip", &healthy.addr().to_string()]).expect("root");
    let known = daemon.status().expect("it answers").breakers.len();
    let said = reload(&daemon, &named.replace("base = \"10m\"", "base = \"9m\""));
    assert_eq!(said.breakers, Fates { changed: known, ..Fates::default() });
    assert!(!caller.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    let said = reload(&daemon, &named.replace(&name, "192.0.2.1:1"));
    assert_eq!((said.breakers.removed, said.breakers.added), (known, 1));
    assert_all_answered(&caller.call_many(healthy.addr(), 3, PATIENCE).expect("it lives"));
}

#[test]
fn what_cannot_be_taken_up_changes_nothing() {
    let (mut caller, cgroup) = caller("reload-refused");
    let healthy = backend(Behaviour::Healthy);
    let text = unwatched(&cgroup, &[healthy.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    daemon.succeed(&["trip", &healthy.addr().to_string()]).expect("root");
    let line = text.lines().position(|line| line.starts_with("mode")).expect("it has a mode") + 1;
    let file = daemon.policy_file();
    let nowhere = format!("{}/nowhere", cgroup.name());
    let rtt = "latency = { signal = \"rtt\", quantile = 0.99, over = \"1s\" }, consecutive = 3";
    let rtt = text.replace("consecutive = 3", rtt);
    for (broken, place) in [
        (text.replace("\"enforce\"", "\"inforce\""), format!("{}:{line}:", file.display())),
        (text.replace("[node]", "[node]\nmax_endpoints = 7"), "max_endpoints in [node]".to_owned()),
        (text.replace(cgroup.name(), &nowhere), format!("there is no cgroup {nowhere}")),
        (rtt, "restart the daemon, which does not measure them".to_owned()),
        (String::new(), "nothing would be guarded".to_owned()),
    ] {
        write(&daemon, &broken);
        for arguments in [&["reload", "--check"][..], &["reload"]] {
            let output = daemon.command(arguments).expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(&place) && said.lines().count() == 1, "{said}");
        }
        let error = daemon.status().expect("it answers").node.reload_error;
        assert!(error.is_some_and(|error| error.contains(&place)), "{place}");
        assert!(!caller.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    }
    let past = daemon.succeed(&["events"]).expect("it answers");
    assert_eq!(past.matches("policy file not taken up").count(), 5, "{past}");
    let said = reload(&daemon, &text);
    assert_eq!((said.applied, said.generation), (false, 1));
    assert_eq!(daemon.status().expect("it answers").node.reload_error, None);
}

#[test]
fn what_a_reload_would_do_can_be_asked() {
    let (mut caller, cgroup) = caller("reload-check");
    let healthy = backend(Behaviour::Healthy);
    let text = unwatched(&cgroup, &[healthy.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    daemon.succeed(&["trip", &healthy.addr().to_string()]).expect("root");
    write(
        &daemon,
        &text.replace("\"enforce\"", "\"observe\"").replace("base = \"10m\"", "base = \"9m\""),
    );
    let said = daemon.succeed(&["reload", "--check"]).expect("root may");
    assert_eq!(
        said,
        "policy app:db: mode enforce -> observe\npolicy app:db: open changed\n\
         breakers: 0 untouched, 1 under a changed policy, 0 added, 0 removed\n\
         nothing was changed; generation 1 stays in force\n"
    );
    assert!(!caller.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    let said = daemon.succeed(&["reload"]).expect("root may");
    assert!(said.ends_with("generation 2 is in force\n"), "{said}");
    let said = daemon.succeed(&["reload"]).expect("root may");
    assert_eq!(said, "nothing is different; generation 2 stays in force\n");
}
