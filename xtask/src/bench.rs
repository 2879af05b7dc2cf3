//! `cargo xtask bench`: install what is measured beside it where that is asked for, build, then measure.
//!
//! Invariant: what is measured is a release build of this checkout.

use std::ffi::OsString;

use anyhow::Result;

use crate::step::Report;
use crate::{host, setup};

/// The chore; returns only on failure.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    // Nothing else measures them.
    if args.first().is_some_and(|part| part == "peers") {
        setup::ensure_peers(Report::OnlyChanges)?;
    }
    host::build_and_become("bench", args)
}
