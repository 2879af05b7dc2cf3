//! `cargo xtask demo`: build, then show the product at work.
//!
//! Invariant: the demo gets the terminal, the signals and the exit status to itself.

use std::ffi::OsString;

use anyhow::Result;

use crate::host;

/// The chore; returns only on failure.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    host::build_and_become("demo", args)
}
