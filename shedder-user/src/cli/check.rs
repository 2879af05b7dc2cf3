//! `shedder check`: is the policy file good?

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::Config;
use crate::engine::Mode;

/// Check a policy file, without a daemon and without privileges.
///
/// Says what would be guarded, or names the line that is wrong. `shedder run --check-only` goes
/// further and asks the kernel.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The policy file
    file: PathBuf,
}

impl Check {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let config = Config::load(&self.file).map_err(anyhow::Error::from)?;
        for binding in &config.bindings {
            let service = &config.services[binding.service];
            let mode = match binding.policy.mode {
                Mode::Observe => "observes",
                Mode::Enforce => "enforces",
            };
            println!(
                "policy {} {mode}: {} calling {} ({} endpoints)",
                binding.policy.name,
                config.callers[binding.caller].name,
                service.name,
                service.endpoints.len(),
            );
        }
        println!("{}: good", self.file.display());
        Ok(())
    }
}
