//! What happened is on the disk, all of it, and by whom (AT-12).

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::{Daemon, command};
use shedder_user::api::model::{By, Event, EventKind, Order};

use crate::metrics::{scrape, with_pages};
use crate::reload::{UNWATCHED, write};
use crate::scene::{LASTING, backend, caller, open, policy, wait_for};

/// The events in the files of a journal, oldest first. Each line must be whole.
pub(crate) fn journal(directory: &Path) -> Vec<Event> {
    let numbered = (1..10).rev().map(|number| format!("journal.jsonl.{number}"));
    let files = numbered.chain(["journal.jsonl".to_owned()]);
    let texts = files.filter_map(|file| fs::read_to_string(directory.join(file)).ok());
    texts.flat_map(|text| text.lines().map(parse).collect::<Vec<_>>()).collect()
}

/// Asserts that no event is missing between the first and the last.
pub(crate) fn assert_gapless(events: &[Event]) {
    let numbers: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    let first = numbers.first().copied().expect("there are some");
    assert_eq!(numbers, (first..).take(numbers.len()).collect::<Vec<_>>());
}

fn parse(line: &str) -> Event {
    serde_json::from_str(line).expect(line)
}

fn stop(daemon: &mut Daemon) {
    daemon.signal(libc::SIGTERM);
    assert!(daemon.wait().expect("it ends").success());
}

/// Gives an order and returns the process that gave it.
fn order(daemon: &Daemon, arguments: &[&str]) -> u32 {
    let mut command = command(arguments, &daemon.socket()).expect("it is built");
    let mut process = command.stdout(Stdio::null()).spawn().expect("it runs");
    assert!(process.wait().expect("it ends").success());
    process.id()
}

/// AT-12: all of them, and who gave the orders.
#[test]
fn every_transition_override_and_reload_is_a_line() {
    let (mut caller, cgroup) = caller("audit");
    let [sick, other] = [Behaviour::Refuse, Behaviour::Healthy].map(backend);
    let rules = LASTING;
    let text = with_pages("watch = false", &cgroup, &[sick.addr(), other.addr()], rules);
    let mut daemon = Daemon::start(&text).expect("it starts");
    drop(open(&daemon, &mut caller, sick.addr()));
    let endpoint = other.addr().to_string();
    let pids = [
        order(&daemon, &["trip", &endpoint, "--for", "1h"]),
        order(&daemon, &["hold", &endpoint]),
        order(&daemon, &["reset", &endpoint]),
    ];
    write(&daemon, &text.replace("base = \"10m\"", "base = \"9m\""));
    let reloader = order(&daemon, &["reload"]);
    write(&daemon, "nonsense");
    daemon.signal(libc::SIGHUP);
    wait_for("the reload is rejected", || {
        daemon.status().expect("it answers").node.reload_error.is_some()
    });
    let page = scrape(&daemon);
    stop(&mut daemon);

    let events = journal(&daemon.state_dir());
    assert_gapless(&events);
    let kinds = |wanted: &str| events.iter().filter(|it| it.kind.name() == wanted).count();
    assert_eq!((events[0].kind.name(), kinds("started")), ("started", 1));
    assert_eq!((events.last().expect("some").kind.name(), kinds("stopping")), ("stopping", 1));

    let told: Vec<&str> = events
        .iter()
        .filter_map(|event| {
            let EventKind::Transition { to, .. } = &event.kind else { return None };
            Some(to.as_str())
        })
        .collect();
    assert_eq!(told, ["open", "forced_open", "forced_closed", "closed"]);
    let counted = page.text.lines().filter(|it| it.starts_with("shedder_transitions_total{"));
    let counted: f64 =
        counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
    assert!((counted - 4.0).abs() < 1e-9, "100 % of {counted}");

    let overrides: Vec<_> = events
        .iter()
        .filter_map(|event| {
            let EventKind::Override { order, for_ms, by, breakers } = &event.kind else {
                return None;
            };
            assert_eq!(breakers.len(), 1);
            assert_eq!(breakers[0].endpoint, endpoint);
            assert_eq!((by.uid, by.process.as_deref()), (Some(0), Some("shedder")));
            Some((*order, *for_ms, by.pid.expect("it is known")))
        })
        .collect();
    let expected = [
        (Order::Trip, Some(3_600_000), pids[0]),
        (Order::Hold, Some(300_000), pids[1]),
        (Order::Reset, None, pids[2]),
    ];
    assert_eq!(overrides, expected);

    let reloads: Vec<&By> = events
        .iter()
        .filter_map(|event| {
            let (EventKind::Reloaded { by, .. } | EventKind::ReloadFailed { by, .. }) = &event.kind
            else {
                return None;
            };
            by.as_ref()
        })
        .collect();
    assert_eq!((reloads[0].via.as_str(), reloads[0].pid), ("socket", Some(reloader)));
    assert_eq!((reloads[1], reloads.len()), (&By::signal(), 2));
    assert_eq!((kinds("reloaded"), kinds("reload_failed")), (1, 1));
}

