//! `cargo xtask build`: the BPF programs, then the daemon that embeds them, then the lab.
//!
//! Invariant: what it prints last is the program to run.

use anyhow::Result;

use crate::host::{self, Profile};
use crate::paths;
use crate::step::{self, GREEN, Stopwatch};

/// The chore.
pub(crate) fn run(debug: bool) -> Result<()> {
    let watch = Stopwatch::start();
    let profile = if debug { Profile::Debug } else { Profile::Release };
    host::build_all(profile)?;
    let daemon = profile.directory().join("shedder");
    step::tagged(GREEN, "built", &format!("{}  {watch}", paths::relative(&daemon).display()));
    Ok(())
}
