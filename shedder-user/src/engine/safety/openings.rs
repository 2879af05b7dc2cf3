//! What may be opened, reckoned before anything wishes to: the kernel is to shed a burst of failures
//! without asking, where nothing would object.
//!
//! Invariant: it may be more careful than [`Safety::rule`], never less.

use shedder_common::time::Monotonic;

use super::{Group, MINUTE, SECOND, Safety};
use crate::engine::CellId;
use crate::engine::breaker::Breaker;
use crate::engine::cells::Cells;
use crate::engine::policy::{Lone, SafetyRule, ShedAction};
use crate::engine::state::State;

impl Safety {
    /// What may open has to be reckoned again, because `cell` has changed.
    pub(in crate::engine) fn expect_change(&mut self, cell: CellId, all: &Cells) {
        let Some(place) = all.place(cell) else { return };
        if let Some(group) = self.groups.get_mut(&(place.caller, place.service)) {
            group.use_it(cell);
            group.reckon_at = None;
        }
    }

    /// Reckons what may open, where something has changed or time may have changed it.
    pub(in crate::engine) fn reckon_openings(&mut self, all: &Cells, now: Monotonic) {
        let is_stirred = std::mem::take(&mut self.is_stirred);
        let is_due = |group: &Group| is_stirred || group.reckon_at.is_none_or(|at| at <= now);
        let due: Vec<(u32, u32)> =
            self.groups.iter().filter(|(_, group)| is_due(group)).map(|(key, _)| *key).collect();
        if due.is_empty() {
            return;
        }
        // What is in use now may be so no longer before this is reckoned again.
        let moments = [now, now.plus(SECOND)];
        let known = moments.map(|at| (at, self.services.bad(at), self.load(at)));
        for (caller, service) in due {
            let node_lets = known.iter().all(|(at, bad, load)| {
                self.brake_of(caller, *load, *at).is_none()
                    && !self.would_suspect(caller, service, *bad, *at)
            });
            if let Some(group) = self.groups.get_mut(&(caller, service)) {
                group.forget_unused(all, now);
                let lets_open = node_lets && group.may_open_one_more(all, moments);
                if lets_open != group.lets_open {
                    group.lets_open = lets_open;
                    self.changed.push((caller, service));
                }
                group.reckon_at = Some(now.plus(SECOND));
            }
        }
    }
}

impl Group {
    /// As [`Safety::restrain`], for whichever of them it is, and for as many of them as may be in use
    /// at one of the moments or in between. All of them have one policy.
    fn may_open_one_more(&self, all: &Cells, moments: [Monotonic; 2]) -> bool {
        let Some(first) = self.cells.first().and_then(|cell| all.breaker(*cell)) else {
            return false;
        };
        let rule = &first.policy().safety;
        let redirects = matches!(first.policy().shed, ShedAction::Redirect(_));
        let breakers = self.used(all).map(|(_, breaker)| breaker);
        let is_open =
            |breaker: &&Breaker| matches!(breaker.stage_state(), State::Open | State::HalfOpen);
        let open = breakers.clone().filter(is_open).count();
        let in_use = |now| {
            if redirects {
                return self.cells.len();
            }
            breakers.clone().filter(|it| it.is_in_use(MINUTE, now)).count()
        };
        let [now, soon] = moments.map(in_use);
        // One that is not in use yet may be the one, or come into use beside it.
        let (least, most) = (soon.min(now).max(1), (now + 1).min(self.cells.len()));
        (least..=most).all(|active| match active {
            1 => rule.lone == Lone::Open,
            _ => open < allowed_open(active, rule),
        })
    }
}

/// How many of so many endpoints in use may be open at once.
pub(super) fn allowed_open(active: usize, rule: &SafetyRule) -> usize {
    let least = usize::from(active >= 3);
    (active * usize::from(rule.max_open_percent) / 100).max(least)
}
