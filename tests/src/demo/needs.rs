//! What the demo needs of the machine, looked at before anything is made.
//!
//! Invariant: looking changes nothing.

use std::env;
use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::cgroup;
use crate::daemon;

/// Fails with what is missing and what to do about it.
pub(super) fn check() -> Result<()> {
    ensure!(
        is_root()?,
        "only root may make cgroups and load BPF programs\n      \
         run it as root, for example: sudo {}",
        env::args().next().unwrap_or_default()
    );
    cgroup::mount_point()?;
    daemon::program().map(drop)
}

/// By the effective user of this process.
fn is_root() -> Result<bool> {
    let status = fs::read_to_string("/proc/self/status").context("/proc is not mounted")?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    Ok(users.split_whitespace().nth(1) == Some("0"))
}
