//! The command line: one file for each subcommand, and what they share.
//!
//! Exit codes: 0 done, 1 the operation failed, 2 wrong usage, 3 no daemon answers.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where people are told")]

mod advice;
mod chart;
mod check;
mod completions;
mod detach;
mod doctor;
mod events;
mod explain;
mod help;
mod histogram;
mod man;
mod output;
mod overrides;
mod playing;
mod presets;
mod record;
mod reload;
mod replay;
mod run;
mod schema;
mod simulate;
mod status;
mod top;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::api::{Client, ClientError};
use crate::config::DEFAULT_SOCKET;

/// Circuit breaking for every process on this node, in the kernel.
///
/// `shedder run` measures the connections of the services it guards and refuses, holds or redirects
/// connects to endpoints that fail. The other commands show and steer it.
///
/// Start with `shedder doctor`, write a policy file, check it with `shedder check FILE`, run it with
/// `shedder run --config FILE`, and watch `shedder status` and `shedder events --follow`.
#[derive(Debug, Parser)]
#[command(
    name = "shedder",
    version,
    max_term_width = 100,
    after_help = EXIT_CODES,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guard the services of a policy file until told to stop
    Run(run::Run),
    /// Show every breaker: its state, why, and what comes next
    Status(status::Status),
    // Undocumented here, because a line here would hide the long help of the type.
    Events(events::Events),
    // Undocumented here, because a line here would hide the long help of the type.
    Explain(explain::Explain),
    // Undocumented here, because a line here would hide the long help of the type.
    Why(why::Why),
    // Undocumented here, because a line here would hide the long help of the type.
    Top(top::Top),
    // Undocumented here, because a line here would hide the long help of the type.
    Histogram(histogram::Latencies),
    /// Shed connects to an endpoint for a while, whatever the evidence says
    Trip(overrides::Timed),
    /// Let connects to an endpoint through for a while, whatever the evidence says
    Hold(overrides::Timed),
    /// Drop an endpoint's override, evidence and backoff, and close its breaker
    Reset(overrides::Reset),
    // Undocumented here, because a line here would hide the long help of the type.
    Reload(reload::Reload),
    /// Check a policy file, without a daemon and without privileges
    Check(check::Check),
    // Undocumented here, because a line here would hide the long help of the type.
    Schema(schema::Schema),
    // Undocumented here, because a line here would hide the long help of the type.
    Detach(detach::Detach),
    /// Find out whether this node can run shedder, and what it would lack
    Doctor(doctor::Doctor),
    /// List the presets, or show everything one of them sets
    Presets(presets::Presets),
    // Undocumented here, because a line here would hide the long help of the type.
    Simulate(simulate::Simulate),
    // Undocumented here, because a line here would hide the long help of the type.
    Record(record::Record),
    // Undocumented here, because a line here would hide the long help of the type.
    Replay(replay::Replay),
    // Undocumented here, because a line here would hide the long help of the type.
    Completions(completions::Completions),
    // Undocumented here, because a line here would hide the long help of the type.
    Man(man::Man),
    // Undocumented here, because a line here would hide the long help of the type.
    Help(help::Help),
}

/// How to reach the daemon.
#[derive(Debug, Args)]
struct Reach {
    /// The daemon's control socket
    #[arg(long, value_name = "PATH", env = "SHEDDER_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
}

/// Why a command failed.
#[derive(Debug)]
enum Failure {
    /// The operation failed.
    Operation(anyhow::Error),
    /// No daemon answers.
    Unreachable(ClientError),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    // A reader that goes away, such as `head`, ends a command quietly. The daemon outlives both
    // its clients and the reader of its log.
    if !matches!(command, Command::Run(_)) {
        output::die_quietly_with_reader();
    }
    let outcome = match command {
        Command::Run(command) => command.execute(),
        Command::Status(command) => command.execute(),
        Command::Events(command) => command.execute(),
        Command::Explain(command) => command.execute(),
        Command::Why(command) => command.execute(),
        Command::Top(command) => command.execute(),
        Command::Histogram(command) => command.execute(),
        Command::Trip(command) => command.execute(crate::api::model::Order::Trip),
        Command::Hold(command) => command.execute(crate::api::model::Order::Hold),
        Command::Reset(command) => command.execute(),
        Command::Reload(command) => command.execute(),
        Command::Detach(command) => command.execute(),
        Command::Check(command) => command.execute(),
        Command::Schema(command) => command.execute(),
        Command::Doctor(command) => command.execute(),
        Command::Presets(command) => command.execute(),
        Command::Simulate(command) => command.execute(),
        Command::Record(command) => command.execute(),
        Command::Replay(command) => command.execute(),
        Command::Completions(command) => command.execute(),
        Command::Man(command) => command.execute(),
        Command::Help(command) => command.execute(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Operation(error)) => {
            eprintln!("shedder: {}", output::sentence(&error));
            ExitCode::from(1)
        }
        Err(Failure::Unreachable(error)) => {
            eprintln!("shedder: {error}");
            ExitCode::from(3)
        }
    }
}

/// Whether there is a command of this name.
#[cfg(test)]
pub(crate) fn is_command(name: &str) -> bool {
    use clap::CommandFactory as _;
    Cli::command().find_subcommand(name).is_some()
}

/// What is wrong with these words as a command, if anything.
#[cfg(test)]
pub(crate) fn complaint_about<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    use clap::error::ErrorKind;
    let parsed = Cli::try_parse_from(std::iter::once("shedder").chain(words));
    let error = parsed.err()?;
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    (!is_answer).then(|| error.to_string())
}

impl Reach {
    /// Asks the daemon something.
    fn ask<T>(
        &self,
        question: impl AsyncFnOnce(Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Operation(error.into()))?;
        Ok(runtime.block_on(question(Client::new(&self.socket)))?)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable { .. } | ClientError::Broken { .. } => {
                Self::Unreachable(error)
            }
            ClientError::Refused(_) | ClientError::Answer { .. } => Self::Operation(error.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Operation(error)
    }
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the operation failed, 2 wrong usage, 3 no daemon answers.\n`shedder help` lists topics as well.";
