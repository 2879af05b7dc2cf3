//! Random faults for minutes, and whether shedder keeps its promises meanwhile.
//!
//! Invariant: exit status 0 means that no promise was seen broken.

use std::process::ExitCode;

use clap::Parser as _;
use shedder_tests::soak::{Options, run};

fn main() -> ExitCode {
    run(&Options::parse())
}
