//! `cargo xtask soak`: build, then let endpoints fall ill at random and judge what was promised.
//!
//! Invariant: what is judged is a release build of this checkout.

use std::ffi::OsString;

use anyhow::Result;

use crate::host;

/// The chore; returns only on failure.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    host::build_and_become("soak", args)
}
