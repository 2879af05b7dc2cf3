//! Cgroups that come and go, with processes that call endpoints nobody called before.
//!
//! Invariant: a cgroup lives long enough to be found and guarded, and no endpoint is called by two of them.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::callers::Shared;
use super::stage::WELL;
use crate::caller::{Caller, Tally};
use crate::clock::now;

/// One cgroup after the other, until the load is over; `number` is this thread's.
pub(super) fn come_and_go(shared: &Shared, number: u32) -> Result<Tally> {
    let mut sum = Tally::default();
    for life in 0.. {
        if shared.is_over() {
            break;
        }
        let first = WELL + (life * AT_ONCE + number) * ENDPOINTS;
        sum = Tally::sum([sum, live(shared, &format!("passing-{number}-{life}"), first)?]);
        shared.note_cgroup();
    }
    Ok(sum)
}

/// The life of one cgroup.
fn live(shared: &Shared, name: &str, first: u32) -> Result<Tally> {
    let cgroup = shared.stage.parent.child(name)?;
    let mut caller = Caller::spawn_in(&cgroup, &shared.stage.namespace)?;
    let addresses: Vec<_> =
        (first..first + ENDPOINTS).map(|number| shared.stage.well(number)).collect();
    let began = now();
    let mut sum = Tally::default();
    while began.elapsed() < LIFE && !shared.is_over() {
        let tally = caller.burst(&addresses, 1, 1).context("a passing caller")?;
        shared.note(&tally);
        sum = Tally::sum([sum, tally]);
        thread::sleep(PAUSE);
    }
    Ok(sum)
}

/// Cgroups there are at a time.
pub(super) const AT_ONCE: u32 = 8;
/// Endpoints that each calls. With those that are not yet forgotten they are some hundreds, of 4,096.
pub(super) const ENDPOINTS: u32 = 16;
/// A few times what the daemon takes to look for cgroups again.
const LIFE: Duration = Duration::from_secs(2);
/// The processors are for those that connect without one.
const PAUSE: Duration = Duration::from_millis(100);
