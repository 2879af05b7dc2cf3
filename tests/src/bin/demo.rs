//! Shows shedder at work on this machine, in about a minute.
//!
//! Invariant: whatever the end, nothing of the demo is left on the machine.

use std::process::ExitCode;

use clap::Parser as _;
use shedder_tests::demo::{Options, run};

fn main() -> ExitCode {
    run(&Options::parse())
}
