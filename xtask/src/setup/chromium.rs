//! Chromium without a window, in which the tests look at the dashboard page.
//!
//! Invariant: nothing is installed: Debian's package, and those of the libraries it needs that are not
//! here, are unpacked in the target directory. apt checks what it downloads by the signed lists of the
//! distribution.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use super::debian;
use crate::paths;
use crate::process;
use crate::step::{self, Change, Done, Report};

/// Find a browser, or unpack one.
pub(super) fn ensure(report: Report) -> Result<()> {
    report.step("chromium", ensure_program)
}

fn ensure_program() -> Result<Done<()>> {
    if let Some(detail) = find() {
        return Ok(Done { value: (), change: Change::None, detail });
    }
    unpack().map_err(|error| {
        anyhow!(
            "the program {PACKAGE} is missing: the tests look at the dashboard page with it\n\
             tried:\n  apt-get: {error:#}\n\
             put it, chromium or google-chrome on the PATH and run this again"
        )
    })?;
    let detail = find().with_context(|| format!("package {PACKAGE} brought no program"))?;
    Ok(Done { value: (), change: Change::Installed, detail })
}

fn find() -> Option<String> {
    let unpacked = directory().join("usr/lib/chromium").join(PACKAGE);
    let installed = || PROGRAMS.iter().find_map(|program| process::find(program));
    let path = Some(unpacked).filter(|path| process::is_executable(path)).or_else(installed);
    path.map(|path| path.display().to_string())
}

fn unpack() -> Result<()> {
    step::announce("unpacking Debian's chromium-headless-shell: about 100 megabytes");
    debian::unpack_with_missing(PACKAGE, &directory())
}

/// Where the tests look for it besides `PATH`.
fn directory() -> PathBuf {
    paths::target_dir().join("tools/chromium")
}

const PACKAGE: &str = "chromium-headless-shell";
const PROGRAMS: [&str; 3] = [PACKAGE, "chromium", "google-chrome"];
