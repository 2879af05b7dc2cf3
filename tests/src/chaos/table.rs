//! What people read of chaos: what is played, and the table of what came of it.
//!
//! Invariant: standard output holds the result and nothing else.

use std::io::{IsTerminal as _, Write as _, stderr};

use anyhow::{Error, Result};
use serde::Serialize;

use super::Options;
use super::bound::{Finding, Verdict};
use super::held;
use super::scenario::Scenario;

/// A scenario that was played, and what was found.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) scenario: Scenario,
    pub(super) findings: Vec<Finding>,
}

impl Row {
    /// The bounds that were not met.
    pub(super) fn complaints(&self) -> Vec<String> {
        let broken = self.findings.iter().filter(|it| it.verdict == Verdict::NotMet);
        broken.map(|it| format!("{} {} {}", self.scenario.id, it.what(), it.cells()[3])).collect()
    }
}

/// Says how much there is to do.
pub(super) fn begin(scenarios: usize) {
    tell(&format!("chaos: {scenarios} scenarios\n"));
}

/// Says what begins, to people only.
pub(super) fn announce(scenario: &Scenario) {
    if stderr().is_terminal() {
        tell(&format!("{:6} {} …", scenario.id, scenario.title));
    }
}

/// Says why a scenario could not be played.
pub(super) fn explain(scenario: &Scenario, error: &Error) {
    tell(&format!("\n{}: {error:#}\n", scenario.id));
}

/// Says what came of it.
pub(super) fn progress(row: &Row) {
    let broken = row.complaints();
    let outcome = if broken.is_empty() { "ok".to_owned() } else { broken.join("; ") };
    let start = if stderr().is_terminal() { "\r\x1b[K" } else { "" };
    tell(&format!("{start}{:6} {}: {outcome}\n", row.scenario.id, row.scenario.title));
}

/// Prints all of it.
#[expect(clippy::print_stdout, reason = "the output asked for")]
pub(super) fn print(rows: &[Row], options: &Options) -> Result<()> {
    if options.json {
        let outcome: Vec<Outcome<'_>> = rows.iter().map(Outcome::of).collect();
        println!("{}", serde_json::to_string_pretty(&outcome)?);
        return Ok(());
    }
    println!("| scenario | measured is | bound | measured | verdict |\n|---|---|---|---|---|");
    for Row { scenario, findings } in rows {
        println!("| **{}** {} [{}] | | | | |", scenario.id, scenario.title, scenario.policy);
        for finding in findings {
            println!("| {} |", finding.cells().join(" | "));
        }
    }
    if options.names.is_empty() && !options.short {
        for [row, what, bound, test] in held::BY_TESTS {
            println!("| {row} | {what} | {bound} | | held by `{test}` |");
        }
    }
    println!("\n\\* the requirement has no number here; this one is ours");
    Ok(())
}

/// Prints which scenarios there are.
#[expect(clippy::print_stdout, reason = "the output asked for")]
#[expect(clippy::unnecessary_wraps, reason = "beside what may fail")]
pub(super) fn list(scenarios: &[Scenario]) -> Result<()> {
    for Scenario { id, title, policy, sources, bounds, is_short, .. } in scenarios {
        let short = if *is_short { ", short" } else { "" };
        println!("{id:6} {title} ({sources}{short}) [{policy}]");
        for bound in *bounds {
            println!("       {}: {} {bound}", bound.row, bound.what);
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Outcome<'a> {
    id: &'a str,
    title: &'a str,
    policy: &'a str,
    sources: &'a str,
    findings: &'a [Finding],
}

impl<'a> Outcome<'a> {
    fn of(Row { scenario, findings }: &'a Row) -> Self {
        let Scenario { id, title, policy, sources, .. } = scenario;
        Self { id, title, policy, sources, findings }
    }
}

fn tell(text: &str) {
    // There is nobody left to tell when standard error is closed.
    drop(stderr().write_all(text.as_bytes()));
}
