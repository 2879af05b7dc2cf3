//! From a directive of the engine to the row the kernel reads: the same function for the daemon and
//! for a simulation.

use std::collections::BTreeMap;

use shedder_common::time::nanos;
use shedder_common::verdict::{Action, MEASURE_CONNECTS_ONLY, MEASURE_RTT, Verdict, VerdictWord};

use crate::engine::{CellId, Directive, Engine, Policy, ShedAction};

/// Whose row it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenant<'a> {
    /// Its rules.
    pub(crate) policy: &'a Policy,
    /// Whose answers are read; nothing when none are.
    pub(crate) protocol: u16,
    /// The tenancy of the slot.
    pub(crate) generation: u32,
    /// Jiffies in a second; nothing when no policy holds connects.
    pub(crate) jiffies_per_second: Option<u32>,
    /// Whether its service says `udp`.
    pub(crate) udp: bool,
}

/// The row that carries out `directive`.
pub(crate) fn row(
    tenant: &Tenant<'_>,
    directive: &Directive,
    action: Action,
    token_limit: u64,
) -> Verdict {
    let word = VerdictWord {
        action,
        enforce_percent: directive.enforce_percent,
        half_open: directive.tokens.is_some(),
        on_burst: directive.burst_limit.is_some(),
        admit_permille: directive.admit_permille,
        epoch: directive.epoch,
    };
    let hold = match action {
        Action::Delay(milliseconds) => {
            let hz = tenant.jiffies_per_second.unwrap_or(0);
            let jitter_jiffies = u32::from(tenant.policy.delay_jitter_ms) * hz / 1000;
            Hold { jitter_jiffies, ..Hold::new(milliseconds, hz) }
        }
        Action::Allow | Action::Deny(_) | Action::Redirect(_) => Hold::default(),
    };
    let policy = tenant.policy;
    Verdict {
        word: word.pack(),
        token_limit,
        caller_timeout_ns: nanos(policy.caller_timeout),
        slow_ns: policy.slow_after().map_or(0, nanos),
        generation: tenant.generation,
        failure_run_limit: directive.failure_run_limit,
        burst_limit: directive.burst_limit.unwrap_or(0),
        turns_to_skip: policy.turns_to_skip.into(),
        hold_jiffies: hold.jiffies,
        hold_slack_ns: hold.slack_ns,
        hold_jitter_jiffies: hold.jitter_jiffies,
        measure: measure(policy),
        datagrams: tenant.udp.into(),
        protocol: tenant.protocol,
    }
}

fn measure(policy: &Policy) -> u16 {
    let round_trips = if policy.needs_round_trips() { MEASURE_RTT } else { 0 };
    let connects_only = if policy.answers { 0 } else { MEASURE_CONNECTS_ONLY };
    round_trips | connects_only
}

/// What the kernel does with a connect that is shed, given a healthy sibling. Without one to go
/// to, it is denied.
pub(crate) fn action(shed: Option<ShedAction>, sibling: Option<CellId>) -> Action {
    match shed {
        None => Action::Allow,
        Some(ShedAction::Deny(errno)) => Action::Deny(errno),
        Some(ShedAction::Delay(milliseconds)) => Action::Delay(milliseconds),
        Some(ShedAction::Redirect(errno)) => sibling
            .and_then(|CellId(slot)| u16::try_from(slot).ok())
            .map_or(Action::Deny(errno), Action::Redirect),
    }
}

/// Cells that may stand in for each other: caller, service, whether they speak IPv4, and the network
/// namespace.
pub(crate) type Group = (usize, usize, bool, u64);

/// Among the cells of a group: whether it is a fallback, and which of its kind. The lowest is the
/// first choice.
pub(crate) type Rank = (bool, u64);

/// A cell that may stand in for others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) cell: CellId,
    pub(crate) group: Group,
    pub(crate) rank: Rank,
    pub(crate) policy: &'a Policy,
}

/// Where redirects may go: for each group its two healthy cells of the lowest ranks. Two, so that a
/// cell that is one of them finds the other.
#[derive(Debug, Default)]
pub(crate) struct Siblings(BTreeMap<Group, Vec<(Rank, CellId)>>);

impl Siblings {
    /// Finds them among `cells`.
    pub(crate) fn find<'a>(
        candidates: impl Iterator<Item = Candidate<'a>>,
        engine: &Engine,
    ) -> Self {
        let mut found: BTreeMap<_, Vec<(Rank, CellId)>> = BTreeMap::new();
        let redirecting =
            |candidate: &Candidate<'_>| matches!(candidate.policy.shed, ShedAction::Redirect(_));
        for Candidate { cell, group, rank, .. } in candidates.filter(redirecting) {
            let first = found.entry(group).or_default();
            let is_wanted = first.len() < 2 || first.iter().any(|(other, _)| rank < *other);
            if is_wanted && engine.is_healthy(cell) {
                first.push((rank, cell));
                first.sort_unstable();
                first.truncate(2);
            }
        }
        Self(found)
    }

    /// The sibling of a cell.
    pub(crate) fn of(&self, cell: CellId, group: Group) -> Option<CellId> {
        let first = self.0.get(&group)?;
        first.iter().map(|(_, other)| *other).find(|other| *other != cell)
    }
}

/// How a hold is timed.
///
/// The kernel's timer wheel fires late, never early: by up to one step of the level the timer falls
/// into, which is 1, 8, 64, … jiffies wide (`kernel/time/timer.c`). Asking for half a step less
/// makes the error as often early as late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hold {
    jiffies: u32,
    slack_ns: u32,
    jitter_jiffies: u32,
}

impl Hold {
    fn new(milliseconds: u16, jiffies_per_second: u32) -> Self {
        let Some(jiffy_ns) = 1_000_000_000_u32.checked_div(jiffies_per_second) else {
            return Self::default();
        };
        let wanted = (u32::from(milliseconds) * jiffies_per_second / 1000).max(1);
        let level = wanted.ilog2().saturating_sub(3) / 3;
        let early = (1 << (3 * level) >> 1_u32).max(1).min(wanted - 1);
        // Never more than half of the hold, or a short one would not hold at all.
        let half_ns = u32::from(milliseconds).saturating_mul(500_000);
        let slack_ns = jiffy_ns.saturating_mul(early + 1).min(half_ns);
        Self { jiffies: wanted - early, slack_ns, jitter_jiffies: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_asks_for_half_a_timer_step_less() {
        let hold = |milliseconds| {
            let Hold { jiffies, slack_ns, .. } = Hold::new(milliseconds, 250);
            (jiffies, slack_ns / 1_000_000)
        };
        assert_eq!(hold(4), (1, 2));
        assert_eq!(hold(8), (1, 4));
        assert_eq!(hold(20), (4, 8));
        // From 64 jiffies on, the wheel turns in steps of eight.
        assert_eq!(hold(252), (62, 8));
        assert_eq!(hold(256), (60, 20));
        assert_eq!(hold(2_048), (480, 132));
        assert_eq!(Hold::new(100, 0), Hold::default());
    }
}
