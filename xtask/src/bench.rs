//! `cargo xtask bench`: build, then measure.
//!
//! Invariant: what is measured is a release build of this checkout.

use std::ffi::OsString;

use anyhow::Result;

use crate::host;

/// The chore; returns only on failure.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    host::build_and_become("bench", args)
}
