//! `shedder detach`: everything of a daemon that is no more.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::DEFAULT_PIN_DIR;
use crate::daemon::require_privileges;
use crate::kernel::{Pins, drop_dead_claims};

/// Remove what a daemon has left in the kernel
///
/// A daemon that was started with `--detach-on-exit=false` leaves its programs attached and its breakers in
/// maps, so that the next one goes on without a gap. When there is to be no next one, this removes them; also
/// after a crash. Connections are not touched. A daemon that runs is not touched either: stop it first.
/// Needs root.
#[derive(Debug, Args)]
pub(super) struct Detach {
    /// The `pin_dir` of the policy file the daemon was run with
    #[arg(long, value_name = "DIRECTORY", default_value = DEFAULT_PIN_DIR)]
    pin_dir: PathBuf,
}

impl Detach {
    pub(super) fn execute(self) -> Result<(), Failure> {
        require_privileges()?;
        let links = Pins::clear(&self.pin_dir).map_err(anyhow::Error::from)?;
        drop_dead_claims();
        let directory = self.pin_dir.display();
        match links {
            0 => println!("nothing was attached by links in {directory}"),
            links => println!(
                "{links} {} removed from {directory}; nothing is attached any more",
                if links == 1 { "link" } else { "links" }
            ),
        }
        Ok(())
    }
}
