//! The programs of shedder, attached and detached as the rounds need them.
//!
//! Invariant: the verdicts are published once and stay in force; only the attachment changes.

use std::time::Duration;

use anyhow::{Context, Result};
use shedder_common::endpoint::EndpointKey;
use shedder_common::errno::Errno;
use shedder_common::time::nanos;
use shedder_common::verdict::{Action, Verdict, VerdictWord};
use shedder_user::clock::now;
use shedder_user::kernel::{Attachment, Cgroup2, Kernel, LoadOptions, Needs};

use super::comparison::{ALLOWED, CALLER, REFUSED};
use crate::cgroup::Cgroup;

/// The loaded programs and the cgroup they are for.
#[derive(Debug)]
pub(in crate::bench) struct Guard {
    kernel: Kernel,
    hierarchy: Cgroup2,
    cgroup: String,
}

impl Guard {
    /// Loads the programs and publishes the verdicts; nothing is attached yet.
    pub(in crate::bench) fn load(cgroup: &Cgroup) -> Result<Self> {
        let mut kernel =
            Kernel::load(&LoadOptions { slots: SLOTS, round_trips: false, debug: false })?;
        kernel.keep_verdicts_until(now().plus(Duration::from_hours(24)));
        let deny = VerdictWord {
            action: Action::Deny(Errno::ConnectionRefused),
            ..VerdictWord::allow(EPOCH)
        };
        // As a closed breaker's verdict is, by default.
        let allow = VerdictWord { on_burst: true, ..deny };
        let allowed = ALLOWED.map(|endpoint| (endpoint, allow));
        for (endpoint, word) in allowed.into_iter().chain([(REFUSED, deny)]) {
            let slot = kernel.add_slot(EndpointKey::new(CALLER, endpoint))?;
            let verdict = Verdict {
                word: word.pack(),
                caller_timeout_ns: nanos(Duration::from_secs(1)),
                slow_ns: nanos(Duration::from_millis(500)),
                generation: slot.generation,
                failure_run_limit: 20,
                burst_limit: 20,
                ..Verdict::CLEAR
            };
            kernel.publish(slot, &verdict);
        }
        let hierarchy = Cgroup2::find()?;
        Ok(Self { kernel, hierarchy, cgroup: cgroup.name().to_owned() })
    }

    /// Attaches every program for `caller`, for as long as the result lives.
    pub(super) fn attach(&mut self, caller: u32) -> Result<Attachment> {
        let cgroup = self.hierarchy.guard(&self.cgroup)?;
        self.kernel.attach(cgroup, caller, NEEDS, None).context("cannot attach for a round")
    }
}

const NEEDS: Needs = Needs { packets: true, peer_names: false };
const SLOTS: u32 = 64;
const EPOCH: u16 = 1;
