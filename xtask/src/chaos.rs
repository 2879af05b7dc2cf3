//! `cargo xtask chaos`: install servers and callers, build, then play known disasters on them.
//!
//! Invariant: what is judged is a release build of this checkout, and no service of the machine is started.

use std::ffi::OsString;

use anyhow::Result;

use crate::step::Report;
use crate::{host, setup};

/// The chore; returns only on failure.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    setup::ensure_chaos_tools(Report::OnlyChanges)?;
    host::build_and_become("chaos", args)
}
