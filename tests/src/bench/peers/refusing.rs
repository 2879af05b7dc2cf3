//! What it costs to be refused: by a closed port, by nftables, by shedder, and by proxies whose endpoints are
//! all down.
//!
//! Invariant: every way is measured once in every round, in an order that turns round, by one thread that
//! does one call after the other; and a call that is not refused ends the measurement.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::bench::{machine, progress};
use crate::clock::{now, remaining, thread_time};
use crate::interrupt;
use crate::statistics::percentile;

mod arm;
mod call;
mod pictures;
mod place;
mod site;
mod text;

use arm::Arm;
use call::Call;
use place::Place;
use site::Site;

pub(super) use pictures::plots;
pub(super) use text::chapter;

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Rounds; in each, every way of being refused is measured once.
    #[arg(long, default_value_t = ROUNDS, value_parser = clap::value_parser!(u32).range(3..=1000))]
    rounds: u32,
    /// Milliseconds for which calls are made each time.
    #[arg(long, default_value_t = MILLIS, value_parser = clap::value_parser!(u64).range(50..=10_000))]
    millis: u64,
    /// Seconds after which no more rounds are begun.
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Figures {
    /// Round by round.
    turns: Vec<Turn>,
}

/// One way of being refused in one round.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Turn {
    round: u32,
    arm: Arm,
    /// Calls, of which each was refused.
    refusals: u64,
    /// From the first call to the end of the last, in nanoseconds.
    lasted_ns: u64,
    /// From making the socket to closing it, at each of [`PERCENTS`].
    percentiles_ns: Vec<u64>,
    mean_ns: u64,
    /// Processor time of the thread that calls, and of the processes that refuse.
    client_cpu_ns: u64,
    guard_cpu_ns: u64,
    /// Connects that reached an endpoint, or tried to.
    reached: u64,
    /// What the application saw, and how often.
    seen: BTreeMap<String, u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: ROUNDS, millis: MILLIS, seconds: SECONDS }
    }
}

/// Measures.
pub(super) fn measure(options: &Options) -> Result<Figures> {
    progress::measuring("nothing yet: proxies are to find out that their endpoints are down");
    let site = Site::build()?;
    site.settle()?;
    let length = Duration::from_millis(options.millis);
    let deadline = now() + Duration::from_secs(options.seconds);
    let mut turns = Vec::new();
    for round in 0..=options.rounds {
        if remaining(deadline).is_none() {
            break;
        }
        progress::measuring(&format!("refusals, round {round} of {}", options.rounds));
        let mut arms = Arm::ALL;
        if round % 2 == 1 {
            arms.reverse();
        }
        for arm in arms {
            interrupt::check()?;
            let turn = site.visit(arm, |place, cpu| take_turn(round, place, cpu, length))?;
            turns.push(turn.with_context(|| format!("measuring {arm}"))?);
        }
    }
    // The first one warms up.
    turns.retain(|turn| turn.round > 0);
    let fewest = usize::try_from(FEWEST_ROUNDS)? * Arm::ALL.len();
    ensure!(turns.len() >= fewest, "no time for enough rounds: raise --seconds or lower --millis");
    Ok(Figures { turns })
}

/// Runs on the one thread that is the client.
fn take_turn(round: u32, place: &Place, cpu: usize, length: Duration) -> Result<Turn> {
    machine::pin_to(cpu)?;
    // What has been left alone for a while tries its endpoints again; that is not what is measured.
    place.call_for(length / 5, |_| ())?;
    let (guard, reached) = (place.guard_time()?, place.reached()?);
    let (cpu, start) = (thread_time(), now());
    let mut samples = Vec::with_capacity(SAMPLES);
    let mut seen = BTreeMap::new();
    place.call_for(length, |call: Call| {
        samples.push(call.took_ns);
        *seen.entry(call.seen).or_insert(0) += 1;
    })?;
    let (lasted, client) = (start.elapsed(), thread_time() - cpu);
    let guard = place.guard_time()?.saturating_sub(guard);
    let sum: u64 = samples.iter().sum();
    let refusals = samples.len() as u64;
    samples.sort_unstable();
    let at = |percent: &usize| percentile(&samples, *percent);
    let percentiles: Option<Vec<u64>> = PERCENTS.iter().map(at).collect();
    Ok(Turn {
        round,
        arm: place.arm,
        refusals,
        lasted_ns: nanoseconds(lasted),
        percentiles_ns: percentiles.context("there was no time for one call")?,
        mean_ns: sum / refusals.max(1),
        client_cpu_ns: client,
        guard_cpu_ns: nanoseconds(guard),
        reached: place.reached()? - reached,
        seen: seen.into_iter().map(|(seen, count)| (seen.to_string(), count)).collect(),
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const ROUNDS: u32 = 12;
const MILLIS: u64 = 500;
const SECONDS: u64 = 120;
const FEWEST_ROUNDS: u32 = 3;
/// What is kept of the latencies of a turn.
const PERCENTS: [usize; 9] = [1, 5, 10, 25, MEDIAN, 75, 90, 95, WORST];
const MEDIAN: usize = 50;
const WORST: usize = 99;
/// More than a turn has, so that none is spent on making room.
const SAMPLES: usize = 1 << 20;
