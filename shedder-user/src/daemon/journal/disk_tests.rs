//! What becomes of events while nothing can be written, and afterwards.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::disk::{Disk, GRACE, Report};
use super::files;
use super::threads::QUEUE;
use crate::api::model::{Event, EventKind};
use crate::clock;
use crate::config::JournalLimits;

const LIMITS: JournalLimits = JournalLimits { max_kib: 1024 * 1024, files: 2 };
/// Long enough for anything that is going to happen at all.
const PATIENCE: Duration = Duration::from_secs(20);

fn event(sequence: u64) -> Event {
    Event { sequence, at: "now".to_owned(), kind: EventKind::Started, text: String::new() }
}

fn written(directory: &Path) -> Vec<Event> {
    let text = fs::read_to_string(files::current(directory)).expect("it is there");
    text.lines().map(|line| serde_json::from_str(line).expect("whole")).collect()
}

#[test]
fn what_was_told_is_written_when_the_thread_has_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut disk = Disk::start(directory.path(), None, LIMITS).expect("a thread");
    let all: Vec<Event> = (1..=1000).map(event).collect();
    for event in &all {
        disk.write(event);
    }
    drop(disk);
    assert_eq!(written(directory.path()), all);
}

#[test]
fn nothing_is_lost_silently_where_nothing_can_be_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let obstacle = directory.path().join("state");
    fs::write(&obstacle, "in the way").expect("it is ours");
    let mut disk = Disk::start(&obstacle, None, LIMITS).expect("a thread");
    disk.write(&event(1));
    let report = disk.reports.recv_timeout(PATIENCE).expect("it is told");
    assert!(matches!(report, Report::Failing(why) if why.contains("Not a directory")));
    let queue = u64::try_from(QUEUE).expect("it is small");
    for sequence in 2..queue + 7 {
        disk.write(&event(sequence));
    }
    assert_eq!((disk.counts().written, disk.counts().lost), (0, 5));
    fs::remove_file(&obstacle).expect("it is ours");
    let report = disk.reports.recv_timeout(PATIENCE).expect("it is told, and told once only");
    assert_eq!(report, Report::Recovered);
    disk.write(&event(queue + 7));
    assert_eq!(disk.counts().lost, 5);
    drop(disk);
    let written = written(&obstacle);
    let sequences: Vec<u64> = written.iter().map(|event| event.sequence).collect();
    let mut expected: Vec<u64> = (1..queue + 2).collect();
    expected.extend([queue + 6, queue + 7]);
    assert_eq!(sequences, expected);
    assert_eq!(written[QUEUE + 1].kind, EventKind::Missed { count: 5 });
}

#[test]
fn a_disk_that_stays_full_does_not_hold_up_the_end() {
    let mut disk = Disk::start(Path::new("/dev/null/state"), None, LIMITS).expect("a thread");
    disk.write(&event(1));
    disk.reports.recv_timeout(PATIENCE).expect("it is told");
    let began = clock::now();
    drop(disk);
    assert!(clock::now().since(began) < GRACE, "it was left alone instead of ending");
}
