//! Known disasters on real servers and callers, and whether shedder keeps its bounds.
//!
//! Invariant: exit status 0 means that every bound was met or cannot be shown here.

use std::process::ExitCode;

use clap::Parser as _;
use shedder_tests::chaos::{Options, run};

fn main() -> ExitCode {
    run(&Options::parse())
}
