//! The files of the journal: lines appended to one, put aside when it is full.
//!
//! Invariant: in every file each line is whole, also after a crash or where the disk was full in the
//! middle of one; a line that could not be written is still with the caller.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::past;
use crate::config::JournalLimits;
use crate::directory;

/// The journal in one directory.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    /// May read it, besides root.
    group: Option<u32>,
    limits: JournalLimits,
    /// Nothing before the first line, and after an error.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    len: u64,
    /// Held as long as lines may be written.
    _lock: File,
}

impl Files {
    /// Nothing is touched yet.
    pub(super) fn new(directory: &Path, group: Option<u32>, limits: JournalLimits) -> Self {
        Self { directory: directory.to_owned(), group, limits, open: None }
    }

    /// Holds from the next line on.
    pub(super) const fn limit(&mut self, limits: JournalLimits) {
        self.limits = limits;
    }

    /// Writes lines and takes them out of `lines`; those that are left after an error are not written.
    pub(super) fn append(&mut self, lines: &mut VecDeque<Vec<u8>>) -> io::Result<()> {
        let outcome = self.try_append(lines);
        self.forget_after(outcome)
    }

    /// Sees to it that what was written is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let outcome = self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data());
        self.forget_after(outcome)
    }

    /// After an error nothing is certain any more, so that everything begins with a look at what is there.
    fn forget_after<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        if outcome.is_err() {
            self.open = None;
        }
        outcome
    }

    fn try_append(&mut self, lines: &mut VecDeque<Vec<u8>>) -> io::Result<()> {
        self.make_sure_it_is_open()?;
        while let Some(next) = lines.front() {
            let open = self.open.as_mut().expect("it was opened above");
            let limit = u64::from(self.limits.max_kib) * 1024;
            if open.len > 0 && open.len + len(next) > limit {
                self.rotate()?;
                continue;
            }
            let mut part = 0;
            let fits = |line: &&Vec<u8>| {
                part += len(line);
                part == len(line) || open.len + part <= limit
            };
            let count = lines.iter().take_while(fits).count();
            open.write(lines, count)?;
        }
        Ok(())
    }

    /// Opens what is written to, unless it is open and still what bears its name.
    fn make_sure_it_is_open(&mut self) -> io::Result<()> {
        let path = current(&self.directory);
        if let Some(open) = &self.open {
            let ours = open.file.metadata()?;
            let is_ours =
                |there: fs::Metadata| (there.dev(), there.ino()) == (ours.dev(), ours.ino());
            if fs::symlink_metadata(&path).is_ok_and(is_ours) {
                return Ok(());
            }
        }
        self.open = None;
        directory::prepare(&self.directory, self.group)?;
        let lock = lock(&self.directory)?;
        let mut file = self.create(&path)?;
        let len = file.metadata()?.len();
        let mut whole = past::whole(&file)?;
        if len - whole > TORN_KEPT {
            // No crash does that. Whatever it is, somebody may want it.
            fs::rename(&path, self.directory.join(TORN))?;
            file = self.create(&path)?;
            whole = 0;
        } else if whole < len {
            keep_torn(&file, whole, len, &self.directory);
            file.set_len(whole)?;
        }
        self.open = Some(Open { file, len: whole, _lock: lock });
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(MODE);
        // Neither a link is followed nor a pipe waited for.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other(format!("{} is no regular file", path.display())));
        }
        if metadata.len() == 0 {
            file.set_permissions(fs::Permissions::from_mode(MODE))?;
            if self.group.is_some() {
                fchown(&file, None, self.group)?;
            }
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(file)
    }

    /// Puts the file that is full aside and begins another.
    fn rotate(&mut self) -> io::Result<()> {
        let open = self.open.as_ref().expect("only a file that is open gets full");
        open.file.sync_data()?;
        let kept = self.limits.files - 1;
        for number in aside(&self.directory)?.into_iter().filter(|number| *number >= kept.max(1)) {
            fs::remove_file(numbered(&self.directory, number))?;
        }
        for number in (1..kept).rev() {
            let (from, to) =
                (numbered(&self.directory, number), numbered(&self.directory, number + 1));
            if from.exists() {
                fs::rename(from, to)?;
            }
        }
        let path = current(&self.directory);
        if kept == 0 {
            fs::remove_file(&path)?;
        } else {
            fs::rename(&path, numbered(&self.directory, 1))?;
        }
        let file = self.create(&path)?;
        let open = self.open.as_mut().expect("it was open above");
        (open.file, open.len) = (file, 0);
        Ok(())
    }
}

impl Open {
    /// Writes the first `count` lines at once. Where only a part of them has room, the last line is cut
    /// back to nothing.
    fn write(&mut self, lines: &mut VecDeque<Vec<u8>>, count: usize) -> io::Result<()> {
        let bytes: Vec<u8> = lines.iter().take(count).flatten().copied().collect();
        let mut written = 0;
        let mut outcome = Ok(());
        while written < bytes.len() && outcome.is_ok() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => outcome = Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => outcome = Err(error),
            }
        }
        let mut left = written;
        while let Some(line) = lines.front().filter(|line| line.len() <= left && !line.is_empty()) {
            left -= line.len();
            self.len += len(line);
            lines.pop_front();
        }
        if left > 0 {
            self.file.set_len(self.len)?;
        }
        outcome
    }
}

/// The file that is written.
pub(super) fn current(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// The file put aside so many times ago.
pub(super) fn numbered(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{NAME}.{number}"))
}

/// The numbers of the files put aside.
fn aside(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NAME)?.strip_prefix('.'));
        let number = number.and_then(|number| number.parse::<u32>().ok());
        // Nothing that is only similar to what this would be called.
        numbers.extend(number.filter(|it| numbered(directory, *it).file_name() == Some(&name)));
    }
    Ok(numbers)
}

/// Takes the lock of the directory, which a dead daemon cannot hold.
fn lock(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.custom_flags(libc::O_NOFOLLOW).open(directory.join("journal.lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::other(
            "another shedder writes it; give each its own state_dir in [node]",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Keeps what follows the last whole line, for who wants to look at it. There may be no room for it.
fn keep_torn(file: &File, whole: u64, len: u64, directory: &Path) {
    let mut torn = vec![0; usize::try_from(len - whole).unwrap_or(0)];
    let kept =
        file.read_exact_at(&mut torn, whole).and_then(|()| fs::write(directory.join(TORN), &torn));
    if let Err(error) = kept {
        tracing::debug!(%error, "the end of a torn journal is not kept");
    }
}

fn len(line: &[u8]) -> u64 {
    line.len().try_into().unwrap_or(u64::MAX)
}

const NAME: &str = "journal.jsonl";
const MODE: u32 = 0o640;
const TORN: &str = "journal.torn";
/// What is cut off a file at most; a crash tears one line, or leaves a page or two empty.
const TORN_KEPT: u64 = 64 * 1024;

#[cfg(test)]
mod tests;
