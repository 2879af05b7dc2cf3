//! What shedder costs, measured on this machine. Needs root.
//!
//! Invariant: a missed target is a result, not a failure; it fails only when it cannot measure.

use anyhow::Result;
use clap::{Parser, Subcommand};
use shedder_tests::bench::{connect, server};

/// Measures what shedder costs on this machine. Needs root.
#[derive(Debug, Parser)]
struct Bench {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Connects and requests, attached and not attached in turn.
    Connect(connect::Options),
    /// The server the other chores start; it ends when its standard input does.
    #[command(hide = true)]
    Server(server::Options),
}

fn main() -> Result<()> {
    match Bench::parse().chore {
        Chore::Connect(options) => connect::run(&options),
        Chore::Server(options) => server::serve(&options),
    }
}
