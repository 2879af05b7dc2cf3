//! What is left of a daemon that panicked, for the next one to tell.
//!
//! Invariant: after a panic, wherever it was, one small file is written and the process ends: nothing is
//! decided by a daemon that has lost its way. Its programs go with it, so that everything passes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::directory;

/// How often daemons have panicked on this node, and the last of these panics if nobody was told yet.
#[derive(Debug, Default)]
pub(super) struct Panics {
    pub(super) total: u64,
    pub(super) untold: Option<Panic>,
}

/// One panic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Panic {
    /// Milliseconds since 1970.
    at_ms: u64,
    /// What it said.
    pub(super) message: String,
    /// File, line and column of the source.
    pub(super) place: String,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    total: u64,
    /// Whether a daemon has started since and told of it.
    is_told: bool,
    last: Panic,
}

impl Panic {
    pub(super) fn at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.at_ms)
    }
}

/// Reads what is left in `directory`, and leaves there what becomes of this daemon. Without one, a
/// panic ends the process all the same.
pub(super) fn watch(directory: Option<&Path>) -> Panics {
    let file = directory.map(|directory| directory.join(FILE));
    let panics = file.as_deref().map(take).unwrap_or_default();
    let total = panics.total + 1;
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        say(info);
        if let Some(file) = &file {
            let record = Record { total, is_told: false, last: of(info) };
            if let Err(error) = write(file, &record) {
                // Not by the log, which may be what panicked.
                drop(writeln!(io::stderr(), "{} cannot be written: {error}", file.display()));
            }
        }
        process::abort();
    }));
    panics
}

/// What the file says, which is told then.
fn take(file: &Path) -> Panics {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Panics::default(),
        Err(error) => return unreadable(file, &error),
    };
    let mut record: Record = match serde_json::from_slice(&text) {
        Ok(record) => record,
        Err(error) => return unreadable(file, &error.into()),
    };
    let untold = (!record.is_told).then(|| record.last.clone());
    record.is_told = true;
    if let Err(error) = write(file, &record) {
        warn!(%error, file = %file.display(), "cannot be written; the panic will be told again");
    }
    Panics { total: record.total, untold }
}

fn unreadable(file: &Path, error: &io::Error) -> Panics {
    warn!(%error, file = %file.display(), "cannot be read; panics are counted from 0 again");
    Panics::default()
}

fn of(info: &PanicHookInfo<'_>) -> Panic {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Panic {
        at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        message: info.payload_as_str().unwrap_or("no text").to_owned(),
        place: info.location().map_or_else(String::new, ToString::to_string),
    }
}

/// Writes the file so that it is whole or as it was.
fn write(file: &Path, record: &Record) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        directory::prepare(directory, None)?;
    }
    let unfinished: PathBuf = file.with_extension("json.new");
    let mut new = File::create(&unfinished)?;
    new.write_all(&serde_json::to_vec(record)?)?;
    new.sync_data()?;
    fs::rename(unfinished, file)
}

const FILE: &str = "panic.json";

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn record(total: u64) -> Record {
        let last = Panic { at_ms: 1_500, message: "no".to_owned(), place: "a.rs:1:2".to_owned() };
        Record { total, is_told: false, last }
    }

    #[test]
    fn a_panic_is_told_once_and_counted_for_ever() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("state").join(FILE);
        assert_eq!(take(&file).total, 0);
        write(&file, &record(3)).expect("it is writable");
        let panics = take(&file);
        let untold = panics.untold.expect("nobody was told");
        assert_eq!((panics.total, untold.message.as_str()), (3, "no"));
        assert_eq!(untold.at(), UNIX_EPOCH + Duration::from_millis(1_500));
        let panics = take(&file);
        assert_eq!((panics.total, panics.untold), (3, None));
    }

    /// Panics where the next test says.
    #[test]
    fn a_daemon_that_panics() {
        let Some(directory) = std::env::var_os(STATE_DIR) else { return };
        let panics = watch(Some(directory.as_ref()));
        // Not on the thread that a test harness or a runtime looks after.
        drop(std::thread::spawn(move || panic!("lost after {}", panics.total)).join());
    }

    #[test]
    fn a_panic_anywhere_ends_the_process_and_is_written_down() {
        let directory = tempfile::tempdir().expect("a directory");
        for before in 0..2 {
            let output = process::Command::new(std::env::current_exe().expect("it runs"))
                .args(["--exact", "daemon::panics::tests::a_daemon_that_panics", "--nocapture"])
                .env(STATE_DIR, directory.path())
                .output()
                .expect("it starts");
            assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
            let message = format!("lost after {before}");
            assert!(String::from_utf8_lossy(&output.stderr).contains(&message), "{output:?}");
            let text = fs::read(directory.path().join(FILE)).expect("it was written");
            let record: Record = serde_json::from_slice(&text).expect("it is whole");
            assert_eq!((record.total, record.is_told), (before + 1, false));
            assert_eq!(record.last.message, message);
            assert!(record.last.place.contains("panics.rs:"), "{record:?}");
        }
    }

    const STATE_DIR: &str = "SHEDDER_TEST_STATE_DIR";

    #[test]
    fn a_file_that_makes_no_sense_is_no_reason_not_to_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(FILE);
        for text in ["", "{", "[]", "{\"total\":-1}"] {
            fs::write(&file, text).expect("it is writable");
            assert_eq!(take(&file).total, 0, "{text}");
        }
        fs::create_dir(directory.path().join("d")).expect("a directory");
        assert_eq!(take(&directory.path().join("d")).total, 0);
    }
}
