//! Whether most services go bad at once: then the node is at fault, or its network.
//!
//! Invariant: as with brakes, what one caller alone says counts for half at most with the others.

use shedder_common::time::Monotonic;

use super::Safety;
use super::services::BadServices;
use crate::engine::notice::Notice;

impl Safety {
    /// Whether the node is suspect to a caller.
    pub(super) fn suspect(
        &mut self,
        caller: u32,
        now: Monotonic,
        notices: &mut Vec<Notice>,
    ) -> bool {
        let services = self.services.bad_for(caller, None, self.rules.suspect_permille, now);
        let is_suspect = services.are_suspect(self.rules.suspect_permille);
        let has_changed =
            if is_suspect { self.suspects.insert(caller) } else { self.suspects.remove(&caller) };
        // What holds for several callers is told once.
        let is_told = |other: &u32| *other != caller && self.is_suspect_to(*other, now);
        if has_changed && !self.suspects.iter().any(is_told) {
            let BadServices { bad: degraded, active } = services;
            notices.push(Notice::NodeSuspect { is_over: !is_suspect, degraded, active, at: now });
        }
        is_suspect
    }

    /// Whether it would be if one more of its services went bad. `bad` is what anybody says.
    pub(super) fn would_suspect(
        &self,
        caller: u32,
        service: u32,
        bad: BadServices,
        now: Monotonic,
    ) -> bool {
        let permille = self.rules.suspect_permille;
        // Mostly so few are bad that there is nothing to weigh.
        let most = BadServices { bad: bad.bad + 1, active: bad.active.max(1) };
        let enough = most.bad * 1000 >= most.active * usize::from(permille);
        enough && self.services.bad_for(caller, Some(service), permille, now).are_suspect(permille)
    }

    fn is_suspect_to(&self, caller: u32, now: Monotonic) -> bool {
        let permille = self.rules.suspect_permille;
        self.services.bad_for(caller, None, permille, now).are_suspect(permille)
    }
}
