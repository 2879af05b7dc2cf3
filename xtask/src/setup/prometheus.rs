//! Prometheus and `promtool`, with which the tests judge metrics and alerts.
//!
//! Invariant: nothing is installed and no service started: Debian's package is unpacked in the target
//! directory. apt checks what it downloads by the signed lists of the distribution.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};

use super::debian;
use crate::paths;
use crate::process;
use crate::step::{self, Change, Done, Report};

/// Find both programs, or unpack them.
pub(super) fn ensure(report: Report) -> Result<()> {
    report.step("prometheus", ensure_programs)
}

fn ensure_programs() -> Result<Done<()>> {
    if let Some(detail) = find() {
        return Ok(Done { value: (), change: Change::None, detail });
    }
    unpack().map_err(|error| {
        anyhow!(
            "the programs prometheus and promtool are missing: the tests judge metrics and alerts \
             with them\ntried:\n  apt-get: {error:#}\n\
             put both on the PATH (Debian's package prometheus has them, and starts a service) \
             and run this again"
        )
    })?;
    let detail = find().context("package prometheus was unpacked but brought no programs")?;
    Ok(Done { value: (), change: Change::Installed, detail })
}

/// Where both are.
fn find() -> Option<String> {
    let unpacked = directory().join("usr/bin");
    let place = |program: &str| {
        process::find(program)
            .or_else(|| Some(unpacked.join(program)).filter(|path| process::is_executable(path)))
    };
    place("prometheus")?;
    place("promtool").map(|path| path.display().to_string())
}

fn unpack() -> Result<()> {
    let directory = directory();
    step::announce("unpacking Debian's prometheus: about 20 megabytes");
    debian::unpack("prometheus", &directory)?;
    ensure!(directory.join("usr/bin").is_dir(), "the package has no usr/bin");
    Ok(())
}

/// Where the tests look for them besides `PATH`.
fn directory() -> PathBuf {
    paths::target_dir().join("tools/prometheus")
}
