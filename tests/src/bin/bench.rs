//! What shedder costs, measured on this machine.
//!
//! Invariant: a missed target is a result, not a failure; it fails only when it cannot measure.

use anyhow::Result;
use clap::{Parser, Subcommand};
use shedder_tests::bench::{connect, engine};

/// Measures what shedder costs on this machine.
#[derive(Debug, Parser)]
struct Bench {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Connects and requests, attached and not attached in turn. Needs root.
    Connect(connect::Options),
    /// A tick, a breaker's memory, and decisions, next to other circuit breakers.
    Engine(engine::Options),
}

fn main() -> Result<()> {
    match Bench::parse().chore {
        Chore::Connect(options) => connect::run(&options),
        Chore::Engine(options) => engine::run(&options),
    }
}
