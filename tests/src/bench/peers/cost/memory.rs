//! What guards hold of memory, with one endpoint and with a thousand.
//!
//! Invariant: it is what their processes have of their own by the kernel's account, and what the kernel holds
//! for them in maps.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Behaviour};
use crate::bench::peers::guard::{Guard, Standing};
use crate::bench::peers::maps::bytes_of_maps;
use crate::cgroup::Cgroup;
use crate::netns::NetNs;

/// Of one guard.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Memory {
    pub(super) guard: Guard,
    /// KiB of its processes, shared pages counted in part (PSS), with one endpoint.
    pub(super) one_kib: u64,
    /// The same with a thousand.
    pub(super) thousand_kib: u64,
    /// KiB the kernel accounts to its maps, with a thousand.
    pub(super) maps_kib: u64,
}

/// Starts it twice, with one endpoint and with a thousand.
pub(super) fn weigh(guard: Guard) -> Result<Memory> {
    let (one_kib, _) = weigh_with(guard, 1)?;
    let (thousand_kib, maps_kib) = weigh_with(guard, 1000)?;
    Ok(Memory { guard, one_kib, thousand_kib, maps_kib })
}

fn weigh_with(guard: Guard, endpoints: u32) -> Result<(u64, u64)> {
    let namespace = NetNs::new("weigh")?;
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let _backend = namespace.enter(|| Backend::start_at(everywhere, Behaviour::Healthy))??;
    let cgroup = Cgroup::new("weigh")?;
    let first = Ipv4Addr::new(127, 1, 0, 1).to_bits();
    let address = |number| SocketAddr::from((Ipv4Addr::from_bits(first + number), PORT));
    let endpoints: Vec<SocketAddr> = (0..endpoints).map(address).collect();
    let standing = guard.stand(&namespace, &[cgroup.name()], &endpoints, "")?;
    let kib = standing.pids()?.into_iter().map(proportional_kib).sum::<Result<u64>>()?;
    let maps = match &standing {
        Standing::Shedder(daemon) => bytes_of_maps(daemon.pid())?,
        Standing::None | Standing::Proxy(_) => 0,
    };
    Ok((kib, maps / 1024))
}

fn proportional_kib(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .context("the memory of a guard cannot be read")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.context("the memory of a guard is not told")
}

const PORT: u16 = 7300;
