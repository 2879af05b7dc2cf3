//! What a guard costs while all is well: latency it adds, processor time, memory, and the most that goes through.
//!
//! Invariant: calls with a guard and calls without one become due by turns, so what the machine does to the ones it
//! does to the others; and each call is timed from when it was due.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use shedder_common::time::{Monotonic, nanos};

use super::generator::{Fate, Rate, Story};
use super::guard::Guard;
use super::site::{Calling, Site, soon};
use crate::backend::Backend;
use crate::bench::progress;
use crate::interrupt;
use crate::statistics::{figure, percentile};

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
    /// Compare only these, each beside no guard. `none` beside no guard tells what the comparison itself is worth.
    /// What shedder does with an open endpoint costs nothing while none is open, so it is measured once.
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

/// One guard in one round at one rate, beside no guard.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Run {
    round: u32,
    guard: Guard,
    /// Calls a second that were asked for; none for as many as go through, [`AT_ONCE`] at a time.
    rate: Option<f64>,
    guarded: Calls,
    bare: Calls,
}

/// What became of the calls of one caller.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Calls {
    count: u64,
    failed: u64,
    /// From when they became due to the end of the last one, in seconds.
    lasted_s: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    /// Processor time of the caller, its backends, and the guard's processes.
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
    progress::measuring("memory");
    let memory = options.guards.iter().copied().map(memory::weigh).collect::<Result<Vec<_>>>()?;
    let bare = ready(Guard::None)?;
    let mut sites = Vec::new();
    for guard in &options.guards {
        sites.push((*guard, ready(*guard)?));
    }
    let rates: Vec<Option<f64>> = options.rates.iter().copied().map(Some).chain([None]).collect();
    let length = Duration::try_from_secs_f64(options.seconds)?;
    let mut runs = Vec::new();
    for round in 0..options.rounds {
        progress::measuring(&format!("cost (round {} of {})", round + 1, options.rounds));
        for rate in &rates {
            for (guard, site) in &sites {
                interrupt::check()?;
                let (guarded, bare) = match *rate {
                    Some(rate) => by_turns(site, &bare, rate, length)?,
                    None => (most(site, length)?, most(&bare, length)?),
                };
                runs.push(Run { round, guard: *guard, rate: *rate, guarded, bare });
            }
        }
        sites.rotate_left(1);
    }
    Ok(Figures { runs, memory })
}

fn ready(guard: Guard) -> Result<Site> {
    interrupt::check()?;
    let site = Site::build(guard, BACKENDS, 1, "")?;
    site.warm_up()?;
    Ok(site)
}

/// So many calls a second of each caller, which become due by turns.
fn by_turns(guarded: &Site, bare: &Site, rate: f64, length: Duration) -> Result<(Calls, Calls)> {
    let start = soon();
    let half = Duration::try_from_secs_f64(0.5 / rate)?;
    let (one, other) = (Busy::of(guarded)?, Busy::of(bare)?);
    let first = guarded.call(&calling(Rate::PerSecond(rate), start, length))?;
    let second = bare.call(&calling(Rate::PerSecond(rate), start.plus(half), length))?;
    let (first, second) = (first.story()?, second.story()?);
    Ok((one.calls(guarded, &first)?, other.calls(bare, &second)?))
}

/// As many calls as go through while nobody else calls.
fn most(site: &Site, length: Duration) -> Result<Calls> {
    let before = Busy::of(site)?;
    let story = site.call(&calling(Rate::AtOnce(AT_ONCE), soon(), length))?.story()?;
    before.calls(site, &story)
}

fn calling(calls: Rate, start: Monotonic, length: Duration) -> Calling {
    Calling { caller: 0, calls, length, start, pool: 0, request: "ping" }
}

/// Processor time that a site has taken, but for its caller.
#[derive(Clone, Copy, Debug)]
struct Busy {
    backends: Duration,
    guard: Duration,
}

impl Busy {
    /// Until now.
    fn of(site: &Site) -> Result<Self> {
        let backends = site.backends.iter().map(Backend::processor_time).sum::<Result<_>>()?;
        Ok(Self { backends, guard: site.standing.processor_time()? })
    }

    /// What became of the calls that were made since.
    fn calls(self, site: &Site, story: &Story) -> Result<Calls> {
        let now = Self::of(site)?;
        let (p50_ns, p99_ns, p999_ns) = quantiles(story);
        let ends = story.calls.iter().map(|call| call.due_us * 1000 + call.took_ns);
        let failed = story.calls.iter().filter(|it| it.fate != Fate::Answered).count();
        Ok(Calls {
            count: u64::try_from(story.calls.len())?,
            failed: u64::try_from(failed)?,
            lasted_s: figure(ends.max().unwrap_or_default()) / 1e9,
            p50_ns,
            p99_ns,
            p999_ns,
            caller_cpu_ns: story.cpu_ns,
            backends_cpu_ns: nanos(now.backends.saturating_sub(self.backends)),
            guard_cpu_ns: nanos(now.guard.saturating_sub(self.guard)),
        })
    }
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
