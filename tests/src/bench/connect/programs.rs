//! How often the programs run for an operation, and how long they take.
//!
//! Invariant: nothing is counted while latencies are measured, since counting costs time.

use anyhow::{Context, Result};
use serde::Serialize;

use super::comparison::{Arm, Comparison};
use super::guard::Attached;
use super::stage::Stage;
use crate::bench::own_programs::{OwnPrograms, Runs};
use crate::statistics::{Spread, figure};

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
    stage: &mut Stage<'_>,
    programs: &OwnPrograms,
    comparisons: &[&Comparison],
    operations: usize,
) -> Result<Vec<OperationRuns>> {
    let mut counted = Vec::new();
    for comparison in comparisons {
        for arm in comparison.arms.iter().filter(|arm| arm.attached != Attached::No) {
            counted.push(OperationRuns {
                operation: format!("{}: {}", comparison.title, arm.name),
                programs: of_arm(stage, programs, arm, operations)?,
            });
        }
    }
    Ok(counted)
}

/// Counts one arm, attached as it asks for.
pub(in crate::bench) fn of_arm(
    stage: &mut Stage<'_>,
    programs: &OwnPrograms,
    arm: &Arm,
    operations: usize,
) -> Result<Vec<ProgramShare>> {
    let operations = arm.operation.kind.operations(operations);
    let mut samples = Vec::with_capacity(operations);
    let mut one_pass = || {
        samples.clear();
        stage.perform(arm, operations, |crew| {
            programs.during(|| crew.work(operations, &mut samples))
        })
    };
    let passes: Result<Vec<Vec<Runs>>> = (0..PASSES).map(|_| one_pass()).collect();
    shares(&passes?, operations)
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
