//! The figures as a table for people.
//!
//! Invariant: it fits 80 columns.

use super::figures::{ActFigures, Figures, PopulationFigures};
use super::script::ACTS;
use super::text::{Colour, Paint, latency, percent, seconds};

/// One column for each act with a sick backend.
pub(super) fn render(figures: &Figures, paint: Paint) -> String {
    let sick: Vec<(&str, &ActFigures)> = ACTS
        .iter()
        .zip(&figures.acts)
        .filter_map(|(act, figures)| act.sick.map(|illness| (illness.column, figures)))
        .collect();
    let row = |label: &str, who: &str, cell: &dyn Fn(&ActFigures) -> String| {
        let cells: Vec<String> = sick.iter().map(|(_, act)| format!("{:>13}", cell(act))).collect();
        format!("{label:<24} {who:<10} {}", cells.join(" "))
    };
    let both = |label: &str, cell: &dyn Fn(&PopulationFigures) -> String| {
        let unguarded = row("", "unguarded", &|act| cell(&act.unguarded));
        [row(label, "guarded", &|act| cell(&act.guarded)), unguarded].join("\n")
    };
    let columns: Vec<String> = sick.iter().map(|(column, _)| format!("{column:>13}")).collect();
    let title = format!("{:<35} {}", "The figures, while", columns.join(" "));
    let lines = [
        String::new(),
        paint.apply(Colour::Bold, &title),
        both("calls answered", &|population| percent(population.summary.answered_share)),
        both("answers a second", &|population| format!("{:.0}", population.answered_per_second)),
        both("call latency, p50", &|population| latency(population.summary.p50_us)),
        both("call latency, p99", &|population| latency(population.summary.p99_us)),
        both("attempts failed or slow", &|population| population.summary.bad_attempts.to_string()),
        row("connects shed", "guarded", &|act| act.guarded.summary.shed_attempts.to_string()),
        row("sick to first shed", "guarded", &|act| seconds(act.first_shed_ms)),
        both("healed to first answer", &|population| {
            seconds(population.first_answer_after_healing_ms)
        }),
        row("healed to closed", "guarded", &|act| seconds(act.closed_after_healing_ms)),
        paint.apply(Colour::Faint, NOTE),
    ];
    lines.join("\n")
}

const NOTE: &str = "\
A call is answered or not in the end, failover included; slow is over 500 ms. An
attempt is one connection to one backend; those shed did not reach it.";
