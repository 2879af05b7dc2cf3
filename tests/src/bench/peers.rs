//! Shedder beside its peers: no guard, Envoy, `HAProxy` and nginx, on the same work in the same run.
//!
//! Invariant: what is compared differs in the guard only, what was measured is written down before it is
//! told, and everything made for it is gone at the end, on Ctrl-C too.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::machine::{self, Machine};
use crate::interrupt;

mod cost;
mod deciding;
mod document;
mod generator;
mod guard;
mod maps;
mod plot;
mod protection;
mod proxy;
mod refusing;
mod scale;
mod site;

pub use generator::{Options as GeneratorOptions, generate};

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Where what was measured is kept; `bench`, beside the programs of the release, unless given.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    keep_in: Option<PathBuf>,
    #[command(subcommand)]
    part: Part,
}

#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// What a guard costs while all is well: latency, processor time, memory, throughput.
    Cost(cost::Options),
    /// What callers see of faults under each guard.
    Protection(protection::Options),
    /// What it costs to be refused.
    Refusing(refusing::Options),
    /// How long it takes from the failure that satisfies a rule to the verdict in force.
    Deciding(deciding::Options),
    /// How shedder grows with endpoints and cgroups.
    Scale(scale::Options),
    /// All of these, with their defaults, and then the document.
    All,
    /// Write docs/benchmarks.md and its pictures from what was measured last.
    Document,
}

/// What was measured, and where and when.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Record<T> {
    /// The command that measured it.
    command: String,
    machine: Machine,
    /// Load average over a minute, before and after.
    load: [f64; 2],
    figures: T,
}

/// Measures, keeps the figures, and prints.
pub fn run(options: &Options) -> Result<()> {
    interrupt::watch()?;
    let shelf = Shelf::at(options.keep_in.as_deref())?;
    match &options.part {
        Part::Cost(options) => shelf.cost(options),
        Part::Protection(options) => shelf.protection(options),
        Part::Refusing(options) => shelf.refusing(options),
        Part::Deciding(options) => shelf.deciding(options),
        Part::Scale(options) => shelf.scale(options),
        Part::All => {
            shelf.cost(&cost::Options::default())?;
            shelf.protection(&protection::Options::default())?;
            shelf.refusing(&refusing::Options::default())?;
            shelf.deciding(&deciding::Options::default())?;
            shelf.scale(&scale::Options::default())?;
            document::write(&shelf)
        }
        Part::Document => document::write(&shelf),
    }
}

/// Where what was measured is kept.
#[derive(Debug)]
struct Shelf(PathBuf);

impl Shelf {
    /// There, or beside the programs.
    fn at(directory: Option<&Path>) -> Result<Self> {
        let executable = std::env::current_exe().context("cannot find the current executable")?;
        let beside =
            || executable.ancestors().nth(2).unwrap_or_else(|| Path::new(".")).join("bench");
        let directory = directory.map_or_else(beside, Path::to_owned);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self(directory))
    }

    fn cost(&self, options: &cost::Options) -> Result<()> {
        self.keep("cost", || cost::measure(options), cost::chapter)
    }

    fn protection(&self, options: &protection::Options) -> Result<()> {
        self.keep("protection", || protection::measure(options), protection::chapter)
    }

    fn refusing(&self, options: &refusing::Options) -> Result<()> {
        self.keep("refusing", || refusing::measure(options), refusing::chapter)
    }

    fn deciding(&self, options: &deciding::Options) -> Result<()> {
        self.keep("deciding", || deciding::measure(options), deciding::chapter)
    }

    fn scale(&self, options: &scale::Options) -> Result<()> {
        self.keep("scale", || scale::measure(options), scale::chapter)
    }

    /// Measures a part, writes its figures down, and prints what they say.
    #[expect(clippy::print_stdout, reason = "the output asked for")]
    fn keep<T: Serialize>(
        &self,
        part: &str,
        measure: impl FnOnce() -> Result<T>,
        chapter: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let (machine, before) = (Machine::describe()?, machine::load()?);
        let figures = measure()?;
        let load = [before, machine::load()?];
        let record = Record { command: command(), machine, load, figures };
        let file = self.file(part);
        fs::write(&file, serde_json::to_string(&record)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("{}", chapter(&record.figures));
        Ok(())
    }

    /// The figures of a part; none where it was not measured.
    fn take<T: DeserializeOwned>(&self, part: &str) -> Result<Option<Record<T>>> {
        let Ok(kept) = fs::read_to_string(self.file(part)) else { return Ok(None) };
        let record = serde_json::from_str(&kept);
        record.map(Some).with_context(|| {
            format!("what was measured of {part} is of another version: measure it again")
        })
    }

    fn file(&self, part: &str) -> PathBuf {
        self.0.join(format!("{part}.json"))
    }
}

/// As somebody would type it.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask bench {}", arguments.join(" "))
}
