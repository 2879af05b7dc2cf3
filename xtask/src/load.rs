//! `cargo xtask load`: build, then connect as fast as the machine gives and judge what grew.
//!
//! Invariant: what is judged is a release build of this checkout.

use std::ffi::OsString;

use anyhow::Result;

use crate::host;

/// The chore; returns only on failure.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    host::build_and_become("load", args)
}
