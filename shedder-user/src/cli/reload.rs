//! `shedder reload`: the policy file as it is now.

use clap::Args;

use super::{Failure, Reach};
use crate::api::model::{self, Reloaded};

/// Take up the policy file as it is now, and say what is different.
///
/// Breakers of endpoints that stay keep their state and evidence. A file that cannot be taken up as a
/// whole changes nothing. The daemon takes up changes by itself within about a second, unless the policy
/// says `watch = false`; SIGHUP does the same. Only root may.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    reach: Reach,
    /// Only say what would be different
    #[arg(long)]
    check: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let order = model::Reload { check: self.check };
        let reloaded = self.reach.ask(async |client| client.reload(order).await)?;
        if self.json {
            println!("{}", serde_json::to_string(&reloaded).map_err(anyhow::Error::from)?);
        } else {
            report(&reloaded, self.check);
        }
        Ok(())
    }
}

fn report(reloaded: &Reloaded, is_check: bool) {
    let Reloaded { generation, changes, breakers, .. } = reloaded;
    if changes.is_empty() {
        println!("nothing is different; generation {generation} stays in force");
        return;
    }
    for change in changes {
        println!("{change}");
    }
    println!("{breakers}");
    if is_check {
        println!("nothing was changed; generation {generation} stays in force");
    } else {
        println!("generation {generation} is in force");
    }
}
