//! Watching the policy file by its content, read again and again.
//!
//! Invariant: neither names, times nor events of the file system are believed. So whatever way the
//! content changes (written in place, renamed over, a symbolic link moved as a `ConfigMap` does it, an edit
//! that puts the time back) is seen, and a file is taken up only when two readings find the same in it.

use std::future::pending;

use tokio::task::JoinSet;

use super::reload::Content;
use crate::config::Source;

/// Tells when the content of a file has changed and settled.
#[derive(Debug)]
pub(super) struct Watch {
    /// Nothing when nothing is watched.
    source: Option<Source>,
    settling: Settling,
    /// At most one, where reading may wait. Ends with its value.
    readings: JoinSet<Content>,
}

impl Watch {
    /// Watches a file that held `content`, if that is wanted and it is one: a pipe can be read only once.
    pub(super) fn new(source: &Source, content: &[u8], is_wanted: bool) -> Self {
        let is_watched = is_wanted && source.is_file() == Ok(true);
        Self {
            source: is_watched.then(|| source.clone()),
            settling: Settling::new(Ok(content.to_vec())),
            readings: JoinSet::new(),
        }
    }

    /// Begins to read the file again, unless the last reading still waits for it.
    pub(super) fn look(&mut self) {
        if let Some(source) = self.source.clone()
            && self.readings.is_empty()
        {
            self.readings.spawn_blocking(move || source.read_again());
        }
    }

    /// What the file holds now, once that is something else.
    pub(super) async fn next(&mut self) -> Content {
        loop {
            match self.readings.join_next().await {
                Some(Ok(content)) => {
                    if let Some(content) = self.settling.look(content) {
                        return content;
                    }
                }
                // One that has died says nothing.
                Some(Err(_)) => {}
                None => return pending().await,
            }
        }
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
