//! One time for which a breaker is open and then half-open, and what was and is to be done about its connections.
//!
//! Invariant: when this is dropped no more of them are ended, whatever a round is about to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shedder_common::time::Monotonic;

use super::pace::Pace;
use super::progress::Progress;
use super::round::Task;
use crate::engine::{Directive, Established};

#[derive(Debug)]
pub(super) struct Opening {
    epoch: u16,
    enforce_percent: u8,
    pub(super) progress: Progress,
    permission: Arc<AtomicBool>,
    /// A round is under way for it.
    pub(super) is_out: bool,
    /// What there still is to do; nothing before the connections have been counted.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    cookies: BTreeSet<u64>,
    pace: Pace,
}

impl Opening {
    /// Of a breaker that is open by what the engine says is in force.
    pub(super) fn of(directive: &Directive) -> Option<Self> {
        (directive.established != Established::Keep).then(|| Self {
            epoch: directive.epoch,
            enforce_percent: directive.enforce_percent,
            progress: Progress::new(directive.established),
            permission: Arc::new(AtomicBool::new(true)),
            is_out: false,
            rest: None,
        })
    }

    /// Whether the breaker has been open ever since, or is half-open now. A pool that makes no connects has
    /// nothing to probe with, and would keep what it has of an endpoint that is ill.
    pub(super) fn lasts(&self, directive: &Directive) -> bool {
        let is_half_open = directive.tokens.is_some();
        directive.established != Established::Keep
            && directive.enforce_percent == self.enforce_percent
            && (is_half_open || directive.epoch == self.epoch)
    }

    /// The share of the caller's cgroups, in percent, whose connections are ended.
    pub(super) const fn enforce_percent(&self) -> u8 {
        self.enforce_percent
    }

    /// Asked before each connection is ended.
    pub(super) fn permission(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.permission)
    }

    /// Lets no more connections be ended. One whose end has begun at this moment still ends; the flag says
    /// all there is to say, so nothing has to be seen before or after it.
    pub(super) fn revoke(&self) {
        self.permission.store(false, Ordering::Relaxed);
    }

    /// What the next round is to do at `now`, if there is anything; its report is due then.
    pub(super) fn task(&mut self, now: Monotonic) -> Option<Task> {
        if self.is_out || self.progress.is_over {
            return None;
        }
        let task = match &mut self.rest {
            None => Task::Count,
            Some(Rest { cookies, pace }) => match pace.due(now) {
                0 => return None,
                at_most => Task::End { cookies: cookies.clone(), at_most },
            },
        };
        self.is_out = true;
        Some(task)
    }

    /// Takes in which connections there still are and how many a round has ended. Chance comes from
    /// `seed`.
    pub(super) fn take(
        &mut self,
        left: BTreeSet<u64>,
        destroyed: usize,
        seed: u64,
        now: Monotonic,
        mut tell: impl FnMut(&Progress),
    ) {
        self.is_out = false;
        self.progress.left = left.len();
        self.progress.destroyed += destroyed;
        if let Some(rest) = &mut self.rest {
            rest.cookies = left;
        } else {
            let pace = Pace::new(left.len(), seed, now);
            self.rest = Some(Rest { cookies: left, pace });
            self.progress.begin(&mut tell);
        }
        if self.progress.left == 0 {
            self.progress.end(tell);
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.revoke();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic::from_nanos(0);
    const LATER: Monotonic = Monotonic::from_nanos(60_000_000_000);

    fn directive() -> Directive {
        Directive {
            shed: None,
            enforce_percent: 100,
            established: Established::Reset,
            tokens: None,
            admit_permille: 0,
            burst_limit: None,
            failure_run_limit: 0,
            epoch: 1,
        }
    }

    fn opening() -> Opening {
        Opening::of(&directive()).expect("it is not to be kept")
    }

    /// Takes a report in; what is told of it.
    fn take(opening: &mut Opening, left: &[u64], destroyed: usize) -> Vec<(usize, usize, bool)> {
        let mut told = Vec::new();
        let left = left.iter().copied().collect();
        opening.take(left, destroyed, 1, NOW, |progress| {
            told.push((progress.connections, progress.destroyed, progress.is_over));
        });
        told
    }

    #[test]
    fn connections_are_counted_and_then_ended_round_by_round() {
        let mut opening = opening();
        assert!(matches!(opening.task(NOW), Some(Task::Count)));
        assert!(opening.task(NOW).is_none(), "its report is due");
        assert_eq!(take(&mut opening, &[7, 8, 9], 0), [(3, 0, false)]);
        let Some(Task::End { cookies, at_most: 1.. }) = opening.task(LATER) else {
            panic!("time has passed");
        };
        assert_eq!(cookies, BTreeSet::from([7, 8, 9]));
        assert_eq!(take(&mut opening, &[8, 9], 1), []);
        assert!(opening.task(LATER).is_none(), "one by one");
        // One ended by itself.
        assert_eq!(take(&mut opening, &[], 1), [(3, 2, true)]);
        assert!(opening.task(LATER).is_none(), "nothing is left");
    }

    #[test]
    fn it_lasts_while_probes_decide_and_another_one_begins_when_they_fail() {
        let open = directive();
        let half_open = Directive { epoch: 2, tokens: Some(3), ..open };
        let reopened = Directive { epoch: 3, ..open };
        let recovering = Directive { epoch: 3, established: Established::Keep, ..open };
        let spared = Directive { enforce_percent: 50, ..half_open };
        let opening = opening();
        let lasts = [open, half_open, reopened, recovering, spared].map(|it| opening.lasts(&it));
        assert_eq!(lasts, [true, true, false, false, false]);
    }

    #[test]
    fn without_connections_there_is_nothing_to_tell() {
        let mut opening = opening();
        assert_eq!(take(&mut opening, &[], 0), []);
        opening.progress.end(|progress| panic!("{progress}"));
    }

    #[test]
    fn the_permission_ends_with_it() {
        let opening = opening();
        let permission = opening.permission();
        assert!(permission.load(Ordering::Relaxed));
        drop(opening);
        assert!(!permission.load(Ordering::Relaxed));
    }
}
