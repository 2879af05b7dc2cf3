//! How a daemon grows with endpoints and cgroups, and what that means for a fleet.
//!
//! Invariant: each size is a daemon of its own with a policy of that size and the defaults otherwise, and
//! all of it is gone before the next one starts.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

mod drive;
mod effort;
mod fit;
mod fleet;
mod growth;
mod pictures;
mod site;
mod text;

pub(super) use self::pictures::plots;
pub(super) use self::text::chapter;

use self::drive::{busy, episode, guards};
use self::effort::{Effort, during, rest};
use self::site::Site;
use super::maps::bytes_of_maps;
use crate::bench::progress::measuring;
use crate::vitals::Vitals;
use crate::web;

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Numbers of endpoints, in one cgroup.
    #[arg(long, value_delimiter = ',', default_values_t = ENDPOINTS)]
    endpoints: Vec<u32>,
    /// Numbers of cgroups, with a thousand endpoints.
    #[arg(long, value_delimiter = ',', default_values_t = CGROUPS)]
    cgroups: Vec<u32>,
    /// How often each daemon is started.
    #[arg(long, default_value_t = STARTS)]
    starts: u32,
    /// Seconds each daemon is watched while nobody calls.
    #[arg(long, default_value_t = IDLE_SECONDS)]
    seconds: u64,
    /// Seconds it is watched while a hundredth of its endpoints is called in each tick.
    #[arg(long, default_value_t = BUSY_SECONDS)]
    busy_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoints: ENDPOINTS.to_vec(),
            cgroups: CGROUPS.to_vec(),
            starts: STARTS,
            seconds: IDLE_SECONDS,
            busy_seconds: BUSY_SECONDS,
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Figures {
    /// How often a daemon looks at the evidence.
    tick_ms: u64,
    /// How often it looks for new cgroups.
    rescan_ms: u64,
    /// Bytes the journal of a node may have.
    journal_limit: u64,
    /// The first has one endpoint and one cgroup: the floor of all figures.
    cases: Vec<Case>,
}

/// A size and what it takes.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Case {
    #[serde(flatten)]
    size: Size,
    /// From the start of the process until it guards, of each start.
    starts_ns: Vec<u64>,
    idle: Effort,
    /// Not where each cgroup has endpoints of its own: one caller cannot call them all.
    busy: Option<Busy>,
    /// Memory of the process.
    resident_bytes: u64,
    /// Memory of its maps, by the kernel's account.
    map_bytes: u64,
    /// Of the page that Prometheus reads.
    series: u64,
    page_bytes: u64,
    /// What a breaker that opens and closes again adds to the journal.
    episode_bytes: u64,
}

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Size {
    shape: Shape,
    /// All of the node together; as many as there can be.
    endpoints: u32,
    cgroups: u32,
}

/// Who calls what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Shape {
    /// A pattern that matches all cgroups, which share the endpoints and their breakers.
    OneCaller,
    /// A caller and a service for each cgroup, with its part of the endpoints.
    CallerEach,
}

/// While a hundredth of the endpoints is called in each tick.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Busy {
    /// Endpoints called in a tick.
    endpoints: u32,
    connects: u64,
    effort: Effort,
}

/// Measures.
pub(super) fn measure(options: &Options) -> Result<Figures> {
    let mut figures = Figures { tick_ms: 0, rescan_ms: 0, journal_limit: 0, cases: Vec::new() };
    for size in sizes(options) {
        measuring(&format!("{} endpoints in {} cgroups", size.endpoints, size.cgroups));
        let site = Site::build(size, options.starts)?;
        figures.rescan_ms = u64::try_from(site.rescan.as_millis())?;
        figures.journal_limit = site.journal_limit;
        figures.tick_ms = u64::try_from(site.tick.as_millis())?;
        figures.cases.push(one(&site, size, options)?);
    }
    Ok(figures)
}

/// From the least to the greatest: the floor, endpoints in one cgroup, cgroups with the same endpoints
/// in both shapes, and the greatest of both.
fn sizes(options: &Options) -> Vec<Size> {
    let one = |endpoints, cgroups| Size { shape: Shape::OneCaller, endpoints, cgroups };
    let mut sizes = vec![one(1, 1)];
    sizes.extend(options.endpoints.iter().map(|endpoints| one(*endpoints, 1)));
    sizes.push(one(MIDDLE, 1));
    for cgroups in options.cgroups.iter().copied().filter(|cgroups| *cgroups > 1) {
        sizes.push(one(MIDDLE, cgroups));
        let shape = Shape::CallerEach;
        sizes.push(Size { shape, endpoints: MIDDLE.max(cgroups), cgroups });
    }
    let greatest = (options.endpoints.iter().max(), options.cgroups.iter().max());
    if let (Some(endpoints), Some(cgroups)) = greatest {
        sizes.push(one(*endpoints, *cgroups));
    }
    let mut seen: Vec<Size> = Vec::new();
    for size in sizes {
        if !seen.contains(&size) {
            seen.push(size);
        }
    }
    seen
}

fn one(site: &Site, size: Size, options: &Options) -> Result<Case> {
    let pid = site.daemon.pid();
    rest(SETTLING)?;
    let (idle, ()) = during(pid, || rest(Duration::from_secs(options.seconds)))?;
    let resident_bytes = Vitals::of(pid)?.resident_kib * 1024;
    let busy = match size.shape {
        Shape::OneCaller => Some(busy(site, options)?),
        Shape::CallerEach => None,
    };
    let page = web::fetch(site.daemon.pages()?, "/metrics")?.text;
    ensure!(guards(&page, size), "the daemon does not guard {size:?}: {}", site.daemon.log());
    let series = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    let starts = site.starts.iter().map(|time| u64::try_from(time.as_nanos()));
    Ok(Case {
        size,
        starts_ns: starts.collect::<Result<_, _>>()?,
        idle,
        busy,
        resident_bytes,
        map_bytes: bytes_of_maps(pid)?,
        series: u64::try_from(series)?,
        page_bytes: u64::try_from(page.len())?,
        episode_bytes: episode(site)?,
    })
}

const ENDPOINTS: [u32; 4] = [100, 1_000, 10_000, shedder_common::map::MAX_SLOTS];
const CGROUPS: [u32; 3] = [1, 100, 1_000];
/// Endpoints where cgroups are what grows.
const MIDDLE: u32 = 1_000;
const STARTS: u32 = 3;
const IDLE_SECONDS: u64 = 10;
const BUSY_SECONDS: u64 = 5;
/// What a start leaves to be done.
const SETTLING: Duration = Duration::from_secs(1);
