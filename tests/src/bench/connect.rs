//! What a guarded client pays for its connects, its requests and its refusals.
//!
//! Invariant: the arms of a comparison differ in nothing but what is attached for them.

use anyhow::{Result, ensure};
use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::ground::Ground;
use super::machine;
use super::own_programs::OwnPrograms;
use super::progress;
use super::server::BACKLOG;
use crate::cgroup::Cgroup;
use crate::interrupt;

pub(super) mod comparison;
mod crew;
mod crowd;
mod guard;
mod operation;
pub(super) mod programs;
mod report;
mod rounds;
pub(super) mod stage;
mod table;
mod target;

use report::{Figures, Report};
use rounds::Limits;
use stage::Stage;

/// How much to measure, and where.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Rounds of each comparison; in each, every arm is measured once.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(8..))]
    rounds: u32,
    /// Operations of an arm in a round.
    #[arg(long, default_value_t = 1000, value_parser = operations())]
    ops: usize,
    /// Seconds after which no more rounds are begun.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Measure only the comparisons whose title contains this, such as `bulk`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// The client's CPU; the last there is unless given.
    #[arg(long)]
    client_cpu: Option<usize>,
    /// The server's CPU; the first there is unless given.
    #[arg(long)]
    server_cpu: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<()> {
    interrupt::watch()?;
    let ground = Ground::prepare(options.client_cpu, options.server_cpu)?;
    let report = ground.enter(|cgroup| measure(options, &ground, cgroup))?;
    if options.json {
        return report.print();
    }
    table::print(&report);
    Ok(())
}

/// Runs on the one thread that is the client.
fn measure(options: &Options, ground: &Ground, cgroup: &Cgroup) -> Result<Report> {
    let mut comparisons = comparison::possible(ground);
    comparisons.retain(|comparison| comparison.title.contains(&options.only));
    ensure!(!comparisons.is_empty(), "no comparison has {:?} in its title", options.only);
    let limits = Limits {
        rounds: options.rounds,
        operations: options.ops,
        seconds: options.seconds / comparisons.len() as u64,
    };
    let mut stage = Stage::set(ground, cgroup)?;
    let programs = OwnPrograms::find()?;
    let load_before = machine::load()?;
    let mut figures = Vec::new();
    for comparison in &comparisons {
        progress::measuring(comparison.title);
        let rounds = rounds::alternate(&mut stage, comparison, &limits)?;
        figures.push(Figures::of(comparison, &rounds)?);
    }
    progress::measuring("program runs");
    let programs = programs::count(&mut stage, &programs, &comparisons, limits.operations)?;
    Ok(Report {
        machine: ground.machine.clone(),
        client_cpu: ground.client_cpu,
        server_cpu: ground.server_cpu,
        load_before,
        load_after: machine::load()?,
        operations: limits.operations,
        targets: target::check(&figures),
        figures,
        programs,
    })
}

/// The server must never have to be waited for in the middle of a round, which begins with a tenth as
/// many operations to warm up.
pub(super) fn operations() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(100..=u64::from(BACKLOG) / 11 * 10)
}
