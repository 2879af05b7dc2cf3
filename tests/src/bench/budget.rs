//! What the kernel programs may cost at most, and whether they keep to it.
//!
//! Invariant: a program or a path that has no ceiling is a failure, so nothing is ever left out of the
//! comparison unnoticed.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use serde::Serialize;
use shedder_user::kernel::{Kernel, LoadOptions};

use super::ground::Ground;
use super::machine::{self, Machine};
use super::own_programs::OwnPrograms;
use super::progress;
use crate::interrupt;
use crate::program;

mod ceilings;
mod figure;
mod paths;
mod table;

use ceilings::{Ceilings, TakenOn};
use figure::{Figure, Measured};

/// Compares what the kernel programs cost with the ceilings in shedder-ebpf/budget.toml.
///
/// Two costs of each program are looked at. "Instructions" are what the verifier went through to
/// accept it: the same each time on the same kernel, and the first thing to grow when a program gets
/// complicated; near a million a kernel refuses it. `cargo xtask test` compares them too.
/// "ns a run" is what a run takes on the paths that matter, over loopback, the median of 9 passes of
/// --ops operations, with the kernel's run-time statistics on for that long (about 40 ns of each run
/// are theirs).
///
/// A ceiling that is passed is a failure: make the program cheaper, or raise the ceiling and say in
/// the file why. On another kernel or CPU than the ceilings were taken on a passed one is a warning,
/// because verifiers and machines differ.
#[derive(Clone, Debug, Parser)]
#[command(name = "budget", bin_name = "cargo xtask budget", after_help = EXAMPLES)]
pub struct Options {
    /// Compare instructions only: at once, and on a busy machine too.
    #[arg(long)]
    instructions: bool,
    /// Compare with this file instead of the repository's.
    #[arg(long, value_name = "FILE")]
    ceilings: Option<PathBuf>,
    /// Operations of a pass.
    #[arg(long, default_value_t = 1000, value_parser = super::connect::operations())]
    ops: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Measures, compares and prints. The status is 1 when a ceiling is passed or nothing can be measured.
pub fn run(options: &Options) -> ExitCode {
    program::exit_code("budget", program::check_needs().and_then(|()| compare(options)))
}

/// What is wrong with the programs' instructions by the repository's ceilings: one line each.
pub fn complaints_about_instructions() -> Result<Vec<String>> {
    let ceilings = Ceilings::of_the_repository()?;
    let figures = ceilings.judge(&instructions()?, &Machine::describe()?);
    Ok(ceilings.complaints(&figures))
}

/// Everything that was compared.
#[derive(Clone, Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    machine: Machine,
    load: f64,
    ceilings: String,
    taken_on: TakenOn,
    figures: Vec<Figure>,
}

fn compare(options: &Options) -> Result<()> {
    interrupt::watch()?;
    let ceilings =
        options.ceilings.as_deref().map_or_else(Ceilings::of_the_repository, Ceilings::read)?;
    let mut measured = instructions()?;
    if !options.instructions {
        measured.extend(nanoseconds(options.ops)?);
    }
    let machine = Machine::describe()?;
    let report = Report {
        figures: ceilings.judge(&measured, &machine),
        machine,
        load: machine::load()?,
        ceilings: ceilings.file.clone(),
        taken_on: ceilings.taken_on.clone(),
    };
    table::print(&report, options.json)?;
    table::warn(&ceilings.warnings(&report.figures));
    let complaints = ceilings.complaints(&report.figures);
    ensure!(complaints.is_empty(), "{}", complaints.join("\nbudget: "));
    Ok(())
}

/// Loads the programs and asks the kernel; nothing is attached.
fn instructions() -> Result<Vec<Measured>> {
    let kernel = Kernel::load(&LoadOptions { slots: 1, round_trips: false, debug: false })?;
    let counts = OwnPrograms::find()?.verified_instructions()?;
    drop(kernel);
    Ok(counts.into_iter().map(|(program, count)| Measured::instructions(program, count)).collect())
}

fn nanoseconds(operations: usize) -> Result<Vec<Measured>> {
    progress::measuring("runs");
    let ground = Ground::prepare(None, None)?;
    ground.enter(|cgroup| paths::measure(&ground, cgroup, operations))
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask budget                  both costs of every program
  cargo xtask budget --instructions   what `cargo xtask test` compares
  cargo xtask budget --json           for a record of figures over time";
