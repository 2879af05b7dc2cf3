//! The costs as a chapter.
//!
//! Invariant: what a guard adds is taken from the same round without a guard, and medians are of rounds.

use super::memory::Memory;
use super::{AT_ONCE, Figures, Run};
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

fn lines(
    figures: &Figures,
    rate: Option<f64>,
    line: fn(Guard, &[(&Run, &Run)]) -> String,
) -> String {
    let of = |guard| pairs(figures, guard, rate);
    let guards = Guard::ALL.into_iter().filter(|guard| !of(*guard).is_empty());
    guards.map(|guard| line(guard, &of(guard))).collect()
}

/// The runs of a guard, each with that of no guard in the same round.
pub(super) fn pairs(figures: &Figures, guard: Guard, rate: Option<f64>) -> Vec<(&Run, &Run)> {
    let at =
        |guard: Guard| figures.runs.iter().filter(move |it| it.guard == guard && it.rate == rate);
    let bare = |round| at(Guard::None).find(|run| run.round == round);
    at(guard).filter_map(|run| Some((run, bare(run.round)?))).collect()
}

fn latency_line(guard: Guard, pairs: &[(&Run, &Run)]) -> String {
    let micros =
        |of: &dyn Fn(&Run) -> u64| spread(pairs.iter().map(|(run, _)| figure(of(run)) / 1e3));
    let added = |of: &dyn Fn(&Run) -> u64| {
        if guard == Guard::None {
            return String::new();
        }
        spread(pairs.iter().map(|(run, bare)| (figure(of(run)) - figure(of(bare))) / 1e3))
    };
    let failed: u64 = pairs.iter().map(|(run, _)| run.failed).sum();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {failed} |\n",
        guard.name(),
        micros(&|run| run.p50_ns),
        added(&|run| run.p50_ns),
        micros(&|run| run.p99_ns),
        added(&|run| run.p99_ns),
        micros(&|run| run.p999_ns),
        spread(pairs.iter().map(|(run, _)| cpu_per_million(run))),
        if guard == Guard::None {
            String::new()
        } else {
            spread(pairs.iter().map(|(run, bare)| cpu_per_million(run) - cpu_per_million(bare)))
        },
    )
}

fn most_line(guard: Guard, pairs: &[(&Run, &Run)]) -> String {
    let failed: u64 = pairs.iter().map(|(run, _)| run.failed).sum();
    format!(
        "| {} | {} | {} | {} | {failed} |\n",
        guard.name(),
        spread(pairs.iter().map(|(run, _)| per_second(run))),
        spread(pairs.iter().map(|(run, bare)| per_second(run) / per_second(bare))),
        spread(pairs.iter().map(|(run, _)| cpu_per_million(run))),
    )
}

fn per_second(run: &Run) -> f64 {
    figure(run.calls - run.failed) / run.lasted_s
}

/// Seconds of processor time, of everybody, for a million calls.
pub(super) fn cpu_per_million(run: &Run) -> f64 {
    let all = run.caller_cpu_ns + run.backends_cpu_ns + run.guard_cpu_ns;
    figure(all) / 1e9 / figure(run.calls.max(1)) * 1e6
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
        let p50 = |guard| {
            let pairs = pairs(figures, guard, Some(rate));
            median(pairs.iter().map(|(run, bare)| (figure(run.p50_ns) - figure(bare.p50_ns)) / 1e3))
        };
        let cpu = |guard| {
            let pairs = pairs(figures, guard, Some(rate));
            median(pairs.iter().map(|(run, bare)| cpu_per_million(run) - cpu_per_million(bare)))
        };
        text += &goal(rate, "p50, µs", &p50);
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

pub(super) fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    Spread::of(figures.collect()).map(|spread| spread.median)
}

/// A twentieth of what the best proxy adds.
const GOAL: f64 = 0.05;
const INTRODUCTION: &str = "\
A call is a connect, a request of 5 bytes, an answer of 5 bytes, and a close, to 5 backends in turn, timed from when it
was due. All of it is on one machine: caller, backends and guard share its processors. *Added* is the difference to no
guard in the same round. Processor time is that of caller, backends and the guard's processes together, the
kernel's work for them included. Median (quartiles) of the rounds.
";
const HEADINGS: &str = "\
| guard | p50, µs | added | p99, µs | added | p99.9, µs | processor time, s for a million calls | added | failed |
|---|---|---|---|---|---|---|---|---|
";
const MOST_HEADINGS: &str = "\
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
