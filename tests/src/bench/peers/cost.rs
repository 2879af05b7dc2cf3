//! What a guard costs while all is well: latency it adds, processor time, memory, and the most that goes through.
//!
//! Invariant: the guards take turns in every round, in an order that turns round, so a machine that gets faster
//! or slower favours none; and each call is timed from when it was due.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::generator::{Fate, Rate, Story};
use super::guard::Guard;
use super::site::{Calling, Site, soon};
use crate::bench::progress;
use crate::interrupt;
use crate::statistics::{figure, percentile};
use crate::vitals::processor_time;

mod memory;
mod pictures;
mod text;

use memory::Memory;
pub(super) use pictures::plots;
pub(super) use text::chapter;

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Rounds; in each, every guard is measured once at every rate.
    #[arg(long, default_value_t = ROUNDS, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of calls, at each rate in each round.
    #[arg(long, default_value_t = SECONDS)]
    seconds: f64,
    /// Calls a second.
    #[arg(long, value_delimiter = ',', default_values_t = RATES)]
    rates: Vec<f64>,
    /// Compare only these. What shedder does with an open endpoint costs nothing while none is open, so it is
    /// measured once.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = GUARDS)]
    guards: Vec<Guard>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Figures {
    /// Round by round.
    runs: Vec<Run>,
    /// Of each guard.
    memory: Vec<Memory>,
}

/// One guard in one round at one rate.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Run {
    round: u32,
    guard: Guard,
    /// Calls a second that were asked for; none for as many as go through, [`AT_ONCE`] at a time.
    rate: Option<f64>,
    calls: u64,
    failed: u64,
    /// From when the calls became due to the end of the last one, in seconds.
    lasted_s: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    /// Processor time of the caller, the backends, and the guard's processes.
    caller_cpu_ns: u64,
    backends_cpu_ns: u64,
    guard_cpu_ns: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: ROUNDS, seconds: SECONDS, rates: RATES.to_vec(), guards: GUARDS.to_vec() }
    }
}

/// Measures.
pub(super) fn measure(options: &Options) -> Result<Figures> {
    ensure!(options.guards.contains(&Guard::None), "nothing to compare with: --guards lacks none");
    progress::measuring("memory");
    let memory = options.guards.iter().copied().map(memory::weigh).collect::<Result<Vec<_>>>()?;
    let mut sites = Vec::new();
    for guard in &options.guards {
        interrupt::check()?;
        let site = Site::build(*guard, BACKENDS, 1, "")?;
        site.warm_up()?;
        sites.push((*guard, site));
    }
    let rates: Vec<Option<f64>> = options.rates.iter().copied().map(Some).chain([None]).collect();
    let length = Duration::try_from_secs_f64(options.seconds)?;
    let mut runs = Vec::new();
    for round in 0..options.rounds {
        progress::measuring(&format!("cost (round {} of {})", round + 1, options.rounds));
        for rate in &rates {
            for (guard, site) in &sites {
                interrupt::check()?;
                runs.push(run(round, *guard, site, *rate, length)?);
            }
        }
        sites.rotate_left(1);
    }
    Ok(Figures { runs, memory })
}

fn run(round: u32, guard: Guard, site: &Site, rate: Option<f64>, length: Duration) -> Result<Run> {
    let calling = Calling {
        caller: 0,
        calls: rate.map_or(Rate::AtOnce(AT_ONCE), Rate::PerSecond),
        length,
        start: soon(),
        pool: 0,
        request: "ping",
    };
    let ours = std::process::id();
    let before = (processor_time(ours)?, site.standing.processor_time()?);
    let story = site.call(&calling)?.story()?;
    let after = (processor_time(ours)?, site.standing.processor_time()?);
    let nanoseconds = |time: Duration| shedder_common::time::nanos(time);
    let (p50_ns, p99_ns, p999_ns) = quantiles(&story);
    let ends = story.calls.iter().map(|call| call.due_us * 1000 + call.took_ns);
    Ok(Run {
        round,
        guard,
        rate,
        calls: u64::try_from(story.calls.len())?,
        failed: u64::try_from(story.calls.iter().filter(|it| it.fate != Fate::Answered).count())?,
        lasted_s: figure(ends.max().unwrap_or_default()) / 1e9,
        p50_ns,
        p99_ns,
        p999_ns,
        caller_cpu_ns: story.cpu_ns,
        backends_cpu_ns: nanoseconds(after.0.saturating_sub(before.0)),
        guard_cpu_ns: nanoseconds(after.1.saturating_sub(before.1)),
    })
}

fn quantiles(story: &Story) -> (u64, u64, u64) {
    let mut took: Vec<u64> = story.calls.iter().map(|call| call.took_ns).collect();
    took.sort_unstable();
    let at = |percent| percentile(&took, percent).unwrap_or_default();
    // The thousandth, which is no whole percentage.
    let rank = took.len().saturating_sub(1) - took.len() / 1000;
    (at(50), at(99), took.get(rank).copied().unwrap_or_default())
}

const GUARDS: [Guard; 6] =
    [Guard::None, Guard::Shedder, Guard::Envoy, Guard::EnvoyTuned, Guard::HaProxy, Guard::Nginx];
const ROUNDS: u32 = 7;
const SECONDS: f64 = 2.0;
/// From next to nothing to half of what goes through on two processors.
const RATES: [f64; 3] = [200.0, 1000.0, 4000.0];
/// Calls under way where the most that goes through is measured.
const AT_ONCE: usize = 32;
const BACKENDS: u8 = 5;
