//! `shedder record` and `shedder replay`, with a real daemon.

use std::fs::{self, File};
use std::path::Path;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use shedder_tests::recorder::Recorder;
use shedder_user::config::Config;
use shedder_user::recording::{Ending, Frame, Reader};
use shedder_user::replay::{PolicyReport, Replay, Report, Terms};
use tempfile::TempDir;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy};

/// A policy that only observed when the recording was made trips in the replay in the second in which
/// the daemon said it would, be it by a run of failures or by their share.
#[test]
fn a_replay_trips_when_the_daemon_did() {
    for rules in [LASTING, SHARE] {
        let (mut caller, cgroup) = caller("replayed");
        let backend = backend(Behaviour::Healthy);
        let text = policy(&cgroup, &[backend.addr()], rules);
        let text = text.replace("mode = \"enforce\"", "mode = \"observe\"");
        let daemon = Daemon::start(&text).expect("it starts");
        let events = daemon.events().expect("it answers");
        let directory = TempDir::new().expect("a directory can be made");
        let file = directory.path().join("it.rec");
        let recorder = Recorder::start(&daemon.socket(), &file, &[]).expect("it begins");

        let mut call = |count| caller.call_many(backend.addr(), count, PATIENCE).expect("it lives");
        for _ in 0..3 {
            assert_all_answered(&call(5));
            recorder.wait_for_bytes(1).expect("each second is told");
        }
        backend.set(Behaviour::Refuse).expect("it lives");
        call(60);
        events.wait_for_state(backend.addr(), "open").expect("it would open");
        // The second of the trip is told when it is over.
        recorder.wait_for_bytes(1).expect("it is told");
        recorder.wait_for_bytes(1).expect("it is told");
        let said = recorder.stop().expect("it ends in good order");
        assert!(said.contains("1 cells, 1 changes of state"), "{said}");

        let report = replay(&file, &text);
        assert!(report.complete, "{report:?}");
        assert_eq!((report.shed, report.recorded.refused), (0, 0), "it only observed");
        let [played] = &report.policies[..] else { unreachable!("one was asked for") };
        let (then, now) = (first_trip(&report.recorded), first_trip(played));
        assert!(then.abs_diff(now) < 1_000, "recorded at {then} ms, replayed at {now} ms");
        assert_eq!((report.faults.len(), played.faults_detected, played.flaps), (1, 1, 0));
    }
}

/// A daemon that goes away and comes back is in the file twice, and the file is whole.
#[test]
fn a_recording_outlives_the_daemon() {
    let (mut caller, cgroup) = caller("outlived");
    let backend = backend(Behaviour::Healthy);
    let text = policy(&cgroup, &[backend.addr()], LASTING);
    let mut daemon = Daemon::start(&text).expect("it starts");
    let directory = TempDir::new().expect("a directory can be made");
    let file = directory.path().join("it.rec");
    let recorder = Recorder::start(&daemon.socket(), &file, &["--service", "db"]).expect("begun");
    assert_all_answered(&caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives"));
    recorder.wait_for_bytes(100).expect("the cell is told");
    daemon.signal(libc::SIGKILL);
    daemon.wait().expect("it ends");
    let _again = Daemon::start_at(&daemon, &[]).expect("it starts again");
    recorder.wait_for_bytes(1).expect("it goes on");
    assert_all_answered(&caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives"));
    recorder.wait_for_bytes(100).expect("the cell is told again");
    let said = recorder.stop().expect("it ends in good order");
    assert!(said.contains("the daemon is back"), "{said}");

    let mut reader = Reader::new(File::open(&file).expect("it is there")).expect("it is one");
    let mut starts = 0;
    let mut connects = 0;
    while let Some(frame) = reader.read().expect("it is sound") {
        starts += u64::from(matches!(frame, Frame::Start(_)));
        if let Frame::Second { cells, .. } = frame {
            let counts = cells.iter().map(|(_, second)| second.sample.counts.connects);
            connects += counts.sum::<u64>();
        }
    }
    assert_eq!((starts, connects, reader.ending()), (2, 10, Some(Ending::Complete)));
    assert_eq!(replay(&file, &text).restarts, 1);
}

/// What stands in the way is said before a file is made, and no file is lost.
#[test]
fn a_recording_harms_no_file() {
    let (_caller, cgroup) = caller("careful");
    let backend = backend(Behaviour::Healthy);
    let text = policy(&cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let directory = TempDir::new().expect("a directory can be made");
    let path = |name: &str| directory.path().join(name);
    let run = |arguments: &[&str]| {
        let output = daemon.command(arguments).expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let dear = path("dear").display().to_string();
    fs::write(&dear, "dear").expect("it is ours");
    let (code, said) = run(&["record", &dear, "--for", "1s"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("exists already") && said.contains("--force"), "{said}");
    assert_eq!(fs::read_to_string(&dear).expect("it is there"), "dear");
    assert_eq!(run(&["record", &dear, "--for", "3s", "--force"]).0, Some(0));
    let summary = daemon.succeed(&["status"]).expect("it lives");
    assert!(summary.contains("closed"), "{summary}");

    // One that ends before the first second does would have nothing in it.
    let brief = path("brief").display().to_string();
    let (code, said) = run(&["record", &brief, "--for", "1ms"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("record for longer"), "{said}");
    assert!(!path("brief").exists());

    let new = path("new").display().to_string();
    let (code, said) = run(&["record", &new, "--service", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no service is called \"nobody\"; there are db"), "{said}");
    assert!(!path("new").exists());
}

fn replay(file: &Path, policy: &str) -> Report {
    let config = Config::parse("it.toml", policy).expect("it is good");
    let mut replay = Replay::new(vec![Terms::file("it.toml", config)]);
    let mut reader = Reader::new(File::open(file).expect("it is there")).expect("it is one");
    while let Some(frame) = reader.read().expect("it is sound") {
        replay.take(frame, reader.base());
    }
    replay.finish(reader.ending().expect("it has ended"))
}

/// In milliseconds from the beginning of the recording.
fn first_trip(policy: &PolicyReport) -> u64 {
    policy.transitions.first().expect("it trips").at_ms
}

/// Trips when half of at least ten calls fail.
const SHARE: &str = r#"
trip = { failure_share = { at_least = 0.5, min_attempts = 10, window = "10s" }, without = ["consecutive"] }
open = { base = "10m", max = "10m", jitter = 0.0 }
"#;
