//! What is done with a daemon of one size, and how it is seen.
//!
//! Invariant: whatever is called is well, so that no breaker opens by itself.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::effort::{during, rest};
use super::site::Site;
use super::{Busy, Options, Size};
use crate::caller::Caller;
use crate::clock::now;

/// Whether the metrics say that all endpoints and cgroups there are were taken in.
pub(super) fn guards(page: &str, size: Size) -> bool {
    let sum = |family: &str| -> u64 {
        let values = page.lines().filter(|line| line.starts_with(family));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    let found = (sum("shedder_map_entries{map=\"slots\"}"), sum("shedder_guarded_cgroups{"));
    found == (u64::from(size.endpoints), u64::from(size.cgroups))
}

/// Calls a hundredth of the endpoints, at least one, in each tick, and others in the next.
pub(super) fn busy(site: &Site, options: &Options) -> Result<Busy> {
    let cgroup = site.cgroups.first().context("there is no cgroup")?;
    let mut caller = Caller::spawn_in(cgroup, &site.namespace)?;
    let at_once = (site.endpoints.len() / 100).max(1);
    let mut parts = site.endpoints.chunks(at_once).cycle();
    let mut call = |part: &[SocketAddr]| -> Result<u64> {
        let tally = caller.burst(part, 1, 1)?;
        ensure!(tally.failed.is_empty(), "a connect failed: {tally:?}");
        Ok(tally.connected)
    };
    let (effort, connects) = during(site.daemon.pid(), || {
        let (begun, mut connects) = (now(), 0);
        let end = begun + Duration::from_secs(options.busy_seconds);
        let mut next = begun;
        while now() < end {
            connects += call(parts.next().context("there are no endpoints")?)?;
            next += site.tick;
            rest(next.saturating_duration_since(now()))?;
        }
        Ok(connects)
    })?;
    Ok(Busy { endpoints: u32::try_from(at_once)?, connects, effort })
}

/// Opens a breaker by hand and closes it; bytes that adds to the journal.
pub(super) fn episode(site: &Site) -> Result<u64> {
    let endpoint = site.endpoints.first().context("there are no endpoints")?.to_string();
    let journal = site.daemon.state_dir().join("journal.jsonl");
    let size = || fs::metadata(&journal).map(|file| file.len()).context("there is no journal");
    let mut last = size()?;
    let before = last;
    for order in ["trip", "reset"] {
        site.daemon.succeed(&[order, &endpoint])?;
        let deadline = now() + PATIENCE;
        while size()? == last {
            ensure!(now() < deadline, "the journal does not tell of a {order}");
            rest(WRITING)?;
        }
        rest(WRITING)?;
        last = size()?;
    }
    Ok(last - before)
}

/// A line of the journal is written within this.
const WRITING: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);
