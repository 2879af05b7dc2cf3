//! Whether the kernel programs keep to their ceilings.
//!
//! Invariant: exit status 0 means that none was passed.

use std::process::ExitCode;

use clap::Parser as _;
use shedder_tests::bench::budget::{Options, run};

fn main() -> ExitCode {
    run(&Options::parse())
}
