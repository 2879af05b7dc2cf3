//! How long it takes from the failure that satisfies a rule to the verdict in force, and who slips
//! through meanwhile.
//!
//! Invariant: the daemon is a real one, each trial has an endpoint of its own, and the verdict is seen
//! where the kernel sees it: in the memory of its map.

use std::ops::Range;

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use shedder_common::map::MAX_SLOTS;

pub(super) mod attempt;
mod hogs;
mod pictures;
mod stage;
mod text;
mod trials;

pub(super) use self::pictures::plots;
pub(super) use self::text::chapter;

use self::stage::Plan;
use self::trials::{Leaks, Trial};
use crate::bench::machine;
use crate::bench::progress::measuring;

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Decisions on failures in a row, for each condition.
    #[arg(long, default_value_t = TRIALS)]
    trials: u32,
    /// Decisions that wait for a look at the counters, for each condition.
    #[arg(long, default_value_t = LOOKS)]
    looks: u32,
    /// Runs of failures after which connects go on, for each condition.
    #[arg(long, default_value_t = LEAKS)]
    leaks: u32,
    /// Connects that go on after a run, at least.
    #[arg(long, default_value_t = CONNECTS)]
    connects: u32,
    /// Decisions on a node that knows as many endpoints as there can be; zero leaves that out.
    #[arg(long, default_value_t = FULL_TRIALS)]
    full: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { trials: TRIALS, looks: LOOKS, leaks: LEAKS, connects: CONNECTS, full: FULL_TRIALS }
    }
}

/// What was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Figures {
    /// Failures that satisfy the rule.
    failures: u32,
    /// CPUs there are, and busy loops while nothing is idle.
    cpus: usize,
    cases: Vec<Case>,
    leaks: Vec<LeaksUnder>,
}

/// Decisions of one kind under one condition.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Case {
    way: Way,
    condition: Condition,
    /// Endpoints the daemon knew, one that is well left out.
    endpoints: u32,
    tick_ms: u64,
    trials: Vec<Trial>,
}

/// What slipped through under one condition.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct LeaksUnder {
    condition: Condition,
    #[serde(flatten)]
    leaks: Leaks,
}

/// What finds that a rule is satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    /// The kernel counts failures in a row and wakes the daemon.
    Run,
    /// The daemon looks at the counters, once each tick.
    Look,
}

/// What else the machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Condition {
    /// Nothing.
    Idle,
    /// As many processes count as there are CPUs.
    Saturated,
}

/// Measures.
pub(super) fn measure(options: &Options) -> Result<Figures> {
    let cpus = machine::available_cpus()?.len();
    let mut figures = Figures { failures: FAILURES, cpus, cases: Vec::new(), leaks: Vec::new() };
    for condition in [Condition::Idle, Condition::Saturated] {
        measuring("decisions on failures in a row");
        let run = Plan { way: Way::Run, condition, endpoints: AT_ONCE, cpus };
        figures.cases.push(case(run, options.trials)?);
        measuring("decisions by a look at the counters");
        let look = Plan { way: Way::Look, ..run };
        figures.cases.push(case(look, options.looks)?);
        measuring("what slips through");
        let mut leaks = Leaks::default();
        for part in parts(options.leaks) {
            stage::with(run, |stage| {
                trials::leaks(stage, part.end - part.start, options.connects, &mut leaks)
            })?;
        }
        figures.leaks.push(LeaksUnder { condition, leaks });
    }
    if options.full > 0 {
        measuring("decisions on a full node");
        // One more is well.
        let endpoints = MAX_SLOTS - 1;
        let full = Plan { way: Way::Run, condition: Condition::Idle, endpoints, cpus };
        figures.cases.push(case(full, options.full)?);
    }
    Ok(figures)
}

fn case(plan: Plan, trials: u32) -> Result<Case> {
    let Plan { way, condition, endpoints, .. } = plan;
    let mut case = Case { way, condition, endpoints, tick_ms: 0, trials: Vec::new() };
    for part in parts(trials) {
        stage::with(plan, |stage| {
            case.tick_ms = u64::try_from(stage.tick.as_millis())?;
            case.trials.extend(trials::time(stage, way, part)?);
            Ok(())
        })?;
    }
    Ok(case)
}

/// The numbers of so many trials in parts for a daemon each: what has opened must be in use still, for
/// that takes a minute, or the daemon would open no more beside it.
fn parts(trials: u32) -> impl Iterator<Item = Range<u32>> {
    let starts = (0..trials).step_by(usize::try_from(AT_ONCE).unwrap_or(usize::MAX));
    starts.map(move |start| start..trials.min(start + AT_ONCE))
}

/// Trials with one daemon.
const AT_ONCE: u32 = 250;
/// Failures in a row that open by default, and the same number for the rule that takes a look.
const FAILURES: u32 = 5;
const TRIALS: u32 = 1000;
const LOOKS: u32 = 200;
const LEAKS: u32 = 500;
const CONNECTS: u32 = 20;
const FULL_TRIALS: u32 = 200;
