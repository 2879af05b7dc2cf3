//! Watching the policy file by its content, read again and again.
//!
//! Invariant: neither names, times nor events of the file system are believed. So whatever way the
//! content changes (written in place, renamed over, a symbolic link moved as a `ConfigMap` does it, an edit
//! that puts the time back) is seen, and a file is taken up only when two readings find the same in it.

use std::sync::mpsc::{Receiver, TryRecvError, channel};

use tokio::task::spawn_blocking;

use super::reload::Content;
use crate::config::Source;

/// Tells when the content of a file has changed and settled.
#[derive(Debug)]
pub(super) struct Watch {
    /// Nothing when nothing is watched.
    source: Option<Source>,
    settling: Settling,
    /// Where reading may wait. It is asked for rather than told of: a reading that finds what it found before would
    /// wake the loop for nothing, twice a second.
    reading: Option<Receiver<Content>>,
}

impl Watch {
    /// Watches a file that held `content`, if that is wanted and it is one: a pipe can be read only once.
    pub(super) fn new(source: &Source, content: &[u8], is_wanted: bool) -> Self {
        let is_watched = is_wanted && source.is_file() == Ok(true);
        Self {
            source: is_watched.then(|| source.clone()),
            settling: Settling::new(Ok(content.to_vec())),
            reading: None,
        }
    }

    /// Begins to read the file again, unless the last reading still waits for it.
    pub(super) fn look(&mut self) {
        if let Some(source) = self.source.clone()
            && self.reading.is_none()
        {
            let (sender, reading) = channel();
            // Whoever began the reading may be gone.
            drop(spawn_blocking(move || drop(sender.send(source.read_again()))));
            self.reading = Some(reading);
        }
    }

    /// What the file held when it was read last, once that is something else.
    pub(super) fn take(&mut self) -> Option<Content> {
        let content = match self.reading.as_ref()?.try_recv() {
            Ok(content) => Some(content),
            Err(TryRecvError::Empty) => return None,
            // One that has died says nothing.
            Err(TryRecvError::Disconnected) => None,
        };
        self.reading = None;
        self.settling.look(content?)
    }
}

/// When a content is no longer on the move.
#[derive(Debug)]
struct Settling {
    last: Content,
    told: Content,
}

impl Settling {
    fn new(content: Content) -> Self {
        Self { last: content.clone(), told: content }
    }

    /// The content, if it is another than told last and the same as at the last look.
    fn look(&mut self, content: Content) -> Option<Content> {
        let has_settled = self.last == content;
        self.last = content;
        if !has_settled || self.last == self.told {
            return None;
        }
        self.told.clone_from(&self.last);
        Some(self.last.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(readings: &[&str]) -> Vec<String> {
        let mut settling = Settling::new(Ok(b"old".to_vec()));
        let told = readings.iter().filter_map(|it| settling.look(Ok(it.as_bytes().to_vec())));
        told.map(|content| String::from_utf8(content.expect("it was read")).expect("text"))
            .collect()
    }

    #[test]
    fn a_change_is_told_once_it_was_read_twice() {
        assert_eq!(told(&["old", "old"]), [""; 0]);
        assert_eq!(told(&["new"]), [""; 0]);
        assert_eq!(told(&["new", "new", "new", "new"]), ["new"]);
    }

    #[test]
    fn what_is_half_written_is_not_told() {
        assert_eq!(told(&["", "ne", "new", "new"]), ["new"]);
        assert_eq!(told(&["", "old", "old"]), [""; 0]);
    }

    #[test]
    fn what_comes_back_is_told_again() {
        assert_eq!(told(&["bad", "bad", "old", "old", "bad", "bad"]), ["bad", "old", "bad"]);
    }
}
