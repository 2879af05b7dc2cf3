//! The refused connects the kernel told of, newest last: what a person asks about minutes later.

use std::collections::VecDeque;

use shedder_common::event::RefusalRecord;

use crate::api::model::Reason;

/// As many as are kept.
#[derive(Debug, Default)]
pub(super) struct Refusals(VecDeque<Refusal>);

/// One refused connect, with what was known then.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) record: RefusalRecord,
    /// What the breaker did, and why, when the daemon heard of it.
    pub(super) state: &'static str,
    pub(super) reason: Option<Reason>,
}

impl Refusals {
    pub(super) fn push(&mut self, refusal: Refusal) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(refusal);
    }

    /// Those that are `wanted`, newest first.
    pub(super) fn newest(
        &self,
        wanted: impl Fn(&Refusal) -> bool,
    ) -> impl Iterator<Item = &Refusal> {
        self.0.iter().rev().filter(move |refusal| wanted(refusal))
    }
}

const KEPT: usize = 2048;
