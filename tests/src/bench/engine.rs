//! What the decision engine costs, and how well it decides, next to the circuit breakers of other
//! people.
//!
//! Invariant: nothing of the kernel is touched and nothing needs root.

use std::thread;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde::Serialize;

use super::machine::{self, Machine};
use super::progress;

mod behind;
mod contest;
mod fleet;
mod libraries;
mod memory;
mod node;
mod outcomes;
mod policy;
mod replay;
mod score;
mod table;
mod ticks;
mod trace;

use contest::Contest;
use fleet::Load;
use memory::Weight;
use outcomes::OutcomeFigures;
use ticks::{FULL, TickFigures};

/// How much to measure, and where.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(5..))]
    rounds: u32,
    /// The CPU; the last there is unless given.
    #[arg(long)]
    cpu: Option<usize>,
    /// What the traces are made from.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seed: u64,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
#[expect(clippy::print_stdout, reason = "the output asked for")]
pub fn run(options: &Options) -> Result<()> {
    let report = measure(options)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        table::print(&report);
    }
    Ok(())
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    machine: Machine,
    load_before: f64,
    load_after: f64,
    rounds: u32,
    ticks: Vec<TickFigures>,
    memory: [Weight; 3],
    outcomes: Vec<OutcomeFigures>,
    contests: Vec<Contest>,
    targets: Vec<Target>,
}

/// One promise and whether this machine saw it kept.
#[derive(Clone, Debug, Serialize)]
struct Target {
    name: &'static str,
    value: f64,
    unit: &'static str,
    at_most: f64,
    is_met: bool,
}

fn measure(options: &Options) -> Result<Report> {
    let load_before = machine::load()?;
    let cpus = machine::available_cpus()?;
    let cpu = options.cpu.or_else(|| cpus.last().copied()).unwrap_or_default();
    let rounds = options.rounds;
    // A thread of its own, so that the traces are not played on one CPU only.
    let costs = thread::spawn(move || {
        machine::pin_to(cpu)?;
        progress::measuring("memory");
        // First, while the heap holds nothing that could be used again.
        let memory = memory::weigh()?;
        progress::measuring("ticks");
        let ticks = ticks::measure(rounds)?;
        progress::measuring("outcomes");
        Ok::<_, anyhow::Error>((memory, ticks, outcomes::measure(rounds)?))
    });
    let (memory, ticks, outcomes) =
        costs.join().map_err(|_panic| anyhow!("measuring panicked"))??;
    progress::measuring("decisions");
    let contests = contest::play_all(options.seed)?;
    Ok(Report {
        machine: Machine::describe()?,
        load_before,
        load_after: machine::load()?,
        rounds,
        targets: targets(&ticks, &memory)?,
        ticks,
        memory,
        outcomes,
        contests,
    })
}

fn targets(ticks: &[TickFigures], [fresh, ..]: &[Weight; 3]) -> Result<Vec<Target>> {
    let tick = ticks
        .iter()
        .find(|figures| figures.breakers == FULL && figures.load == Load::OnePercent)
        .context("the tick with a target was not measured")?;
    let target = |name, value: f64, unit, at_most: f64| Target {
        name,
        value,
        unit,
        at_most,
        is_met: value <= at_most,
    };
    let fresh = u32::try_from(fresh.counted).context("a breaker weighs too much")?;
    Ok(vec![
        target("a tick, 65536 breakers, 1 % busy", tick.total_us.median / 1000.0, "ms", 5.0),
        target("a fresh idle breaker", fresh.into(), "bytes", 512.0),
    ])
}
