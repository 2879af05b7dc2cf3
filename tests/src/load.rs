//! The load: connects as fast as the machine gives while cgroups and endpoints come and go, and what
//! the daemon holds of all that in the end.
//!
//! Invariant: every figure is counted on real processes in this run, what cannot be judged is said to
//! be so, and everything that was made is gone before [`run`] returns.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

mod callers;
mod churn;
mod figures;
mod promises;
mod record;
mod stage;
mod table;

use stage::Stage;

use crate::promise::Promise;
use crate::{daemon, interrupt, program};

/// Connects as fast as the machine can for an hour, and says whether anything of the daemon grew.
///
/// First the daemon is left alone for a minute: what it takes when nobody calls. Then two processes
/// connect without a pause to endpoints of which some are ill, while cgroups with processes of their own
/// come and go and call endpoints that nobody called before. Memory, descriptors, entries of maps and
/// pins are looked at throughout, and once more when all calls have ended. What grew is named, and the
/// exit status is 1. Needs root and a cgroup2 hierarchy, and leaves nothing behind.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", bin_name = "cargo xtask load", after_help = EXAMPLES)]
pub struct Options {
    /// How long the load lasts, in minutes, such as 0.5.
    #[arg(long, value_name = "N", default_value_t = 60.0, value_parser = minutes)]
    minutes: f64,
    /// For how many seconds nobody calls before that.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
    idle: u16,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Loads and prints. The status is 1 for a broken promise, and when the load itself fails.
pub fn run(options: &Options) -> ExitCode {
    let ready = program::check_needs().and_then(|()| daemon::program().map(drop));
    program::exit_code("load", ready.and_then(|()| load(options)))
}

fn load(options: &Options) -> Result<()> {
    interrupt::watch()?;
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    let idle = Duration::from_secs(options.idle.into());
    table::announce(idle, length);
    let figures = record::play(Stage::build()?, idle, length)?;
    let promises = promises::judge(&figures);
    table::print(&figures, &promises, options.json)?;
    let broken: Vec<String> = promises.iter().filter_map(Promise::complaint).collect();
    ensure!(broken.is_empty(), "{}", broken.join("\nload: "));
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
  cargo xtask load                         an hour
  cargo xtask load --minutes 0.2 --idle 2  what `cargo xtask test` does, about 20 seconds
  cargo xtask load --json > load.json      every figure";
