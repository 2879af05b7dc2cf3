//! The caller of `bench peers`, a process of its own.
//!
//! Invariant: it ends when all its calls have.

use clap::Parser;
use shedder_tests::bench::peers::{GeneratorOptions, generate};

/// Started by the benches.
#[derive(Debug, Parser)]
#[command(name = "lab-generator")]
struct Arguments {
    #[command(flatten)]
    options: GeneratorOptions,
}

fn main() -> anyhow::Result<()> {
    generate(&Arguments::parse().options)
}
