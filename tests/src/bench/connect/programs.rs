//! How often the programs run for an operation, and how long they take.
//!
//! Invariant: nothing is counted while latencies are measured, since counting costs time.

use anyhow::{Context, Result};
use serde::Serialize;

use super::comparison::{Arm, COMPARISONS};
use super::guard::Guard;
use super::operation::Client;
use super::rounds::{Limits, warm_up};
use crate::bench::interrupt;
use crate::bench::program_runs::{ProgramRuns, Runs};
use crate::bench::server::Server;
use crate::bench::statistics::{Spread, figure};

/// What the programs do for one operation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OperationRuns {
    pub(super) operation: String,
    pub(super) programs: Vec<ProgramShare>,
}

/// What one program does for one operation: medians of several passes, so that an interrupt in
/// the middle of a run does not show.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ProgramShare {
    pub(super) hook: &'static str,
    pub(super) runs_per_operation: f64,
    /// Zero when it did not run.
    pub(super) nanoseconds_per_run: f64,
}

/// Counts every attached arm by itself.
pub(super) fn count(
    guard: &mut Guard,
    programs: &ProgramRuns,
    limits: &Limits,
) -> Result<Vec<OperationRuns>> {
    let mut counted = Vec::new();
    for comparison in COMPARISONS {
        for arm in comparison.arms {
            let Some(caller) = arm.attached_for else { continue };
            let passes: Result<Vec<Vec<Runs>>> =
                (0..PASSES).map(|_| one_pass(guard, programs, arm, caller, limits)).collect();
            counted.push(OperationRuns {
                operation: format!("{}: {}", comparison.title, arm.name),
                programs: shares(&passes?, limits.operations)?,
            });
        }
    }
    Ok(counted)
}

fn one_pass(
    guard: &mut Guard,
    programs: &ProgramRuns,
    arm: &Arm,
    caller: u32,
    limits: &Limits,
) -> Result<Vec<Runs>> {
    interrupt::check()?;
    let attachment = guard.attach(caller)?;
    let mut client = Client::new(&arm.operation)?;
    warm_up(&mut client, limits.operations)?;
    let runs =
        programs.during(|| (0..limits.operations).try_for_each(|_| client.once().map(drop)))?;
    drop((client, attachment));
    Server::settle()?;
    Ok(runs)
}

fn shares(passes: &[Vec<Runs>], operations: usize) -> Result<Vec<ProgramShare>> {
    let operations = figure(operations as u64);
    let share = |position: usize, hook| {
        let median = |of_pass: &dyn Fn(&Runs) -> f64| {
            Spread::of(passes.iter().map(|pass| of_pass(&pass[position])).collect())
                .map(|spread| spread.median)
                .context("there are no passes")
        };
        Ok(ProgramShare {
            hook,
            runs_per_operation: median(&|runs| figure(runs.count) / operations)?,
            nanoseconds_per_run: median(&|runs| {
                figure(runs.nanoseconds) / figure(runs.count.max(1))
            })?,
        })
    };
    let first = passes.first().context("there are no passes")?;
    first.iter().enumerate().map(|(position, runs)| share(position, runs.hook)).collect()
}

const PASSES: u32 = 9;