#[test]
fn a_change_of_the_file_is_the_files_own() {
    let (_caller, cgroup) = caller("audit-file");
    let text = policy(&cgroup, &[backend(Behaviour::Healthy).addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    write(&daemon, &text.replace("base = \"10m\"", "base = \"9m\""));
    let by = events.wait_for(|event| {
        let EventKind::Reloaded { by, .. } = &event.kind else { return None };
        Some(by.clone())
    });
    assert_eq!(by.expect("it is taken up"), Some(By::file()));
}

#[test]
fn the_journal_is_for_root_and_the_group() {
    let (_caller, cgroup) = caller("journal-mode");
    let endpoint = backend(Behaviour::Healthy).addr();
    let node = "[node]\nsocket_group = \"nogroup\"\n";
    let mut daemon =
        Daemon::start(&(node.to_owned() + &policy(&cgroup, &[endpoint], LASTING))).expect("starts");
    stop(&mut daemon);
    for (path, mode) in [(daemon.state_dir(), 0o750), (daemon.state_dir().join(CURRENT), 0o640)] {
        let metadata = fs::metadata(&path).expect("it is there");
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.uid()), (mode, 0));
        assert_eq!(metadata.gid(), 65_534, "{}", path.display());
    }
}

/// After a kill in the middle of a line the next daemon knows what was, and goes on after it.
#[test]
fn a_daemon_goes_on_where_the_one_before_was_killed() {
    let (mut caller, cgroup) = caller("journal-torn");
    let sick = backend(Behaviour::Refuse);
    let text = UNWATCHED.to_owned() + &policy(&cgroup, &[sick.addr()], LASTING);
    let mut daemon = Daemon::start(&text).expect("it starts");
    drop(open(&daemon, &mut caller, sick.addr()));
    wait_for("the trip is written", || {
        journal(&daemon.state_dir()).iter().any(|event| event.kind.name() == "transition")
    });
    daemon.signal(libc::SIGKILL);
    daemon.wait().expect("it dies");
    let before = journal(&daemon.state_dir());
    let path = daemon.state_dir().join(CURRENT);
    let mut file = OpenOptions::new().append(true).open(&path).expect("it is there");
    file.write_all(b"{\"sequence\":99,\"at\":\"20").expect("it is ours");

    let mut again = Daemon::start_at(&daemon, &[]).expect("it starts");
    let told = again.succeed(&["events"]).expect("it answers");
    assert!(told.contains("closed -> open, because 3 failures in a row"), "{told}");
    stop(&mut again);
    let after = journal(&daemon.state_dir());
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()].kind, EventKind::Started);
    assert_gapless(&after);
    let torn = fs::read_to_string(daemon.state_dir().join("journal.torn")).expect("it is kept");
    assert_eq!(torn, "{\"sequence\":99,\"at\":\"20");
}

/// Many events, small files: of the last files none is too large, and no event is missing in them.
#[test]
fn files_are_put_aside_and_few_are_kept() {
    let (_caller, cgroup) = caller("journal-full");
    let endpoint = backend(Behaviour::Healthy).addr();
    let node = "[node]\nwatch = false\njournal = { max_kib = 16, files = 3 }\n";
    let text = node.to_owned() + &policy(&cgroup, &[endpoint], LASTING);
    let mut daemon = Daemon::start(&text).expect("it starts");
    for _ in 0..60 {
        order(&daemon, &["trip", &endpoint.to_string()]);
        order(&daemon, &["reset", &endpoint.to_string()]);
    }
    // A smaller number holds from the next file on, without a restart.
    let files = || -> Vec<u64> {
        let entries = fs::read_dir(daemon.state_dir()).expect("it is there");
        let entries = entries.map(|entry| entry.expect("it is there"));
        let files = entries.filter(|it| it.file_name().to_string_lossy().starts_with(CURRENT));
        files.map(|file| file.metadata().expect("it is there").len()).collect()
    };
    wait_for("there are three files", || files().len() == 3);
    assert!(files().iter().all(|len| *len <= 16 * 1024), "{:?}", files());
    write(&daemon, &text.replace("files = 3", "files = 2"));
    order(&daemon, &["reload"]);
    for _ in 0..30 {
        order(&daemon, &["trip", &endpoint.to_string()]);
    }
    wait_for("there are two files", || files().len() == 2);
    stop(&mut daemon);
    let events = journal(&daemon.state_dir());
    assert_gapless(&events);
    assert!(events[0].sequence > 1 && events.len() > 30, "{}", events.len());
}

const CURRENT: &str = "journal.jsonl";
