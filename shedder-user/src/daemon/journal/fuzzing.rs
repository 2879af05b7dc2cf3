//! Journals as other daemons, crashes and people may have left them.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;

use super::files::{Files, current, numbered};
use super::past;
use crate::api::model::{Event, EventKind};
use crate::config::JournalLimits;
use crate::fuzzing::Input;

/// The first two bytes say how much of the rest is the file put aside, the third how many files there
/// may be, the fourth how often what is left is repeated in the file that was written last.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let length = usize::from(input.short());
    let files = JournalLimits { max_kib: 16, files: 1 + u32::from(input.byte() % 3) };
    let times = usize::from(input.byte().saturating_sub(ONCE)) * 64 + 1;
    let (aside, last) = (input.take(length), &*input.rest().repeat(times));
    if last.len() > MOST {
        return;
    }
    let directory = Directory::new();
    fs::write(numbered(&directory.0, 1), aside).expect("it is ours");
    fs::write(current(&directory.0), last).expect("it is ours");

    let before = past::read(&directory.0, KEPT);
    assert!(before.events.len() <= KEPT);
    assert!(before.events.iter().all(|event| event.sequence <= before.sequence));

    let first = before.sequence + 1;
    append(&directory.0, files, &event(first));
    judge_kept(&directory.0, last, first);
    // As the next daemon finds it, nothing is torn.
    let between = fs::read(current(&directory.0)).expect("it is there");
    append(&directory.0, files, &event(first + 1));
    let after = fs::read(current(&directory.0)).expect("it is there");
    assert!(after.starts_with(&between) || after == line(&event(first + 1)));
    assert_eq!(past::read(&directory.0, KEPT).sequence, first + 1);
}

fn append(directory: &Path, limits: JournalLimits, event: &Event) {
    let mut lines = VecDeque::from([line(event)]);
    Files::new(directory, None, limits).append(&mut lines).expect("the disk is well");
    assert!(lines.is_empty());
}

/// What was there is there still, in front of the new event, put aside, or kept as torn.
fn judge_kept(directory: &Path, was: &[u8], first: u64) {
    let is = fs::read(current(directory)).expect("it is there");
    let new = line(&event(first));
    let kept = is.strip_suffix(&new[..]).expect("the new event comes last");
    let torn = fs::read(directory.join("journal.torn")).unwrap_or_default();
    if kept.is_empty() && torn.len() < was.len() {
        // It was full, so it was put aside or, where one file is all there may be, removed.
        let aside = fs::read(numbered(directory, 1)).unwrap_or_default();
        assert!(was.len() + new.len() > 16 * 1024 || aside == was, "the journal is gone");
        return;
    }
    assert!(was.strip_prefix(kept) == Some(&torn[..]), "something is neither kept nor torn");
    assert!(kept.is_empty() || kept.ends_with(b"\n"));
}

fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).expect("an event has only text keys");
    line.push(b'\n');
    line
}

fn event(sequence: u64) -> Event {
    Event { sequence, at: "now".to_owned(), kind: EventKind::Stopping, text: String::new() }
}

/// A directory of this thread; dropping it removes it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("shedder-fuzz-{}-{:?}", process::id(), thread::current().id());
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("there is room for it");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it is ours");
    }
}

const KEPT: usize = 64;
/// Of the numbers of a byte so many mean that nothing is repeated.
const ONCE: u8 = 200;
/// Somewhat more than how far back journals are looked at.
const MOST: usize = 1100 * 1024;
