//! What the files say of earlier daemons: the last events, and where the last whole line ends.
//!
//! Invariant: nothing that is found there is believed to make sense; what cannot be read is passed over.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::files;
use crate::api::model::Event;

/// The last events, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) events: Vec<Event>,
    /// The greatest sequence number; zero if there is none.
    pub(super) sequence: u64,
}

/// The last `wanted` events in `directory`.
pub(super) fn read(directory: &Path, wanted: usize) -> Past {
    let mut past = Past::default();
    for path in [files::current(directory), files::numbered(directory, 1)] {
        let Some(older) = end(&path) else { continue };
        past.sequence = past.sequence.max(older.sequence);
        past.events.splice(0..0, older.events);
        if past.events.len() >= wanted {
            break;
        }
    }
    past.events.drain(..past.events.len().saturating_sub(wanted));
    past
}

/// Where the last line ends that is whole; anything after it was torn by a crash.
pub(super) fn whole(file: &File) -> io::Result<u64> {
    let (start, bytes) = last_bytes(file)?;
    let mut end = bytes.len();
    while let Some(newline) = bytes[..end].iter().rposition(|byte| *byte == b'\n') {
        let line = bytes[..newline].iter().rposition(|byte| *byte == b'\n').map_or(0, |it| it + 1);
        // A line that begins before what was read is taken for whole: it ends as lines do.
        let is_cut = line == 0 && start > 0;
        if is_cut || serde_json::from_slice::<Value>(&bytes[line..newline]).is_ok() {
            return Ok(start + len(newline) + 1);
        }
        end = newline;
    }
    Ok(start)
}

/// What only the number of an event is taken from, so that a newer version's count too.
#[derive(Deserialize)]
struct Numbered {
    sequence: u64,
}

fn end(path: &Path) -> Option<Past> {
    // Not to wait for a pipe.
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let (_, bytes) = last_bytes(&File::open(path).ok()?).ok()?;
    let mut past = Past::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        past.events.extend(serde_json::from_slice::<Event>(line));
        let numbered = serde_json::from_slice::<Numbered>(line);
        let number = numbered.map_or(0, |numbered| numbered.sequence);
        past.sequence = past.sequence.max(if number < GREATEST { number } else { 0 });
    }
    past.events.retain(|event| event.sequence < GREATEST);
    Some(past)
}

/// The end of a file, and where it begins.
fn last_bytes(file: &File) -> io::Result<(u64, Vec<u8>)> {
    let start = file.metadata()?.len().saturating_sub(WINDOW);
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len() - start).unwrap_or(0)];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], start + len(read))? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok((start, bytes))
}

fn len(bytes: usize) -> u64 {
    bytes.try_into().unwrap_or(u64::MAX)
}

/// How far back files are looked at: more than a thousand events, in milliseconds.
const WINDOW: u64 = 1024 * 1024;
/// No number of ours comes near it, and every JSON reader can hold it.
const GREATEST: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::EventKind;

    fn lines(sequences: std::ops::RangeInclusive<u64>) -> String {
        let line = |sequence| {
            format!(
                "{{\"sequence\":{sequence},\"at\":\"now\",\"event\":\"stopping\",\"text\":\"\"}}\n"
            )
        };
        sequences.map(line).collect()
    }

    fn sequences(past: &Past) -> Vec<u64> {
        past.events.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn the_last_events_are_found_also_behind_a_rotation() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        assert_eq!(read(path, 5).sequence, 0);
        fs::write(files::numbered(path, 1), lines(1..=9)).expect("it is ours");
        assert_eq!(sequences(&read(path, 3)), [7, 8, 9]);
        fs::write(files::current(path), lines(10..=11)).expect("it is ours");
        let past = read(path, 4);
        assert_eq!((sequences(&past), past.sequence), (vec![8, 9, 10, 11], 11));
        assert_eq!(sequences(&read(path, 1)), [11]);
    }

    #[test]
    fn nonsense_is_passed_over_but_a_newer_versions_number_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let newer = "{\"sequence\":12,\"at\":\"now\",\"event\":\"unheard_of\",\"text\":\"\"}\n";
        let absurd = lines(u64::MAX..=u64::MAX);
        let text = format!("nonsense\n{}{newer}{absurd}[]\n\0\0{{\"seq", lines(11..=11));
        fs::write(files::current(directory.path()), text).expect("it is ours");
        let past = read(directory.path(), 10);
        assert_eq!((sequences(&past), past.sequence), (vec![11], 12));
        assert_eq!(past.events[0].kind, EventKind::Stopping);
    }

    #[test]
    fn no_more_is_read_than_the_end_of_a_large_file() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(files::current(directory.path()), lines(1..=50_000)).expect("it is ours");
        let past = read(directory.path(), usize::MAX);
        assert_eq!(past.sequence, 50_000);
        assert!(past.events.len() < 20_000, "{}", past.events.len());
    }
}
