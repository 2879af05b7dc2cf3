//! What a guarded client pays for its connects, its requests and its refusals.
//!
//! Invariant: client, kernel programs and server live in a network namespace and a cgroup made for
//! the bench, so nothing else of the node is guarded or measured.

use std::io::{IsTerminal, stderr};

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::interrupt;
use super::machine::{self, Machine};
use super::membership::Membership;
use super::program_runs::ProgramRuns;
use super::server::{self, BACKLOG, Server};
use crate::netns::NetNs;

mod comparison;
mod guard;
mod operation;
mod programs;
mod report;
mod rounds;
mod table;
mod target;

use comparison::{COMPARISONS, Comparison, PROMPT_ROUTE};
use guard::Guard;
use report::{Figures, Report};
use rounds::Limits;

/// How much to measure, and where.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Rounds of each comparison; in each, every arm is measured once.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(8..))]
    rounds: u32,
    /// Operations of an arm in a round.
    #[arg(long, default_value_t = 1000, value_parser = operations())]
    ops: usize,
    /// Seconds after which no more rounds are begun.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// The client's CPU; the last there is unless given.
    #[arg(long)]
    client_cpu: Option<usize>,
    /// The server's CPU; the first there is unless given.
    #[arg(long)]
    server_cpu: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<()> {
    interrupt::watch();
    let report = Bench::set_up(options)?.run()?;
    if options.json {
        return report.print();
    }
    table::print(&report);
    Ok(())
}

/// What is the same for all measurements.
struct Bench {
    namespace: NetNs,
    server: Server,
    limits: Limits,
    client_cpu: usize,
    server_cpu: usize,
    machine: Machine,
}

impl Bench {
    /// The server starts here, before this process joins a cgroup, so it is not guarded.
    fn set_up(options: &Options) -> Result<Self> {
        let cpus = machine::available_cpus()?;
        let or = |chosen: Option<usize>, other: Option<&usize>| {
            chosen.or_else(|| other.copied()).unwrap_or_default()
        };
        let client_cpu = or(options.client_cpu, cpus.last());
        let server_cpu = or(options.server_cpu, cpus.first());
        let namespace = NetNs::new("bench")?;
        namespace.ip(PROMPT_ROUTE)?;
        let server = Server::start(&namespace, server::Options { cpu: server_cpu, client_cpu })?;
        let limits = Limits {
            rounds: options.rounds,
            operations: options.ops,
            seconds: options.seconds / COMPARISONS.len() as u64,
        };
        Ok(Self {
            namespace,
            server,
            limits,
            client_cpu,
            server_cpu,
            machine: Machine::describe()?,
        })
    }

    fn run(self) -> Result<Report> {
        let report = self.namespace.enter(|| self.measure())?;
        drop(self.server);
        report
    }

    /// Runs on the one thread that is the client.
    fn measure(&self) -> Result<Report> {
        machine::pin_to(self.client_cpu)?;
        forget_closed_connections()?;
        let membership = Membership::join("bench")?;
        let mut guard = Guard::load(membership.cgroup())?;
        let programs = ProgramRuns::of_this_process()?;
        let load_before = machine::load()?;
        let mut figures = Vec::new();
        for comparison in COMPARISONS {
            announce(comparison);
            let rounds = rounds::alternate(&mut guard, comparison, &self.limits)?;
            figures.push(Figures::of(comparison, &rounds)?);
        }
        let programs = programs::count(&mut guard, &programs, &self.limits)?;
        Ok(Report {
            machine: self.machine.clone(),
            client_cpu: self.client_cpu,
            server_cpu: self.server_cpu,
            load_before,
            load_after: machine::load()?,
            operations: self.limits.operations,
            targets: target::check(&figures),
            figures,
            programs,
        })
    }
}

/// Closed connections keep their ports for a minute; a namespace of our own may do without, so
/// that no port ever becomes scarce. The operations measured do the same work either way.
fn forget_closed_connections() -> Result<()> {
    std::fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0")
        .context("cannot set tcp_max_tw_buckets in a network namespace of our own")
}

#[expect(clippy::print_stderr, reason = "says what takes so long, to people only")]
fn announce(comparison: &Comparison) {
    if stderr().is_terminal() {
        eprintln!("measuring {} ...", comparison.title);
    }
}

/// The server must never have to be waited for in the middle of a round.
fn operations() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(100..=u64::from(BACKLOG) - 96)
}
