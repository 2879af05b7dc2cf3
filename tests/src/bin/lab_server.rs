//! The server of the benches, a process of its own.
//!
//! Invariant: it ends when its standard input does.

use clap::Parser;
use shedder_tests::bench::server::{Options, serve};

/// Started by the benches.
#[derive(Debug, Parser)]
#[command(name = "lab-server")]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    serve(&Arguments::parse().options)
}
