//! What became of the calls.
//!
//! Invariant: a call counts for a well endpoint only if the endpoint was well from before the call to
//! after its end.

use std::net::SocketAddr;

use serde::Serialize;

use super::stage::SHED_ERRNO;
use crate::caller::{Call, Phase};

/// All calls so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Ledger {
    /// To endpoints that were well throughout.
    pub(super) well: Outcomes,
    /// To all others: ill, healing, or changing meanwhile.
    pub(super) ill: Outcomes,
    /// What the first losses of well endpoints looked like.
    pub(super) losses: Vec<String>,
}

/// How calls ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outcomes {
    pub(super) answered: u64,
    /// There was no connection, because shedder refused it.
    pub(super) shed: u64,
    /// There was no connection for another reason.
    pub(super) not_connected: u64,
    /// There was a connection, and no answer.
    pub(super) unanswered: u64,
}

impl Ledger {
    /// Notes one call.
    pub(super) fn note(&mut self, endpoint: SocketAddr, was_well: bool, call: &Call) {
        let outcomes = if was_well { &mut self.well } else { &mut self.ill };
        let Some(failure) = call.failure else {
            outcomes.answered += 1;
            return;
        };
        if call.connect_errno() == Some(SHED_ERRNO) {
            outcomes.shed += 1;
        } else if failure.phase == Phase::Connect {
            outcomes.not_connected += 1;
        } else {
            outcomes.unanswered += 1;
        }
        if was_well && self.losses.len() < LOSSES_TOLD {
            let after_ms = call.total_us / 1000;
            self.losses.push(format!("{endpoint}: {failure} after {after_ms} ms"));
        }
    }

    /// Puts what two callers noted together.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.well = self.well.plus(other.well);
        self.ill = self.ill.plus(other.ill);
        self.losses.extend(other.losses);
        self.losses.truncate(LOSSES_TOLD);
        self
    }
}

impl Outcomes {
    pub(super) const fn calls(self) -> u64 {
        self.answered + self.shed + self.not_connected + self.unanswered
    }

    /// Connects that should have succeeded, where the endpoint was well.
    pub(super) const fn lost(self) -> u64 {
        self.shed + self.not_connected
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            answered: self.answered + other.answered,
            shed: self.shed + other.shed,
            not_connected: self.not_connected + other.not_connected,
            unanswered: self.unanswered + other.unanswered,
        }
    }
}

const LOSSES_TOLD: usize = 10;
