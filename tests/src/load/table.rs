//! What people read of a load: progress while it runs, and what came of it.
//!
//! Invariant: standard output holds the result and nothing else.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::figures::Figures;
use crate::promise::Promise;
use crate::statistics::figure;

/// Says what begins.
pub(super) fn announce(idle: Duration, length: Duration) {
    let (idle, minutes) = (idle.as_secs(), length.as_secs_f64() / 60.0);
    tell(&format!("load: {idle} s in which nobody calls, then {minutes} minutes of connects\n"));
}

/// Says how it goes, to people only.
pub(super) fn progress(what: &str, left: Duration, connects: u64) {
    if stderr().is_terminal() {
        tell(&format!("\r{what}: {:>5} s left, {connects} connects ", left.as_secs()));
    }
}

/// Prints all of it.
#[expect(clippy::print_stdout, reason = "the output asked for")]
pub(super) fn print(figures: &Figures, promises: &[Promise], as_json: bool) -> Result<()> {
    if stderr().is_terminal() {
        tell("\n");
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&Outcome { promises, figures })?);
        return Ok(());
    }
    let Figures { idle, loaded, connects, .. } = figures;
    println!(
        "idle for {:.0} s: {:.3} % of a processor, {} KiB",
        idle.seconds,
        idle.percent(),
        idle.resident_kib
    );
    println!(
        "loaded for {:.0} s: {} connects, {:.0} a second; the daemon: {:.1} % of a processor, {} KiB at most",
        loaded.seconds,
        connects.all(),
        figure(connects.all()) / loaded.seconds,
        loaded.percent(),
        loaded.resident_kib
    );
    println!(
        "{} cgroups and {} endpoints came and went, {} endpoints known at once; events lost: {}, connects untagged: {}\n",
        figures.cgroups,
        figures.endpoints,
        figures.endpoints_at_once,
        figures.events_lost,
        figures.untagged
    );
    for promise in promises {
        println!("{promise}");
    }
    Ok(())
}

#[derive(Serialize)]
struct Outcome<'a> {
    promises: &'a [Promise],
    #[serde(flatten)]
    figures: &'a Figures,
}

fn tell(text: &str) {
    // There is nobody left to tell when standard error is closed.
    drop(stderr().write_all(text.as_bytes()));
}
