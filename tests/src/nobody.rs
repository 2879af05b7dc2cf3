//! Programs of others, run by a user without rights.
//!
//! Invariant: such a program may read where root built, write in a directory of its own, and nothing else;
//! it ends with the thread that started it.

use std::os::unix::fs::chown;
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// A command of that user. It ends when the thread that spawns it does, also where this program is killed.
pub(crate) fn command(command: &[&str]) -> Command {
    let mut through = Command::new(BECOME[0]);
    through.args(&BECOME[1..]).args(command);
    through
}

/// A directory that is this user's.
pub(crate) fn directory() -> Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
    chown(directory.path(), Some(NOBODY), Some(NOBODY)).context("cannot give a directory away")?;
    Ok(directory)
}

/// What makes a command one of this user: put before it, and run by root.
pub(crate) const BECOME: [&str; 9] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--pdeathsig=KILL",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
    "--no-new-privs",
];
const NOBODY: u32 = 65534;
