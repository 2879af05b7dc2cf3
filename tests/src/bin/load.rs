//! Connects as fast as the machine gives, and whether anything of the daemon grew meanwhile.
//!
//! Invariant: exit status 0 means that no promise was seen broken.

use std::process::ExitCode;

use clap::Parser as _;
use shedder_tests::load::{Options, run};

fn main() -> ExitCode {
    run(&Options::parse())
}
