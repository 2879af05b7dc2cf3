//! The soak: callers call, endpoints fall ill and get well at random, and at the end it is asked
//! whether everything that was promised held.
//!
//! Invariant: every figure is counted on real processes in this run, what cannot be judged is said to
//! be so, and everything that was made is gone before [`run`] returns.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

mod callers;
mod director;
mod faults;
mod field;
mod figures;
mod in_flight;
mod ledger;
mod promises;
mod record;
mod stage;
mod table;

use director::Director;
use stage::Stage;

use crate::chance::Chance;
use crate::promise::Promise;
use crate::{daemon, interrupt, program};

/// Lets endpoints fall ill at random for minutes and says which promises of shedder held.
///
/// 8 callers, each in a cgroup of its own, call 50 endpoints that fall ill and get well again: they
/// refuse, hang, answer late, reset, swallow SYNs, come and go. Afterwards everything is healed, and when
/// all breakers have closed the figures are judged: well endpoints lose no connect, nothing grows,
/// breakers of ill endpoints open, and close after healing. A broken promise is named and the exit
/// status is 1. Needs root and a cgroup2 hierarchy, and leaves nothing behind.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak", bin_name = "cargo xtask soak", after_help = EXAMPLES)]
pub struct Options {
    /// How long endpoints fall ill, in minutes, such as 0.5; warming up and getting well take some
    /// more seconds.
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// What chance is made from; another one each time unless given. It is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Soaks and prints. The status is 1 for a broken promise, and when the soak itself fails.
pub fn run(options: &Options) -> ExitCode {
    let ready = program::check_needs().and_then(|()| daemon::program().map(drop));
    program::exit_code("soak", ready.and_then(|()| soak(options)))
}

fn soak(options: &Options) -> Result<()> {
    interrupt::watch()?;
    let seed = options.seed.unwrap_or_else(Chance::fresh_seed);
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    table::announce(seed, length);
    let mut stage = Stage::build(seed)?;
    let record = Director::prepare(&mut stage, seed, length)?.play()?;
    let figures = record.end(stage)?;
    let promises = promises::judge(&figures);
    table::print(seed, &figures, &promises, options.json)?;
    let broken: Vec<String> = promises.iter().filter_map(Promise::complaint).collect();
    ensure!(broken.is_empty(), "{}; seed {seed}", broken.join("\nsoak: "));
    Ok(())
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.1..=24.0 * 60.0).contains(&minutes) => Ok(minutes),
        Ok(_) | Err(_) => Err("use 0.1 to 1440".to_owned()),
    }
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask soak                             ten minutes
  cargo xtask soak --minutes 0.15              what `cargo xtask test` does, about 20 seconds
  cargo xtask soak --minutes 60 --seed 7       an hour, with the choices of seed 7";
