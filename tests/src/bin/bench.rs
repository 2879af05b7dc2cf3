//! What shedder costs, measured on this machine.
//!
//! Invariant: a missed target is a result, not a failure; it fails only when it cannot measure.

use anyhow::Result;
use clap::{Parser, Subcommand};
use shedder_tests::bench::{connect, engine, peers};

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
    /// Beside Envoy, `HAProxy`, nginx and no guard at all. Needs root.
    Peers(peers::Options),
}

fn main() -> Result<()> {
    match Bench::parse().chore {
        Chore::Connect(options) => connect::run(&options),
        Chore::Engine(options) => engine::run(&options),
        Chore::Peers(options) => peers::run(&options),
    }
}
