//! The result for people.
//!
//! Invariant: no line is longer than 100 columns.
#![expect(clippy::print_stdout, reason = "the output asked for")]

use super::programs::OperationRuns;
use super::report::{Figures, Report};
use crate::statistics::Spread;

/// Prints all of it.
pub(super) fn print(report: &Report) {
    let machine = &report.machine;
    println!("Linux {}, {}, {} CPUs", machine.kernel, machine.cpu_model, machine.cpus);
    println!(
        "client on CPU {}, server on CPU {}, load {:.2} before and {:.2} after",
        report.client_cpu, report.server_cpu, report.load_before, report.load_after
    );
    println!("{} operations of each arm in each round; the arms take turns\n", report.operations);
    println!(
        "{:30}{:>8}{:>8}{:>9}  {:20} p99 ratio (quartiles)",
        "median of rounds", "p50 µs", "p99 µs", "p50 + ns", "p50 ratio (quartiles)"
    );
    for figures in &report.figures {
        print_figures(figures);
    }
    println!("\nmedian of the rounds' ratios");
    for target in &report.targets {
        let verdict = if target.is_met { "met" } else { "not met" };
        println!(
            "  {:52} p50 × {:.3}   at most × {:.2}: {verdict}",
            target.name, target.p50_ratio, target.at_most
        );
    }
    println!(
        "\nprograms: runs for one operation × ns of a run (while counting, which takes part of it)"
    );
    for runs in &report.programs {
        print_runs(runs);
    }
}

fn print_figures(figures: &Figures) {
    println!("{} ({} rounds)", figures.title, figures.rounds);
    for (position, arm) in figures.arms.iter().enumerate() {
        let (p50, p99) = (arm.p50_ns.median / 1000.0, arm.p99_ns.median / 1000.0);
        print!("  {:28}{p50:>8.2}{p99:>8.2}", arm.name);
        if position > 0 {
            print!(
                "{:>+9.0}  {:20}  {}",
                arm.p50_added_ns.median,
                spread(arm.p50_ratio),
                spread(arm.p99_ratio)
            );
        }
        println!();
        if let Some(speed) = arm.megabytes_per_second {
            println!("    {speed:.0} MB/s");
        }
    }
}

fn spread(spread: Spread) -> String {
    format!("{:.3} ({:.3}–{:.3})", spread.median, spread.lower_quartile, spread.upper_quartile)
}

fn print_runs(runs: &OperationRuns) {
    let programs = || runs.programs.iter().filter(|program| program.runs_per_operation > 0.0);
    let all: f64 = programs().map(|program| program.runs_per_operation).sum();
    let nanoseconds: f64 =
        programs().map(|program| program.runs_per_operation * program.nanoseconds_per_run).sum();
    println!("  {}: {all:.2} runs, {nanoseconds:.0} ns", runs.operation);
    let each = programs().map(|program| {
        let (runs, nanoseconds) = (program.runs_per_operation, program.nanoseconds_per_run);
        format!("{} {runs:.2} × {nanoseconds:.0}", program.hook)
    });
    println!("    {}", each.collect::<Vec<String>>().join(", "));
}
