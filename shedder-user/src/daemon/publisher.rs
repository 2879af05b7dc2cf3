//! From the engine's directives to rows in the verdict array.
//!
//! A shedding verdict is renewed at every settling; one that allows is written when it changes. A
//! daemon that hangs stops renewing, and traffic flows.

use std::collections::BTreeMap;

use shedder_common::time::{Monotonic, nanos};
use shedder_common::verdict::{Action, Verdict, VerdictWord};

use super::Daemon;
use super::cells::{Cell, Cells};
use crate::engine::{CellId, Directive, Engine, ShedAction};

/// Brings the kernel's verdicts in line with the engine.
pub(super) fn publish(daemon: &mut Daemon, now: Monotonic) {
    let Daemon { config, kernel, engine, cells, jiffies_per_second, .. } = daemon;
    let expires = now.plus(config.node.verdict_ttl);
    let siblings = Siblings::find(cells, engine);
    for index in 0..cells.len() {
        let id = CellId(u32::try_from(index).expect("cells are numbered by slots"));
        let (Some(directive), Some(cell)) = (engine.directive(id, now), cells.by_id(id)) else {
            continue;
        };
        let action = action(directive.shed, cell, &siblings);
        let is_new_epoch =
            cell.published.is_none_or(|published| epoch(&published) != directive.epoch);
        // Granted on top of what was taken when the epoch began: a renewal grants nothing more.
        let tokens_before =
            if is_new_epoch { kernel.counters(cell.slot).tokens_taken } else { cell.tokens_before };
        let token_limit =
            directive.tokens.map_or(0, |tokens| tokens_before.saturating_add(tokens.into()));
        let row = row(cell, &directive, action, token_limit, *jiffies_per_second, expires);
        let is_same = cell
            .published
            .is_some_and(|published| Verdict { expires_ns: row.expires_ns, ..published } == row);
        if is_same && action == Action::Allow {
            continue;
        }
        if is_new_epoch {
            kernel.clear_failure_run(cell.slot);
        }
        kernel.publish(cell.slot, &row);
        if let Some(cell) = cells.by_id_mut(id) {
            cell.published = Some(row);
            cell.tokens_before = tokens_before;
        }
    }
}

fn row(
    cell: &Cell,
    directive: &Directive,
    action: Action,
    token_limit: u64,
    jiffies_per_second: Option<u32>,
    expires: Monotonic,
) -> Verdict {
    let word = VerdictWord {
        action,
        observe: directive.observe,
        half_open: directive.tokens.is_some(),
        admit_permille: directive.admit_permille,
        epoch: directive.epoch,
    };
    let hold = match action {
        Action::Delay(milliseconds) => Hold::new(milliseconds, jiffies_per_second.unwrap_or(0)),
        Action::Allow | Action::Deny(_) | Action::Redirect(_) => Hold::default(),
    };
    Verdict {
        word: word.pack(),
        expires_ns: expires.as_nanos(),
        token_limit,
        caller_timeout_ns: nanos(cell.policy.caller_timeout),
        slow_ns: cell.policy.slow_after().map_or(0, nanos),
        generation: cell.slot.generation,
        failure_run_limit: directive.failure_run_limit,
        turns_to_skip: u32::from(cell.policy.turns_to_skip),
        hold_jiffies: hold.jiffies,
        hold_slack_ns: hold.slack_ns,
        reserved: 0,
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
        Self { jiffies: wanted - early, slack_ns }
    }
}

/// What the kernel does with a connect that is shed. Without a healthy sibling to go to, it is
/// denied.
fn action(shed: Option<ShedAction>, cell: &Cell, siblings: &Siblings) -> Action {
    match shed {
        None => Action::Allow,
        Some(ShedAction::Deny(errno)) => Action::Deny(errno),
        Some(ShedAction::Delay(milliseconds)) => Action::Delay(milliseconds),
        Some(ShedAction::Redirect(errno)) => siblings
            .of(cell)
            .and_then(|CellId(slot)| u16::try_from(slot).ok())
            .map_or(Action::Deny(errno), Action::Redirect),
    }
}

/// Where redirects may go: for each caller, service and address family its first two healthy
/// cells, in the order of the policy file, in which fallbacks come last. Two, so that a cell that
/// is one of them finds the other.
#[derive(Debug, Default)]
struct Siblings(BTreeMap<(usize, usize, bool), Vec<CellId>>);

impl Siblings {
    fn find(cells: &Cells, engine: &Engine) -> Self {
        let mut found: BTreeMap<_, Vec<CellId>> = BTreeMap::new();
        for cell in cells.iter().filter(|cell| matches!(cell.policy.shed, ShedAction::Redirect(_)))
        {
            let healthy = found.entry(Self::group(cell)).or_default();
            if healthy.len() < 2 && engine.is_healthy(cell.id) {
                healthy.push(cell.id);
            }
        }
        Self(found)
    }

    fn of(&self, cell: &Cell) -> Option<CellId> {
        self.0.get(&Self::group(cell))?.iter().copied().find(|other| *other != cell.id)
    }

    fn group(cell: &Cell) -> (usize, usize, bool) {
        (cell.caller, cell.service, cell.endpoint.is_ipv4())
    }
}

fn epoch(verdict: &Verdict) -> u16 {
    shedder_common::verdict::epoch(verdict.word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_asks_for_half_a_timer_step_less() {
        let hold = |milliseconds| {
            let Hold { jiffies, slack_ns } = Hold::new(milliseconds, 250);
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
