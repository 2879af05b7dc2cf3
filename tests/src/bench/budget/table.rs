//! The figures for people, and for machines.
//!
//! Invariant: standard output holds the table or the JSON and nothing else.

use std::io::{Write as _, stderr};

use anyhow::Result;

use super::Report;
use super::figure::{Figure, Unit};

/// Prints all of it.
#[expect(clippy::print_stdout, reason = "the output asked for")]
pub(super) fn print(report: &Report, as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    let Report { machine, load, ceilings, taken_on, .. } = report;
    println!(
        "Linux {}, {}, {} CPUs, load {load:.2}",
        machine.kernel, machine.cpu_model, machine.cpus
    );
    println!("ceilings of {ceilings}, taken on Linux {}, {}\n", taken_on.kernel, taken_on.cpu);
    println!(
        "{:24}{:>13}{:>9}{:>10}{:>9}  verdict",
        "program", "instructions", "ceiling", "ns a run", "ceiling"
    );
    for figure in report.figures.iter().filter(|figure| figure.unit == Unit::Instructions) {
        println!("{:24}{}{:>19}  {}", figure.program, numbers(figure, 13), "", figure.verdict);
        let of_program =
            |path: &&Figure| path.unit == Unit::Nanoseconds && path.program == figure.program;
        for path in report.figures.iter().filter(of_program) {
            let name = path.path.unwrap_or_default().replace('_', " ");
            println!("  {name:22}{:>22}{}  {}", "", numbers(path, 10), path.verdict);
        }
    }
    Ok(())
}

/// Prints warnings, to people who look at standard error.
pub(super) fn warn(warnings: &[String]) {
    for warning in warnings {
        // There is nobody left to tell when standard error is closed.
        drop(writeln!(stderr(), "warning: {warning}"));
    }
}

/// The value, in a column of this width, and its ceiling.
fn numbers(figure: &Figure, width: usize) -> String {
    let number =
        |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    format!("{:>width$}{:>9}", number(figure.value), number(figure.ceiling))
}
