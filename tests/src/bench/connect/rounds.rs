//! Measuring the arms of a comparison in turn.
//!
//! Invariant: every arm is measured once in every round, and the order of the arms turns round
//! from one round to the next, so a machine that slowly gets faster or slower favours none.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shedder_user::clock::now;

use super::comparison::{Arm, Comparison};
use super::stage::Stage;
use crate::statistics::percentile;

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rounds: u32,
    pub(super) operations: usize,
    /// When they have passed, no round is begun.
    pub(super) seconds: u64,
}

/// The latencies of an arm in one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latencies {
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
}

/// The rounds of a comparison, each with one element for each arm. Fails when there was no time
/// for enough of them.
pub(super) fn alternate(
    stage: &mut Stage<'_>,
    comparison: &Comparison,
    limits: &Limits,
) -> Result<Vec<Vec<Latencies>>> {
    let end = now().plus(Duration::from_secs(limits.seconds));
    let mut samples = Vec::with_capacity(limits.operations);
    let mut rounds = Vec::new();
    let most = comparison.arms.iter().map(|arm| arm.operation.kind.rounds(limits.rounds)).max();
    for number in 0..=most.unwrap_or_default() {
        if now() > end {
            break;
        }
        let round = one_round(stage, comparison.arms, number % 2 == 1, limits, &mut samples)
            .with_context(|| format!("measuring {}", comparison.title))?;
        // The first one warms up.
        if number > 0 {
            rounds.push(round);
        }
    }
    ensure!(
        rounds.len() >= FEWEST_ROUNDS,
        "no time for enough rounds of {}: raise --seconds or lower --ops",
        comparison.title
    );
    Ok(rounds)
}

fn one_round(
    stage: &mut Stage<'_>,
    arms: &[Arm],
    is_reversed: bool,
    limits: &Limits,
    samples: &mut Vec<u64>,
) -> Result<Vec<Latencies>> {
    let mut measured = vec![None; arms.len()];
    for turn in 0..arms.len() {
        let position = if is_reversed { arms.len() - 1 - turn } else { turn };
        let arm = &arms[position];
        let operations = arm.operation.kind.operations(limits.operations);
        samples.clear();
        stage.perform(arm, operations, |crew| crew.work(operations, samples))?;
        measured[position] = latencies(samples);
    }
    let measured: Option<Vec<Latencies>> = measured.into_iter().collect();
    measured.context("an arm has no samples")
}

fn latencies(samples: &mut [u64]) -> Option<Latencies> {
    samples.sort_unstable();
    Some(Latencies { p50_ns: percentile(samples, 50)?, p99_ns: percentile(samples, 99)? })
}

const FEWEST_ROUNDS: usize = 8;
