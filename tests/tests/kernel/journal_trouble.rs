//! Where the journal cannot be written, breakers go on, and it is said once, counted, and taken up again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use shedder_tests::backend::Behaviour;
use shedder_tests::bpf_fs::BpfFs;
use shedder_tests::daemon::Daemon;
use shedder_user::api::model::{Event, EventKind};

use crate::journal::{assert_gapless, journal};
use crate::metrics::{scrape, scrape_until, with_pages};
use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, wait_for};

/// A file system of very few pages.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(directory: &Path) -> Self {
        let path = directory.join("tiny");
        fs::create_dir(&path).expect("a fresh directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&path);
        assert!(mount.status().expect("mount runs").success(), "a tmpfs can be mounted");
        Self(path)
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("it is ours");
        while file.write(&[0; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).expect("it is ours");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| event.kind.name() == kind).count()
}

#[test]
fn a_full_disk_stops_neither_connects_nor_breakers() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Tmpfs::mount(directory.path());
    let (mut caller, cgroup) = caller("disk-full");
    let [sick, well] = [Behaviour::Refuse, Behaviour::Healthy].map(backend);
    let state = disk.0.join("state");
    let node = format!("watch = false\nstate_dir = \"{}\"", state.display());
    let text = with_pages(&node, &cgroup, &[sick.addr(), well.addr()], LASTING);
    let mut daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    wait_for("the journal has begun", || !journal(&state).is_empty());
    disk.fill();

    caller.call_many(sick.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(sick.addr(), "open").expect("it opens");
    let mut is_told = false;
    // Enough for many pages.
    for _ in 0..20 {
        daemon.succeed(&["trip", &well.addr().to_string()]).expect("root");
        daemon.succeed(&["reset", &well.addr().to_string()]).expect("root");
        assert_all_answered(&caller.call_many(well.addr(), 1, PATIENCE).expect("it lives"));
        assert!(!caller.call(sick.addr(), PATIENCE).expect("it lives").answered());
        is_told |= daemon.status().expect("it answers").node.journal_error.is_some();
    }
    let told = events.wait_for(|event| {
        let is_it = event.kind == EventKind::Error && event.text.contains("cannot be written");
        is_it.then(|| event.text.clone())
    });
    let told = told.expect("it is told");
    assert!(told.contains("No space left") && told.contains(state.to_str().expect("text")));
    assert!(is_told || daemon.status().expect("it answers").node.journal_error.is_some());
    let said = daemon.succeed(&["status"]).expect("it answers");
    assert!(said.contains("note: events are not written to the journal: No space left"), "{said}");
    // It is tried again and again, but said once.
    wait_for("it was tried again", || {
        scrape(&daemon).value("shedder_journal_errors_total").is_some_and(|errors| errors >= 2.0)
    });
    let past = daemon.succeed(&["events"]).expect("it answers");
    assert_eq!(past.matches("cannot be written").count(), 1, "{past}");
    assert_eq!(daemon.log().matches("cannot be written").count(), 1);

    disk.empty();
    let notice = events.wait_for(|event| {
        let EventKind::Notice { notice, .. } = &event.kind else { return None };
        (notice == "journal").then(|| event.text.clone())
    });
    assert!(notice.expect("it is told").contains("lost since the start: 0"));
    assert_eq!(daemon.status().expect("it answers").node.journal_error, None);
    let lost = "shedder_journal_events_total{outcome=\"lost\"}";
    scrape_until(&daemon, lost, 0.0);
    daemon.signal(libc::SIGTERM);
    daemon.wait().expect("it ends");
    // What waited is there, in its order, and no line is torn, nor was one for a while.
    assert!(!state.join("journal.torn").exists());
    let events = journal(&state);
    assert_gapless(&events);
    assert_eq!((count(&events, "override"), count(&events, "transition")), (40, 41));
}

