//! How far the ending of connections has come, in numbers and in a sentence.

use std::fmt;

use super::pace;
use crate::engine::Established;

/// What has become of the connections there were when a breaker opened.
#[derive(Clone, Copy, Debug)]
pub(in crate::daemon) struct Progress {
    /// What is to become of them.
    pub(super) established: Established,
    /// There were so many.
    pub(in crate::daemon) connections: usize,
    /// Ended so far.
    pub(in crate::daemon) destroyed: usize,
    /// Still there.
    pub(in crate::daemon) left: usize,
    /// No more will be ended.
    pub(in crate::daemon) is_over: bool,
}

impl Progress {
    pub(super) const fn new(established: Established) -> Self {
        Self { established, connections: 0, destroyed: 0, left: 0, is_over: false }
    }

    /// Notes how many there are, and tells it if there is anything to tell.
    pub(super) fn begin(&mut self, tell: impl FnOnce(&Self)) {
        self.connections = self.left;
        if self.connections > 0 {
            tell(self);
        }
    }

    /// Notes that no more will be ended, and tells it, once, if there is anything to tell.
    pub(super) fn end(&mut self, tell: impl FnOnce(&Self)) {
        if !self.is_over && self.connections > 0 {
            self.is_over = true;
            tell(self);
        }
        self.is_over = true;
    }

    /// The word of the policy file.
    pub(in crate::daemon) const fn fate(&self) -> &'static str {
        match self.established {
            Established::Keep => "keep",
            Established::Drain => "drain",
            Established::Reset => "reset",
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, destroyed, left, is_over, .. } = *self;
        let fate = self.fate();
        if !is_over {
            let rate = pace::per_second(connections);
            return write!(
                f,
                "begins to end {connections} established connections ({fate}), about {rate:.1} a second"
            );
        }
        write!(f, "ended {destroyed} of {connections} established connections ({fate})")?;
        if left > 0 {
            write!(f, ", {left} stay because the breaker is no longer open")?;
        }
        match connections.saturating_sub(destroyed + left) {
            0 => Ok(()),
            others => write!(f, ", {others} were closed otherwise"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_is_accounted_for() {
        let mut progress =
            Progress { connections: 24, left: 24, ..Progress::new(Established::Drain) };
        assert_eq!(
            progress.to_string(),
            "begins to end 24 established connections (drain), about 2.4 a second"
        );
        progress = Progress { destroyed: 20, left: 3, is_over: true, ..progress };
        assert_eq!(
            progress.to_string(),
            "ended 20 of 24 established connections (drain), 3 stay because the breaker is no longer open, 1 were closed otherwise"
        );
        progress = Progress { destroyed: 24, left: 0, ..progress };
        assert_eq!(progress.to_string(), "ended 24 of 24 established connections (drain)");
    }
}
