//! The programs of shedder, attached and detached as the rounds need them.
//!
//! Invariant: the verdicts are published once and stay in force; only the attachments change.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use shedder_common::caller::CallerRow;
use shedder_common::endpoint::EndpointKey;
use shedder_common::errno::Errno;
use shedder_common::time::nanos;
use shedder_common::verdict::{Action, Verdict, VerdictWord};
use shedder_user::clock::now;
use shedder_user::kernel::{Attachment, Cgroup2, Kernel, LoadOptions, Needs};

use super::comparison::{ALLOWED, REFUSED};
use super::crowd::{Crowd, endpoints};
use crate::cgroup::Cgroup;

/// Whom the programs are attached for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attached {
    /// They are not attached.
    No,
    /// The client, who has slots.
    Client,
    /// The client, whom the programs take for a cgroup the daemon has not named yet: they run and
    /// leave at once.
    Nobody,
    /// Every caller of the crowd.
    Crowd,
}

/// The loaded programs and the cgroups they are for.
#[derive(Debug)]
pub(super) struct Guard {
    kernel: Kernel,
    hierarchy: Cgroup2,
    /// The client's.
    cgroup: String,
    crowd: Vec<(u32, String)>,
}

impl Guard {
    /// Loads the programs and publishes the verdicts; nothing is attached yet.
    pub(super) fn load(cgroup: &Cgroup, crowd: &Crowd<'_>) -> Result<Self> {
        let mut kernel =
            Kernel::load(&LoadOptions { slots: SLOTS, round_trips: false, debug: false })?;
        kernel.keep_verdicts_until(now().plus(Duration::from_hours(24)));
        let crowd = crowd.callers().map(|(caller, name)| (caller, name.to_owned())).collect();
        let mut guard =
            Self { kernel, hierarchy: Cgroup2::find()?, cgroup: cgroup.name().to_owned(), crowd };
        let deny = VerdictWord {
            action: Action::Deny(Errno::ConnectionRefused),
            enforce_percent: 100,
            ..VerdictWord::allow(EPOCH)
        };
        // As a closed breaker's verdict is, by default.
        let allow = VerdictWord { on_burst: true, ..deny };
        for endpoint in ALLOWED {
            guard.publish(CLIENT, endpoint, allow)?;
        }
        guard.publish(CLIENT, REFUSED, deny)?;
        for (caller, _) in guard.crowd.clone() {
            for endpoint in endpoints() {
                guard.publish(caller, endpoint, allow)?;
            }
        }
        Ok(guard)
    }

    /// Attaches every program, for as long as the result lives.
    pub(super) fn attach(&mut self, attached: Attached) -> Result<Vec<Attachment>> {
        let callers = match attached {
            Attached::No => Vec::new(),
            Attached::Client => vec![(CLIENT, self.cgroup.clone())],
            Attached::Nobody => vec![(NOBODY, self.cgroup.clone())],
            Attached::Crowd => self.crowd.clone(),
        };
        let attach = |(caller, cgroup): (u32, String)| {
            let cgroup = self.hierarchy.guard(&cgroup)?;
            self.kernel
                .attach(cgroup, CallerRow { id: caller, asks: 0, cohort: 0 }, NEEDS, None)
                .context("cannot attach for a round")
        };
        callers.into_iter().map(attach).collect()
    }

    fn publish(&mut self, caller: u32, endpoint: SocketAddr, word: VerdictWord) -> Result<()> {
        let slot = self.kernel.add_slot(EndpointKey::new(caller, endpoint), now())?;
        let verdict = Verdict {
            word: word.pack(),
            caller_timeout_ns: nanos(Duration::from_secs(1)),
            slow_ns: nanos(Duration::from_millis(500)),
            generation: slot.generation,
            failure_run_limit: 20,
            burst_limit: 20,
            ..Verdict::CLEAR
        };
        self.kernel.publish(slot, &verdict);
        Ok(())
    }
}

const NEEDS: Needs = Needs { packets: true, peer_names: false, datagrams: false };
const SLOTS: u32 = 512;
const EPOCH: u16 = 1;
const NOBODY: u32 = 0;
/// The callers of the crowd come after it.
const CLIENT: u32 = 1;
