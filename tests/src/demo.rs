//! The demo: the same calls with and without shedder, side by side, while backends fall ill and
//! get well again.
//!
//! Invariant: every figure shown is measured on real processes in this run, and everything that
//! was made is gone before [`run`] returns.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

mod director;
mod figures;
mod live;
mod population;
mod record;
mod screen;
mod script;
mod stage;
mod table;
mod text;

use director::Director;
use figures::Figures;
use screen::{Mode, Screen};
use stage::Stage;

use crate::recorder::Recorder;
use crate::{daemon, interrupt, program};

/// Shows what shedder does for the callers of three backends that fail one after another: by
/// refusing, by being slow, by hanging.
///
/// Two equal populations of processes call the same backends at the same time; only one of them
/// is guarded. Needs root and a cgroup2 hierarchy, and leaves nothing behind.
#[derive(Clone, Debug, Parser)]
#[command(name = "demo")]
pub struct Options {
    /// How long each of the five acts lasts; the last goes on until all breakers are closed
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u8).range(4..=60))]
    seconds_per_act: u8,
    /// Print only the final figures, as JSON
    #[arg(long)]
    json: bool,
    /// Let shedder only observe, and record what it sees into this file for `shedder replay`
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    record: Option<PathBuf>,
}

/// Plays the demo. The status is 1 for a failure, which is explained on standard error, and
/// 128 and the signal's number when a signal ended it.
pub fn run(options: &Options) -> ExitCode {
    let ready = program::check_needs().and_then(|()| daemon::program().map(drop));
    program::exit_code("demo", ready.and_then(|()| play(options)))
}

fn play(options: &Options) -> Result<()> {
    interrupt::watch()?;
    let mut screen = Screen::new(if options.json { Mode::Silent } else { Mode::suitable() });
    for line in script::INTRODUCTION {
        screen.say(line)?;
    }
    let stage =
        Stage::build(if options.record.is_some() { script::WATCHING } else { script::RULES })?;
    let recorder = match &options.record {
        Some(file) => Some(Recorder::start(&stage.daemon.socket(), file, &[])?),
        None => None,
    };
    let act_length = Duration::from_secs(options.seconds_per_act.into());
    let timeline = Director::new(&stage, &mut screen, act_length)?.play()?;
    if let Some(recorder) = recorder {
        screen.say(recorder.stop()?.trim_end())?;
    }
    let figures = Figures::measure(&timeline, &stage.dismiss()?);
    if options.json {
        screen.print(&serde_json::to_string_pretty(&figures)?)
    } else {
        screen.print(&table::render(&figures, screen.paint()))
    }
}
