//! From the engine's directives to rows in the verdict array.
//!
//! A row is written when it changes. That the daemon stands behind all of them is renewed at every
//! settling; one that hangs stops renewing, and traffic flows.

use shedder_common::time::Monotonic;
use shedder_common::verdict::Verdict;

use super::Daemon;
use super::cells::Cell;
use crate::engine::{CellId, Engine, ShedAction};
use crate::verdict_row::{Candidate, Group, Siblings, Tenant, action, row};

/// Brings the kernel's verdicts in line with the engine, which has touched these breakers since the last time.
pub(super) fn publish(daemon: &mut Daemon, touched: &[CellId], now: Monotonic) {
    daemon.verdicts_until = now.plus(daemon.config.node.verdict_ttl);
    daemon.kernel.keep_verdicts_until(daemon.verdicts_until);
    if find_siblings(daemon, touched) {
        let all: Vec<CellId> = daemon.cells.iter().map(|cell| cell.id).collect();
        publish_each(daemon, &all, now);
    } else {
        publish_each(daemon, touched, now);
    }
}

/// Finds out who may stand in for whom where that may have changed; whether it did so.
fn find_siblings(daemon: &mut Daemon, touched: &[CellId]) -> bool {
    let Daemon { engine, cells, siblings, .. } = daemon;
    let mut is_due = cells.take_reordered();
    for id in touched {
        if let Some(cell) = cells.by_id_mut(*id) {
            let stands_in = stands_in(cell, engine);
            is_due |= std::mem::replace(&mut cell.stands_in, stands_in) != stands_in;
        }
    }
    if is_due {
        *siblings = Siblings::find(cells.iter().map(candidate), engine);
    }
    is_due
}

fn publish_each(daemon: &mut Daemon, ids: &[CellId], now: Monotonic) {
    let Daemon { config, kernel, engine, cells, siblings, jiffies_per_second, handover, .. } =
        daemon;
    for id in ids.iter().copied() {
        let (Some(cell), Some(directive)) = (cells.by_id_mut(id), engine.directive(id, now)) else {
            continue;
        };
        // The engine has seen the burst and lets the endpoint be: the kernel must not refuse on.
        if directive.burst_limit.is_some_and(|limit| cell.failure_run >= u64::from(limit)) {
            kernel.clear_failure_run(cell.slot);
            cell.failure_run = 0;
        }
        let action = action(directive.shed, siblings.of(id, group(cell)));
        let is_new_epoch =
            cell.published.is_none_or(|published| epoch(&published) != directive.epoch);
        if is_new_epoch {
            // Granted on top of what was taken when the epoch began: a renewal grants nothing more.
            cell.tokens_before = kernel.counters(cell.slot).tokens_taken;
        }
        let token_limit =
            directive.tokens.map_or(0, |tokens| cell.tokens_before.saturating_add(tokens.into()));
        let tenant = Tenant {
            policy: &cell.policy,
            protocol: config.services[cell.service].protocol_code(),
            generation: cell.slot.generation,
            jiffies_per_second: *jiffies_per_second,
            udp: config.services[cell.service].udp,
        };
        let row = row(&tenant, &directive, action, token_limit);
        if cell.published == Some(row) {
            continue;
        }
        if is_new_epoch {
            cell.ring.forget(&kernel.in_flight(cell.slot), now);
        }
        kernel.publish(cell.slot, &row);
        if is_new_epoch {
            // Behind the row: what held back connects until now was the run, and no row that begins an epoch
            // looks at it.
            kernel.clear_failure_run(cell.slot);
            cell.failure_run = 0;
        }
        cell.published = Some(row);
        handover.touch(id);
    }
}

/// Whether connects to others may be sent to this one.
fn stands_in(cell: &Cell, engine: &Engine) -> bool {
    matches!(cell.policy.shed, ShedAction::Redirect(_)) && engine.is_healthy(cell.id)
}

fn candidate(cell: &Cell) -> Candidate<'_> {
    Candidate { cell: cell.id, group: group(cell), rank: cell.rank, policy: &cell.policy }
}

fn group(cell: &Cell) -> Group {
    (cell.caller, cell.service, cell.endpoint.is_ipv4(), cell.key.network)
}

fn epoch(verdict: &Verdict) -> u16 {
    shedder_common::verdict::epoch(verdict.word)
}
