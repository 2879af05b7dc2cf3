//! This process as a member of a cgroup of its own.
//!
//! Invariant: it goes back to where it came from before the cgroup is removed, since removing one
//! ends whoever is inside.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cgroup::{Cgroup, mount_point};

/// While it lives, this process is in a cgroup made for it. Only sockets made after it joined are
/// seen there.
#[derive(Debug)]
pub(super) struct Membership {
    cgroup: Cgroup,
    home: PathBuf,
}

impl Membership {
    /// Makes the cgroup and moves this process, with all its threads, into it.
    pub(super) fn join(label: &str) -> Result<Self> {
        let members = fs::read_to_string("/proc/self/cgroup").context("cannot find our cgroup")?;
        let name = members
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .context("this process is in no cgroup of the unified hierarchy")?;
        let home = mount_point()?.join(name).join("cgroup.procs");
        let cgroup = Cgroup::new(label)?;
        cgroup.admit(std::process::id())?;
        Ok(Self { cgroup, home })
    }

    /// The cgroup.
    pub(super) const fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for Membership {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what went wrong")]
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.home, std::process::id().to_string()) {
            eprintln!("cannot go back to {}: {error}", self.home.display());
        }
    }
}
