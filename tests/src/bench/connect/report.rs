//! The result, as people's table and machines' JSON have it.
//!
//! Invariant: a ratio is the median of the ratios within a round, not a ratio of medians.

use anyhow::{Context, Result};
use serde::Serialize;

use super::comparison::{Arm, Comparison};
use super::programs::OperationRuns;
use super::rounds::Latencies;
use super::target::Target;
use crate::bench::machine::Machine;
use crate::statistics::{Spread, figure};

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) machine: Machine,
    pub(super) client_cpu: usize,
    pub(super) server_cpu: usize,
    pub(super) load_before: f64,
    pub(super) load_after: f64,
    /// Of an arm in a round.
    pub(super) operations: usize,
    pub(super) figures: Vec<Figures>,
    pub(super) targets: Vec<Target>,
    pub(super) programs: Vec<OperationRuns>,
}

/// The figures of one comparison.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) title: &'static str,
    #[serde(skip)]
    pub(super) target: Option<f64>,
    /// Rounds measured, the warm-up not counted.
    pub(super) rounds: usize,
    pub(super) arms: Vec<ArmFigures>,
}

/// The figures of one arm. The ratios are to the first arm.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ArmFigures {
    pub(super) name: &'static str,
    pub(super) p50_ns: Spread,
    pub(super) p99_ns: Spread,
    /// What it takes longer than the first arm.
    pub(super) p50_added_ns: Spread,
    pub(super) p50_ratio: Spread,
    pub(super) p99_ratio: Spread,
    /// At the median, where bytes are what it is about.
    pub(super) megabytes_per_second: Option<f64>,
}

impl Report {
    /// Prints it as JSON.
    #[expect(clippy::print_stdout, reason = "the output asked for")]
    pub(super) fn print(&self) -> Result<()> {
        println!("{}", serde_json::to_string_pretty(self)?);
        Ok(())
    }
}

impl Figures {
    /// Sums up the rounds of a comparison.
    pub(super) fn of(comparison: &Comparison, rounds: &[Vec<Latencies>]) -> Result<Self> {
        let arms = comparison.arms.iter().enumerate().map(|(position, arm)| {
            let spread = |of_round: &dyn Fn(&[Latencies]) -> f64| {
                Spread::of(rounds.iter().map(|round| of_round(round)).collect())
                    .context("there are no rounds")
            };
            Ok(ArmFigures {
                name: arm.name,
                p50_ns: spread(&|round| figure(round[position].p50_ns))?,
                p99_ns: spread(&|round| figure(round[position].p99_ns))?,
                p50_added_ns: spread(&|round| {
                    figure(round[position].p50_ns) - figure(round[0].p50_ns)
                })?,
                p50_ratio: spread(&|round| ratio(round[position].p50_ns, round[0].p50_ns))?,
                p99_ratio: spread(&|round| ratio(round[position].p99_ns, round[0].p99_ns))?,
                megabytes_per_second: throughput(arm, rounds, position),
            })
        });
        Ok(Self {
            title: comparison.title,
            target: comparison.target,
            rounds: rounds.len(),
            arms: arms.collect::<Result<_>>()?,
        })
    }
}

/// Bytes a microsecond are megabytes a second.
fn throughput(arm: &Arm, rounds: &[Vec<Latencies>], position: usize) -> Option<f64> {
    let bytes = figure(u64::try_from(arm.operation.kind.bytes()?).ok()?);
    let speed = |round: &Vec<Latencies>| bytes * 1000.0 / figure(round[position].p50_ns.max(1));
    Spread::of(rounds.iter().map(speed).collect()).map(|speed| speed.median)
}

fn ratio(nanoseconds: u64, base: u64) -> f64 {
    figure(nanoseconds) / figure(base.max(1))
}
