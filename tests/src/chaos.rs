//! Chaos: known disasters, played on real servers and real callers, and whether shedder kept its bounds.
//!
//! Invariant: every figure is measured on real processes in this run, what cannot be shown here is said to
//! be so, and everything that was made is gone before [`run`] returns.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;

mod bound;
mod client;
mod disk;
mod firewall;
mod ground;
mod guard;
mod held;
mod kit;
mod ledger;
mod proxy;
mod scenario;
mod scenarios;
mod server;
mod table;

use bound::Finding;
use kit::Kit;
use scenario::Scenario;
use table::Row;

use crate::{daemon, interrupt, program};

/// Plays known disasters on real servers and callers and judges what shedder makes of them.
///
/// nginx, Redis and Postgres of Debian are called by programs in Python and Node, on a JVM, and by curl,
/// in cgroups that a real daemon guards; servers are killed, frozen, cut off and slowed down. Each figure
/// is compared with its bound. A bound that is not kept is named and the exit status is 1. Needs root and a
/// cgroup2 hierarchy, works in network namespaces of its own, and leaves nothing behind.
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos", bin_name = "cargo xtask chaos", after_help = EXAMPLES)]
pub struct Options {
    /// Only these scenarios, such as ch-3; all of them without.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only the few that `cargo xtask test` plays, in about a minute.
    #[arg(long)]
    short: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Say which scenarios there are, and play none.
    #[arg(long)]
    list: bool,
}

/// Plays and prints. The status is 1 where a bound is not met, and when a scenario cannot be played.
pub fn run(options: &Options) -> ExitCode {
    let outcome = choose(options).and_then(|chosen| {
        if options.list {
            return table::list(&chosen);
        }
        program::check_needs()?;
        daemon::program()?;
        play(&chosen, options)
    });
    program::exit_code("chaos", outcome)
}

fn play(chosen: &[Scenario], options: &Options) -> Result<()> {
    interrupt::watch()?;
    table::begin(chosen.len());
    let kit = Kit::new()?;
    let mut rows = Vec::new();
    for scenario in chosen {
        table::announce(scenario);
        let findings = (scenario.play)(&kit);
        interrupt::check()?;
        let row = Row { scenario: *scenario, findings: complete(scenario, findings) };
        table::progress(&row);
        rows.push(row);
    }
    table::print(&rows, options)?;
    let broken: Vec<String> = rows.iter().flat_map(Row::complaints).collect();
    ensure!(broken.is_empty(), "not met: {}", broken.join(", "));
    Ok(())
}

/// A bound of which nothing was said is not met.
fn complete(scenario: &Scenario, findings: Result<Vec<Finding>>) -> Vec<Finding> {
    let (mut findings, why) = match findings {
        Ok(findings) => (findings, "nothing was measured".to_owned()),
        Err(error) => {
            table::explain(scenario, &error);
            (Vec::new(), "could not be played".to_owned())
        }
    };
    let is_missing = |what| !findings.iter().any(|it: &Finding| it.what() == what);
    let missing = scenario.bounds.iter().filter(|bound| is_missing(bound.what));
    let missing: Vec<Finding> = missing.map(|bound| bound.failed(&why)).collect();
    findings.extend(missing);
    findings
}

fn choose(options: &Options) -> Result<Vec<Scenario>> {
    let mut chosen = Vec::new();
    for scenario in scenarios::ALL {
        let is_named = options.names.iter().any(|name| name.eq_ignore_ascii_case(scenario.id));
        if is_named || (options.names.is_empty() && (scenario.is_short || !options.short)) {
            chosen.push(*scenario);
        }
    }
    let is_known =
        |name: &&String| scenarios::ALL.iter().any(|it| name.eq_ignore_ascii_case(it.id));
    let unknown = options.names.iter().find(|name| !is_known(name));
    ensure!(
        unknown.is_none(),
        "there is no {}; --list says which there are",
        unknown.map_or("", String::as_str)
    );
    Ok(chosen)
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask chaos                            all of it, about ten minutes
  cargo xtask chaos --short                    what `cargo xtask test` plays
  cargo xtask chaos ch-3 ch-9                  a partition, and a zone that goes down
  cargo xtask chaos --list                     which there are";
