//! `cargo xtask budget`: build, then compare what the kernel programs cost with their ceilings.
//!
//! Invariant: what is measured is a release build of this checkout.

use std::ffi::OsString;

use anyhow::Result;

use crate::host;

/// The chore; returns only on failure.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    host::build_and_become("budget", args)
}