/// Full from the beginning, and while one daemon hands over to the next.
#[test]
fn a_full_disk_keeps_no_daemon_from_starting_or_handing_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let (disk, bpffs) = (
        Tmpfs::mount(directory.path()),
        BpfFs::mount(directory.path()).expect("it can be mounted"),
    );
    let (mut caller, cgroup) = caller("disk-full-start");
    let sick = backend(Behaviour::Refuse);
    let (state, pins) = (disk.0.join("state"), bpffs.pins());
    let node = format!(
        "watch = false\nverdict_ttl = \"60s\"\nstate_dir = \"{}\"\npin_dir = \"{}\"",
        state.display(),
        pins.display()
    );
    let text = with_pages(&node, &cgroup, &[sick.addr()], LASTING);
    disk.fill();
    let keep = ["--detach-on-exit=false"];
    let mut daemon = Daemon::start_with(&text, &keep).expect("it starts");
    caller.call_many(sick.addr(), 3, PATIENCE).expect("it lives");
    wait_for("it opens", || daemon.breaker(sick.addr()).is_ok_and(|it| it.state == "open"));
    sick.set(Behaviour::Healthy).expect("it lives");
    let in_trouble =
        |daemon: &Daemon| daemon.status().is_ok_and(|it| it.node.journal_error.is_some());
    wait_for("it is told", || in_trouble(&daemon));
    daemon.signal(libc::SIGTERM);
    daemon.wait().expect("it ends");
    assert!(!caller.call(sick.addr(), PATIENCE).expect("it lives").answered());

    let again = Daemon::start_at(&daemon, &keep).expect("it starts again");
    assert_eq!(again.breaker(sick.addr()).expect("it has one").state, "open");
    assert!(!caller.call(sick.addr(), PATIENCE).expect("it lives").answered());
    wait_for("it is told", || in_trouble(&again));
    disk.empty();
    wait_for("it is written again", || !in_trouble(&again));
    assert_gapless(&journal(&state));
    assert_eq!(count(&journal(&state), "took_over"), 1);
}

#[test]
fn a_directory_that_cannot_be_made_is_told_and_the_daemon_guards() {
    let directory = tempfile::tempdir().expect("a directory");
    let obstacle = directory.path().join("file");
    fs::write(&obstacle, "precious").expect("it is ours");
    let (mut caller, cgroup) = caller("disk-none");
    let sick = backend(Behaviour::Refuse);
    let node = format!("state_dir = \"{}/state\"", obstacle.display());
    let text = with_pages(&node, &cgroup, &[sick.addr()], LASTING);
    let mut daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    let told = events
        .wait_for(|event| event.text.contains("cannot be written").then(|| event.text.clone()));
    assert!(told.expect("it is told").contains("Not a directory"));
    caller.call_many(sick.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(sick.addr(), "open").expect("it opens");
    // What is in the way goes, and everything that waited is written.
    fs::remove_file(&obstacle).expect("it is ours");
    events.wait_for(|event| event.text.contains("is written again").then_some(())).expect("it is");
    daemon.signal(libc::SIGTERM);
    daemon.wait().expect("it ends");
    let events = journal(&obstacle.join("state"));
    assert_eq!((events[0].sequence, count(&events, "transition")), (1, 1));
    assert_gapless(&events);
}

/// Whoever wants none has none.
#[test]
fn without_a_journal_nothing_is_written() {
    let (_caller, cgroup) = caller("disk-off");
    let endpoint = backend(Behaviour::Healthy).addr();
    let text = with_pages("state_dir = \"\"", &cgroup, &[endpoint], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    daemon.succeed(&["trip", &endpoint.to_string()]).expect("root");
    let past = daemon.succeed(&["events"]).expect("it answers");
    assert!(past.contains("tripped app calling db"), "{past}");
    let page = scrape(&daemon);
    for outcome in ["written", "lost"] {
        let series = format!("shedder_journal_events_total{{outcome=\"{outcome}\"}}");
        assert_eq!(page.value(&series), Some(0.0));
    }
    assert!(!daemon.state_dir().exists());
}
