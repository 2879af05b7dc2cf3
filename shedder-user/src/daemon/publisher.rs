//! From the engine's directives to rows in the verdict array.
//!
//! A shedding verdict is renewed at every settling; one that allows is written when it changes. A
//! daemon that hangs stops renewing, and traffic flows.

use shedder_common::time::Monotonic;
use shedder_common::verdict::{Action, Verdict};

use super::Daemon;
use super::cells::Cell;
use crate::engine::CellId;
use crate::verdict_row::{Group, Siblings, Tenant, action, row};

/// Brings the kernel's verdicts in line with the engine.
pub(super) fn publish(daemon: &mut Daemon, now: Monotonic) {
    let Daemon { config, kernel, engine, cells, jiffies_per_second, .. } = daemon;
    let expires = now.plus(config.node.verdict_ttl);
    let siblings =
        Siblings::find(cells.iter().map(|cell| (cell.id, group(cell), &*cell.policy)), engine);
    for index in 0..cells.len() {
        let id = CellId(u32::try_from(index).expect("cells are numbered by slots"));
        let (Some(directive), Some(cell)) = (engine.directive(id, now), cells.by_id(id)) else {
            continue;
        };
        let action = action(directive.shed, siblings.of(id, group(cell)));
        let is_new_epoch =
            cell.published.is_none_or(|published| epoch(&published) != directive.epoch);
        // Granted on top of what was taken when the epoch began: a renewal grants nothing more.
        let tokens_before =
            if is_new_epoch { kernel.counters(cell.slot).tokens_taken } else { cell.tokens_before };
        let token_limit =
            directive.tokens.map_or(0, |tokens| tokens_before.saturating_add(tokens.into()));
        let tenant = Tenant {
            policy: &cell.policy,
            generation: cell.slot.generation,
            jiffies_per_second: *jiffies_per_second,
        };
        let row = row(&tenant, &directive, action, token_limit, expires);
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
            if is_new_epoch {
                cell.ring.forget(&kernel.in_flight(cell.slot), now);
            }
        }
    }
}

fn group(cell: &Cell) -> Group {
    (cell.caller, cell.service, cell.endpoint.is_ipv4())
}

fn epoch(verdict: &Verdict) -> u16 {
    shedder_common::verdict::epoch(verdict.word)
}
