//! The caller of the comparison: calls at a given rate whatever becomes of them, or as many at once as asked.
//!
//! Invariant: a call is timed from the moment it was due, not from when there was time for it, so what is
//! slow hides nothing of what comes after it (no coordinated omission).

use std::io::{Write as _, stdout};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use shedder_common::time::Monotonic;

use crate::clock::thread_time;

mod calls;
mod connection;
mod pace;
mod process;
mod told;

use calls::Calls;
use pace::Pace;
pub(super) use process::{Generator, Rate, Work};
pub(super) use told::{Call, Fate, Story};

/// What the process of the generator is told.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// An address that may be called; calls go to all of them in turn.
    #[arg(long = "to", required = true)]
    pub(super) targets: Vec<SocketAddr>,
    /// Calls a second.
    #[arg(long, conflicts_with = "at_once", required_unless_present = "at_once")]
    pub(super) rate: Option<f64>,
    /// Calls under way at any moment, instead of a rate.
    #[arg(long)]
    pub(super) at_once: Option<usize>,
    /// For how long calls become due, in seconds.
    #[arg(long)]
    pub(super) seconds: f64,
    /// When the first call is due, in nanoseconds of `CLOCK_MONOTONIC`.
    #[arg(long)]
    pub(super) start_ns: u64,
    /// Addresses tried for one call when connecting fails.
    #[arg(long, default_value_t = 1)]
    pub(super) attempts: u32,
    /// Connections that are kept and used in turn; 0 makes one for each call.
    #[arg(long, default_value_t = 0)]
    pub(super) pool: usize,
    /// What is sent, besides the end of the line.
    #[arg(long, default_value = "ping")]
    pub(super) request: String,
}

/// Calls, and then tells of every call on standard output, one a line.
pub fn generate(options: &Options) -> Result<()> {
    ensure!(options.seconds > 0.0, "calls must become due for some time");
    let start = Monotonic::from_nanos(options.start_ns);
    let length = Duration::try_from_secs_f64(options.seconds)?;
    let pace = match (options.rate, options.at_once) {
        (Some(rate), _) => Pace::open(start, length, rate),
        (None, Some(at_once)) => Pace::closed(start, length, at_once),
        (None, None) => anyhow::bail!("how many calls: a rate, or so many at once?"),
    };
    let story = Story { calls: Calls::new(options, pace)?.make()?, cpu_ns: thread_time() };
    stdout().write_all(story.tell().as_bytes()).context("cannot tell of the calls")?;
    Ok(())
}

/// How long a caller waits for a connection.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits for the answer to a call, connecting included.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
