//! What `shedder simulate` and `shedder replay` have in common: what to play to, and how to tell.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Playing {
    /// Play to this preset or policy file; may be given several times
    #[arg(long, value_name = "PRESET-OR-FILE")]
    pub(super) policy: Vec<String>,
    /// Draw the timeline into this file
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
    /// Print the whole report as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Print every change of state as well
    #[arg(long)]
    pub(super) transitions: bool,
}
