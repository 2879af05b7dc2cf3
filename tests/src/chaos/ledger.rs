//! What became of every call of the real callers.
//!
//! Invariant: a call is entered once, when its caller told of it; nothing is made up for one that was not
//! told of.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::client::Tool;
use crate::clock::now;
use crate::statistics::{figure, percentile};

/// Shared by those who enter and those who read.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Vec<Call>>>);

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) tool: Tool,
    pub(super) to: SocketAddr,
    pub(super) became: Became,
    pub(super) ended: Instant,
    pub(super) took: Duration,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// Answered as asked.
    Answered,
    /// Refused by shedder: every policy here refuses with `EHOSTUNREACH`, which nothing else here causes.
    Shed,
    /// Answered that the server failed.
    Failed,
    /// Refused by the endpoint.
    Refused,
    /// The caller's patience ended.
    TimedOut,
    /// No local port was left.
    Portless,
    /// Ended in the middle.
    Broken,
}

impl Ledger {
    /// Enters a line of a caller: endpoint, what became of the call, microseconds until it was connected
    /// and until its end.
    pub(super) fn enter(&self, tool: Tool, line: &str) -> Result<()> {
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().with_context(|| format!("half a line: {line:?}"));
        let to = word()?.parse().with_context(|| line.to_owned())?;
        let became = Became::by_name(word()?).with_context(|| line.to_owned())?;
        word()?;
        let took = Duration::from_micros(word()?.parse().with_context(|| line.to_owned())?);
        let call = Call { tool, to, became, ended: now(), took };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        Ok(())
    }

    /// Those that `wanted` wants.
    pub(super) fn find(&self, wanted: impl Fn(&Call) -> bool) -> Vec<Call> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| wanted(call)).copied().collect()
    }

    /// How many `wanted` wants.
    pub(super) fn count(&self, wanted: impl Fn(&Call) -> bool) -> usize {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| wanted(call)).count()
    }

    /// Seconds from `since` to the first call to `to` that was shed.
    pub(super) fn first_shed(&self, to: SocketAddr, since: Instant) -> Option<f64> {
        let shed = self.find(|call| call.to == to && call.became == Became::Shed);
        let after = shed.iter().filter_map(|call| call.ended.checked_duration_since(since));
        after.min().map(|after| after.as_secs_f64())
    }

    /// As [`Ledger::first_shed`], of the endpoint for which it took longest.
    pub(super) fn last_first_shed(&self, to: &[SocketAddr], since: Instant) -> Option<f64> {
        let each: Option<Vec<f64>> = to.iter().map(|to| self.first_shed(*to, since)).collect();
        each?.into_iter().reduce(f64::max)
    }

    /// How many calls to these that began after `since` were not answered.
    pub(super) fn lost(&self, to: &[SocketAddr], since: Instant) -> f64 {
        let lost = self.count(|call| {
            to.contains(&call.to) && call.began() >= Some(since) && call.became != Became::Answered
        });
        count(lost)
    }

    /// The share of calls to these that began after `since` and were answered, in percent; none without
    /// calls.
    pub(super) fn answered(&self, to: &[SocketAddr], since: Instant) -> Option<f64> {
        let calls = self.find(|call| to.contains(&call.to) && call.began() >= Some(since));
        let answered = calls.iter().filter(|call| call.became == Became::Answered).count();
        (!calls.is_empty()).then(|| count(answered) * 100.0 / count(calls.len()))
    }

    /// The 99th percentile of the answered calls to these that began between two moments, in milliseconds.
    pub(super) fn p99(&self, to: &[SocketAddr], from: Instant, until: Instant) -> Option<f64> {
        let between = Some(from)..Some(until);
        let calls = self.find(|call| {
            to.contains(&call.to)
                && between.contains(&call.began())
                && call.became == Became::Answered
        });
        let mut took: Vec<u64> = calls.iter().map(|call| micros(call.took)).collect();
        took.sort_unstable();
        percentile(&took, 99).map(|it| figure(it) / 1000.0)
    }
}

impl Call {
    /// When; none before the machine was started.
    pub(super) fn began(&self) -> Option<Instant> {
        self.ended.checked_sub(self.took)
    }
}

impl Became {
    fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "ok" => Self::Answered,
            "shed" => Self::Shed,
            "failed" => Self::Failed,
            "refused" => Self::Refused,
            "timeout" => Self::TimedOut,
            "portless" => Self::Portless,
            "broken" => Self::Broken,
            _ => return None,
        })
    }
}

/// A number of calls as a figure.
pub(super) fn count(number: usize) -> f64 {
    figure(u64::try_from(number).unwrap_or(u64::MAX))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shed_is_found_and_counted() {
        let ledger = Ledger::default();
        let since = now();
        let [sick, well]: [SocketAddr; 2] =
            ["127.0.0.1:1", "127.0.0.1:2"].map(|it| it.parse().expect("an address"));
        for line in ["127.0.0.1:1 ok 0 0", "127.0.0.1:1 shed 0 0", "127.0.0.1:2 ok 0 0"] {
            ledger.enter(Tool::Python, line).expect("it can be read");
        }
        assert!(ledger.first_shed(sick, since).is_some_and(|after| after < 60.0));
        assert_eq!(ledger.last_first_shed(&[sick, well], since), None);
        assert_eq!(ledger.answered(&[sick], since), Some(50.0));
        assert!(ledger.lost(&[well], since) < 0.5);
        for line in ["", "nowhere ok 0 0", "127.0.0.1:1 what 0 0", "127.0.0.1:1 ok 0"] {
            assert!(ledger.enter(Tool::Python, line).is_err(), "{line}");
        }
    }
}
