//! `shedder schema`: what editors need to know of the policy file.

use clap::Args;

use super::Failure;
use crate::config;

/// Print the JSON schema of the policy file, for editors
///
/// For example: shedder schema > /etc/shedder/schema.json, and as the first line of the policy file
/// (Even Better TOML and everything else that builds on taplo):
///
/// #:schema /etc/shedder/schema.json
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    #[expect(clippy::unused_self, reason = "as every command")]
    pub(super) fn execute(self) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&config::schema()).map_err(anyhow::Error::from)?;
        println!("{text}");
        Ok(())
    }
}
