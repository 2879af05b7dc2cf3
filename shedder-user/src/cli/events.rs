//! `shedder events`: what happened, and what happens.

use std::io::{Write as _, stdout};

use clap::Args;

use super::{Failure, Reach};

/// Show what happened: transitions, discoveries, errors, each with its cause.
///
/// The daemon keeps the last 1000. With `--follow` the command goes on until interrupted.
#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(flatten)]
    reach: Reach,
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Events {
    pub(super) fn execute(self) -> Result<(), Failure> {
        self.reach.ask(async |client| {
            client
                .events(self.follow, |event| {
                    let line = if self.json {
                        serde_json::to_string(&event).expect("an event has only text keys")
                    } else {
                        format!("{}  {}", event.at, event.text)
                    };
                    // Each line at once: the reader may be a program that waits for it.
                    writeln!(stdout(), "{line}").and_then(|()| stdout().flush()).is_ok()
                })
                .await
        })
    }
}
