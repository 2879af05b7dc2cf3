//! Every chore of the repository, behind one door: `cargo xtask <chore>`.
//!
//! Invariant: no chore needs another to have been run first; each sets up and builds what it
//! uses, and does nothing where nothing is missing.

mod bench;
mod bpf;
mod budget;
mod build;
mod chaos;
mod checklist;
mod demo;
mod docs;
mod fuzz;
mod host;
mod lint;
mod load;
mod miri;
mod paths;
mod process;
mod setup;
mod soak;
mod step;
mod supply;
mod test;
mod tidy;
mod toolchain;
mod vm;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every chore of the repository.
///
/// A checkout is ready to use after `cargo xtask demo`: it installs what building the BPF
/// programs needs, builds everything and shows a circuit opening and closing. While changing the
/// code, `cargo xtask test` is the whole truth (it is what continuous integration runs) and
/// `cargo xtask lint` is what a review would say.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Install what building and testing needs: the sources of Rust's core library, bpf-linker,
    /// ip, nft, Prometheus, nginx and Redis. Every other chore does its part of this by itself.
    Setup,
    /// Build the BPF programs, then the daemon and the lab.
    Build {
        /// Build the daemon and the lab without optimisation (the BPF programs always have it).
        #[arg(long)]
        debug: bool,
    },
    /// Run every test: unit, property and kernel tests (these need root), then tidy.
    Test {
        /// Run only tests whose name contains this.
        filter: Option<String>,
        /// Arguments for the test programs, such as `-- --nocapture`.
        #[arg(last = true)]
        test_args: Vec<OsString>,
    },
    /// Build, then show the product at work on this machine; arguments go to the demo.
    #[command(disable_help_flag = true)]
    Demo {
        /// Arguments for the demo, such as `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build, then measure; arguments go to the benchmark, such as `connect`.
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments for the benchmark, such as `connect` or `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build, then compare what the BPF programs cost with the ceilings in shedder-ebpf/budget.toml.
    #[command(disable_help_flag = true)]
    Budget {
        /// Arguments for the comparison, such as `--instructions` or `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build, then let endpoints fall ill at random for minutes and judge what shedder promises.
    #[command(disable_help_flag = true)]
    Soak {
        /// Arguments for the soak, such as `--minutes 60` or `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build, then connect as fast as the machine gives for an hour and judge whether anything grew.
    #[command(disable_help_flag = true)]
    Load {
        /// Arguments for the load, such as `--minutes 5` or `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build, then play known disasters on real servers and callers and judge what shedder makes of them.
    #[command(disable_help_flag = true)]
    Chaos {
        /// Names of scenarios, or arguments such as `--short` or `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build the book in docs/ with mdBook, which is fetched when it is missing.
    Docs {
        /// First write the parts that come from the code: policy, presets, metrics.
        #[arg(long)]
        write: bool,
    },
    /// Feed everything that reads strange bytes with random ones, guided by what they reach.
    ///
    /// Policy files, requests, journals, recordings and what comes from the kernel: each has a function in
    /// shedder-user/src/fuzzing.rs that reads bytes and panics where a promise is broken. What is worth
    /// keeping lies in tests/fuzz/corpus, and `cargo xtask test` replays it.
    #[command(after_help = fuzz::EXAMPLES)]
    Fuzz(fuzz::Options),
    /// Boot Debian's Linux 6.1 and 6.12 in qemu, which needs no KVM, and run the kernel tests there.
    Vm {
        /// Only this kernel.
        #[arg(long, value_enum)]
        kernel: Option<vm::Series>,
        /// Only a few tests: one for each thing a kernel may do differently.
        #[arg(long)]
        short: bool,
        /// Names of tests, and arguments for the test program, such as `-- trips:: --nocapture`.
        #[arg(last = true)]
        test_args: Vec<String>,
    },
    /// Check licences, advisories, duplicates and sources of what the product is made of, by the rules
    /// of deny.toml, and write its bill of materials.
    Supply,
    /// Check format, clippy (BPF programs too), documentation and tidy.
    Lint,
    /// Run the tests of the ABI, the decision and the engine in Miri, which finds undefined behaviour.
    /// Needs a nightly toolchain with Miri, and says how to get one.
    Miri,
    /// Check the rules of the house no compiler knows: file sizes, headers, the engine's purity.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Setup => setup::run(),
        Chore::Build { debug } => build::run(debug),
        Chore::Test { filter, test_args } => test::run(filter.as_deref(), &test_args),
        Chore::Demo { args } => demo::run(&args),
        Chore::Bench { args } => bench::run(&args),
        Chore::Budget { args } => budget::run(&args),
        Chore::Soak { args } => soak::run(&args),
        Chore::Load { args } => load::run(&args),
        Chore::Chaos { args } => chaos::run(&args),
        Chore::Docs { write } => docs::run(write),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Vm { kernel, short, test_args } => vm::run(kernel, short, &test_args),
        Chore::Supply => supply::run(),
        Chore::Lint => lint::run(),
        Chore::Miri => miri::run(),
        Chore::Tidy => tidy::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            step::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                  see it work
  cargo xtask build                 target/release/shedder, with the BPF programs inside
  cargo xtask test                  everything continuous integration runs (as root)
  cargo xtask test breaker -- --nocapture
                                    the tests named `breaker`, with their output
  cargo xtask bench connect         what a connect costs with and without the programs
  cargo xtask bench engine          what deciding costs, and how well it is done
  cargo xtask budget                whether the BPF programs keep to their ceilings
  cargo xtask soak                  ten minutes of random faults, and whether every promise held
  cargo xtask load                  an hour of connects, and whether anything grew
  cargo xtask chaos                 known disasters on real servers and callers
  cargo xtask docs                  the book, in target/book
  cargo xtask fuzz config --minutes 5
                                    five minutes of policy files nobody would write
  cargo xtask vm --short            a few kernel tests on Linux 6.1 and 6.12
  cargo xtask supply                licences, advisories and the bill of materials
  cargo xtask bench --help          what else can be measured";
