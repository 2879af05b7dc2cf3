//! What callers see of faults under each guard: calls that fail or are slow, how soon that ends, what is refused
//! without need, and how traffic returns.
//!
//! Invariant: all guards meet a fault at the same moment, on the same machine, in the same run.

use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use shedder_common::time::Monotonic;

use super::guard::Guard;
use super::site::{Site, soon};
use crate::bench::progress;
use crate::interrupt;

mod pictures;
mod play;
mod rows;
mod score;
mod text;

pub(super) use pictures::plots;
use rows::{ROWS, Row};
use score::Trial;
pub(super) use text::chapter;

/// What to play, and how often.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// How often each fault is played.
    #[arg(long, default_value_t = REPEAT, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Play only these faults, such as `refuse`; all without.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Compare only these.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Guard::ALL)]
    guards: Vec<Guard>,
}

/// Every trial.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Figures {
    /// By fault, then by repetition, then by guard.
    pub(super) trials: Vec<Trial>,
}

impl Default for Options {
    fn default() -> Self {
        Self { repeat: REPEAT, only: Vec::new(), guards: Guard::ALL.to_vec() }
    }
}

/// Plays the faults.
pub(super) fn measure(options: &Options) -> Result<Figures> {
    let is_known = |name: &&String| ROWS.iter().any(|row| row.id == name.as_str());
    if let Some(unknown) = options.only.iter().find(|name| !is_known(name)) {
        let names: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
        anyhow::bail!("there is no fault {unknown}: use {}", names.join(", "));
    }
    let mut trials = Vec::new();
    for row in ROWS.iter().filter(|row| options.only.is_empty() || has(&options.only, row)) {
        for repetition in 0..options.repeat {
            progress::measuring(&format!("{} ({} of {})", row.id, repetition + 1, options.repeat));
            trials.extend(play_for_all(row, &options.guards)?);
        }
    }
    ensure!(!trials.is_empty(), "nothing was played");
    Ok(Figures { trials })
}

/// Under all guards at once, each with callers, backends and a network of its own.
fn play_for_all(row: &'static Row, guards: &[Guard]) -> Result<Vec<Trial>> {
    interrupt::check()?;
    // By this thread, because a proxy ends with the thread that started it.
    let prepare = |guard: &Guard| {
        let site = play::prepare(*guard, row);
        Ok((*guard, site.with_context(|| format!("{} cannot be set up", guard.name()))?))
    };
    let sites = guards.iter().map(prepare).collect::<Result<Vec<_>>>()?;
    let start = soon().plus(Duration::from_millis(200));
    thread::scope(|scope| {
        let mut playing = Vec::new();
        for (guard, site) in &sites {
            playing.push(scope.spawn(move || trial(*guard, site, row, start)));
        }
        playing
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

fn trial(guard: Guard, site: &Site, row: &Row, start: Monotonic) -> Result<Trial> {
    let seen = play::play(site, row, start)
        .with_context(|| format!("{} under {}", row.id, guard.name()))?;
    Ok(score::score(guard, row, &seen))
}

fn has(names: &[String], row: &Row) -> bool {
    names.iter().any(|name| name == row.id)
}

const REPEAT: u32 = 3;
