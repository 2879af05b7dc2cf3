//! How often the programs run for an operation, and how long they take.
//!
//! Invariant: nothing is counted while latencies are measured, since counting costs time.

use anyhow::{Context, Result};
use serde::Serialize;

use super::comparison::{Arm, COMPARISONS};
use super::guard::Guard;
use super::operation::Client;
use super::rounds::warm_up;
use crate::bench::own_programs::{OwnPrograms, Runs};
use crate::bench::server::Server;
use crate::bench::statistics::{Spread, figure};
use crate::interrupt;

/// What the programs do for one operation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OperationRuns {
    pub(super) operation: String,
    pub(super) programs: Vec<ProgramShare>,
}

/// What one program does for one operation: medians of several passes, so that an interrupt in
/// the middle of a run does not show.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::bench) struct ProgramShare {
    pub(in crate::bench) hook: &'static str,
    pub(in crate::bench) runs_per_operation: f64,
    /// Zero when it did not run.
    pub(in crate::bench) nanoseconds_per_run: f64,
}

/// Counts every attached arm by itself.
pub(super) fn count(
    guard: &mut Guard,
    programs: &OwnPrograms,
    operations: usize,
) -> Result<Vec<OperationRuns>> {
    let mut counted = Vec::new();
    for comparison in COMPARISONS {
        for arm in comparison.arms.iter().filter(|arm| arm.attached_for.is_some()) {
            counted.push(OperationRuns {
                operation: format!("{}: {}", comparison.title, arm.name),
                programs: of_arm(guard, programs, arm, operations)?,
            });
        }
    }
    Ok(counted)
}

/// Counts one arm, attached as it asks for.
pub(in crate::bench) fn of_arm(
    guard: &mut Guard,
    programs: &OwnPrograms,
    arm: &Arm,
    operations: usize,
) -> Result<Vec<ProgramShare>> {
    let passes: Result<Vec<Vec<Runs>>> =
        (0..PASSES).map(|_| one_pass(guard, programs, arm, operations)).collect();
    shares(&passes?, operations)
}

fn one_pass(
    guard: &mut Guard,
    programs: &OwnPrograms,
    arm: &Arm,
    operations: usize,
) -> Result<Vec<Runs>> {
    interrupt::check()?;
    let attachment = arm.attached_for.map(|caller| guard.attach(caller)).transpose()?;
    let mut client = Client::new(&arm.operation)?;
    warm_up(&mut client, operations)?;
    let runs = programs.during(|| (0..operations).try_for_each(|_| client.once().map(drop)))?;
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
