//! What people read of a soak: progress while it runs, and what came of it.
//!
//! Invariant: standard output holds the result and nothing else.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::callers::PROCESSES;
use super::figures::Figures;
use super::stage::{CALLERS, ENDPOINTS};
use crate::promise::Promise;

/// Says what begins.
pub(super) fn announce(seed: u64, length: Duration) {
    let minutes = length.as_secs_f64() / 60.0;
    tell(&format!("soak: seed {seed}, {minutes} minutes of faults, then until all is well\n"));
}

/// Says how it goes, to people only.
pub(super) fn progress(left: Option<Duration>, unwell: usize, open: usize, calls: u64) {
    if stderr().is_terminal() {
        let left = left.unwrap_or_default().as_secs();
        tell(&format!(
            "\r{left:>5} s of faults left, {unwell:>2} endpoints unwell, {open:>3} breakers not closed, {calls} calls "
        ));
    }
}

/// Prints all of it.
#[expect(clippy::print_stdout, reason = "the output asked for")]
pub(super) fn print(
    seed: u64,
    figures: &Figures,
    promises: &[Promise],
    as_json: bool,
) -> Result<()> {
    if stderr().is_terminal() {
        tell("\n");
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&Outcome { seed, promises, figures })?);
        return Ok(());
    }
    let (well, ill) = (figures.calls.well, figures.calls.ill);
    println!(
        "seed {seed}: {CALLERS} callers × {ENDPOINTS} endpoints, {} processes, {:.0} s",
        CALLERS * PROCESSES,
        figures.seconds
    );
    println!(
        "calls to well endpoints: {} answered, {} shed, {} not connected, {} unanswered",
        well.answered, well.shed, well.not_connected, well.unanswered
    );
    println!(
        "calls to others:         {} answered, {} shed, {} not connected, {} unanswered",
        ill.answered, ill.shed, ill.not_connected, ill.unanswered
    );
    let kinds: Vec<String> =
        figures.kinds().iter().map(|(illness, count)| format!("{illness:?} {count}")).collect();
    println!("faults: {}", kinds.join(", "));
    println!(
        "trips while well: {}; events lost: {}, connects untagged: {}, actions failed: {}\n",
        figures.trips_while_well.len(),
        figures.events_lost,
        figures.untagged,
        figures.actions_failed
    );
    for promise in promises {
        println!("{promise}");
    }
    Ok(())
}

#[derive(Serialize)]
struct Outcome<'a> {
    seed: u64,
    promises: &'a [Promise],
    #[serde(flatten)]
    figures: &'a Figures,
}

fn tell(text: &str) {
    // There is nobody left to tell when standard error is closed.
    drop(stderr().write_all(text.as_bytes()));
}
