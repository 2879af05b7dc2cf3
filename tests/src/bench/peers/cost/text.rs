//! The costs as a chapter.
//!
//! Invariant: what a guard adds is beside the calls without a guard that took turns with its own, and medians are of rounds.

use super::memory::Memory;
use super::{AT_ONCE, Calls, Figures, Run};
use crate::bench::peers::guard::Guard;
use crate::statistics::{Spread, figure};

/// As Markdown.
pub(in super::super) fn chapter(figures: &Figures) -> String {
    let at = |rate| {
        let lines = lines(figures, Some(rate), latency_line);
        format!("\n### {rate} calls a second\n\n{HEADINGS}{lines}")
    };
    let rates: String = rates(figures).into_iter().map(at).collect();
    let most = lines(figures, None, most_line);
    format!(
        "## Cost while all is well\n\n{INTRODUCTION}{rates}\n### As many as go through, {AT_ONCE} at once\n\n\
         {MOST_HEADINGS}{most}{}{}",
        memory(figures),
        goals(figures)
    )
}

pub(super) fn rates(figures: &Figures) -> Vec<f64> {
    let mut rates: Vec<f64> = figures.runs.iter().filter_map(|run| run.rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

fn lines(figures: &Figures, rate: Option<f64>, line: fn(Guard, &[&Run]) -> String) -> String {
    let of = |guard| runs(figures, guard, rate);
    let guards = Guard::ALL.into_iter().filter(|guard| !of(*guard).is_empty());
    guards.map(|guard| line(guard, &of(guard))).collect()
}

/// Of a guard at a rate, round by round.
fn runs(figures: &Figures, guard: Guard, rate: Option<f64>) -> Vec<&Run> {
    figures.runs.iter().filter(|run| run.guard == guard && run.rate == rate).collect()
}

/// What a guard adds at a rate, in the middle of the rounds.
pub(super) fn added(
    figures: &Figures,
    guard: Guard,
    rate: f64,
    of: &dyn Fn(&Calls) -> f64,
) -> Option<f64> {
    let runs = runs(figures, guard, Some(rate));
    Spread::of(runs.into_iter().map(|run| difference(run, of)).collect()).map(|it| it.median)
}

fn difference(run: &Run, of: &dyn Fn(&Calls) -> f64) -> f64 {
    of(&run.guarded) - of(&run.bare)
}

fn latency_line(guard: Guard, runs: &[&Run]) -> String {
    let taken = |of: &dyn Fn(&Calls) -> f64| spread(runs.iter().map(|run| of(&run.guarded)));
    let added = |of: &dyn Fn(&Calls) -> f64| spread(runs.iter().map(|run| difference(run, of)));
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        guard.name(),
        taken(&p50),
        added(&p50),
        taken(&p99),
        added(&p99),
        taken(&|calls| figure(calls.p999_ns) / 1e3),
        taken(&cpu_per_million),
        added(&cpu_per_million),
        failed(runs),
    )
}

fn most_line(guard: Guard, runs: &[&Run]) -> String {
    format!(
        "| {} | {} | {} | {} | {} |\n",
        guard.name(),
        spread(runs.iter().map(|run| per_second(&run.guarded))),
        spread(runs.iter().map(|run| per_second(&run.guarded) / per_second(&run.bare))),
        spread(runs.iter().map(|run| cpu_per_million(&run.guarded))),
        failed(runs),
    )
}

fn failed(runs: &[&Run]) -> u64 {
    runs.iter().map(|run| run.guarded.failed).sum()
}

fn per_second(calls: &Calls) -> f64 {
    figure(calls.count - calls.failed) / calls.lasted_s
}

/// Microseconds.
pub(super) fn p50(calls: &Calls) -> f64 {
    figure(calls.p50_ns) / 1e3
}

/// Microseconds.
pub(super) fn p99(calls: &Calls) -> f64 {
    figure(calls.p99_ns) / 1e3
}

/// Seconds of processor time, of everybody, for a million calls.
pub(super) fn cpu_per_million(calls: &Calls) -> f64 {
    let all = calls.caller_cpu_ns + calls.backends_cpu_ns + calls.guard_cpu_ns;
    figure(all) / 1e9 / figure(calls.count.max(1)) * 1e6
}

fn memory(figures: &Figures) -> String {
    let mib = |kib: u64| figure(kib) / 1024.0;
    let line = |memory: &Memory| {
        format!(
            "| {} | {:.1} | {:.1} | {:.2} | {:.1} |\n",
            memory.guard.name(),
            mib(memory.one_kib),
            mib(memory.thousand_kib),
            figure(memory.thousand_kib.saturating_sub(memory.one_kib)) / 999.0,
            mib(memory.maps_kib),
        )
    };
    let guards = figures.memory.iter().filter(|memory| memory.guard != Guard::None);
    format!("\n### Memory\n\n{MEMORY_HEADINGS}{}", guards.map(line).collect::<String>())
}

/// What shedder adds beside what the best proxy adds.
fn goals(figures: &Figures) -> String {
    let mut text = format!("\n### Beside the best proxy\n\n{GOAL_HEADINGS}");
    for rate in rates(figures) {
        text += &goal(rate, "p50, µs", &|guard| added(figures, guard, rate, &p50));
        let cpu = |guard| added(figures, guard, rate, &cpu_per_million);
        text += &goal(rate, "processor time, s for a million calls", &cpu);
    }
    text
}

fn goal(rate: f64, what: &str, of: &dyn Fn(Guard) -> Option<f64>) -> String {
    let proxies = Guard::ALL.into_iter().filter(|guard| guard.product().is_some());
    let best = proxies
        .filter_map(|guard| Some((guard, of(guard)?)))
        .min_by(|(_, one), (_, other)| one.total_cmp(other));
    let (Some(ours), Some((peer, theirs))) = (of(Guard::Shedder), best) else {
        return String::new();
    };
    let share = ours / theirs;
    let verdict = if share <= GOAL { "met" } else { "not met" };
    format!(
        "| {rate}/s | {what} | {ours:.2} | {theirs:.2} ({}) | {share:.3} | {verdict} |\n",
        peer.name()
    )
}

fn spread(figures: impl Iterator<Item = f64>) -> String {
    Spread::of(figures.collect()).map_or_else(String::new, |spread| {
        let Spread { median, lower_quartile, upper_quartile } = spread;
        let digits = if median.abs() < 10.0 { 2 } else { usize::from(median.abs() < 1000.0) };
        format!("{median:.digits$} ({lower_quartile:.digits$}–{upper_quartile:.digits$})")
    })
}

/// A twentieth of what the best proxy adds.
const GOAL: f64 = 0.05;
const INTRODUCTION: &str = "\
A call is a connect, a request of 5 bytes, an answer of 5 bytes, and a close, to 5 backends in turn, timed from when it
was due. All of it is on one machine: callers, backends and guard share its processors. Each guard is measured beside
no guard: two callers with backends of their own make as many calls a second each, which become due by turns, one with
the guard and one without, so that what the machine does to the ones it does to the others. *Added* is the difference
between the two; in the line *no guard* neither has one, and it tells what such a difference is worth. Processor time is
that of a caller, its backends and the guard's processes together, the kernel's work for them included. Median
(quartiles) of the rounds.
";
const HEADINGS: &str = "\
| guard | p50, µs | added | p99, µs | added | p99.9, µs | processor time, s for a million calls | added | failed |
|---|---|---|---|---|---|---|---|---|
";
const MOST_HEADINGS: &str = "\
One after the other, not by turns.

| guard | calls a second | of those without a guard | processor time, s for a million calls | failed |
|---|---|---|---|---|
";
const MEMORY_HEADINGS: &str = "\
Of the guard's processes, shared pages counted in part (PSS), right after the start, and what the kernel accounts to
its maps.

| guard | MiB, 1 endpoint | MiB, 1000 endpoints | KiB an endpoint | MiB of maps |
|---|---|---|---|---|
";
const GOAL_HEADINGS: &str = "\
The goal is a twentieth of what the best proxy adds.

| at | added | shedder | best proxy | share | goal |
|---|---|---|---|---|---|
";
