//! Cgroups that are gone, and connections that are not yet: a process has ended before the peer has acknowledged
//! the end of its connections. Without the programs nobody would be told of those ends, and what is
//! open would be counted as open for ever.

use std::collections::VecDeque;
use std::time::Duration;

use shedder_common::time::Monotonic;

use crate::kernel::Attachment;

/// Their programs, oldest first.
#[derive(Debug, Default)]
pub(super) struct Leaving(VecDeque<(Monotonic, Attachment)>);

impl Leaving {
    /// Keeps the programs of a cgroup that is gone for a while.
    pub(super) fn add(&mut self, attachment: Attachment, now: Monotonic) {
        self.0.push_back((now, attachment));
    }

    /// The next one whose while has passed, or that is one too many.
    pub(super) fn take_due(&mut self, now: Monotonic) -> Option<Attachment> {
        let (since, _) = self.0.front()?;
        let is_due = now.since(*since) >= LINGER || self.0.len() > MOST;
        is_due.then(|| self.0.pop_front()).flatten().map(|(_, attachment)| attachment)
    }
}

/// A peer that lives acknowledges within a round trip, one on a busy machine within some of them.
const LINGER: Duration = Duration::from_secs(10);
/// Each has a dozen descriptors.
const MOST: usize = 64;
