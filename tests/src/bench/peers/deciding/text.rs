//! The figures of decisions as a chapter.
//!
//! Invariant: a goal is told with the figure it is held against, met or not, and each figure comes from
//! the trials.

use std::fmt::Write as _;

use super::trials::{BETWEEN_LOOKS, Trial};
use super::{AT_ONCE, Case, Condition, Figures, LeaksUnder, Way};
use crate::statistics::{figure, percentile};

/// The figures as a chapter in Markdown.
pub(in crate::bench::peers) fn chapter(figures: &Figures) -> String {
    let mut text = String::from("## How long a decision takes\n\n");
    let Figures { failures, cpus, cases, leaks } = figures;
    writeln!(
        text,
        "From the return of the connect that satisfies a rule, the {failures}th that is refused, until the word \
         in the kernel's map says that every connect is shed. The breaker is opened by a real daemon, for a real \
         process in a guarded cgroup and a network namespace of its own. Each trial calls an endpoint that \
         nobody called before.\n"
    )
    .expect(TO_A_STRING);
    text.push_str(
        "| found by | machine | endpoints | trials | p50 ms | p99 ms | max ms | goal |\n",
    );
    text.push_str("|---|---|---:|---:|---:|---:|---:|---|\n");
    for case in cases {
        row(&mut text, case);
    }
    text.push_str("\nOf that, by the kernel's account and by the looks:\n\n");
    text.push_str(
        "| found by | machine | endpoints | daemon waited for a CPU, p50 ms | p99 ms | seen late by at most, p50 ms | p99 ms |\n",
    );
    text.push_str("|---|---|---:|---:|---:|---:|---:|\n");
    for case in cases {
        let (waited, late) =
            (Quantiles::of(case, |it| it.waited_ns), Quantiles::of(case, |it| it.unsure_ns));
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            case.way.name(),
            case.condition.name(),
            case.endpoints,
            waited.p50,
            waited.p99,
            late.p50,
            late.p99
        )
        .expect(TO_A_STRING);
    }
    text.push_str("\n### What slips through\n\n");
    text.push_str(
        "A caller that connects on without a pause after the last failure, until the verdict of the daemon is \
         there and beyond it. Until then the kernel sheds by its own count (the burst guard).\n\n",
    );
    text.push_str(
        "| machine | runs | connects after them | of them before the verdict | not shed | goal |\n",
    );
    text.push_str("|---|---:|---:|---:|---:|---|\n");
    for leaks in leaks {
        leak_row(&mut text, leaks);
    }
    let leaked = || leaks.iter().flat_map(|under| &under.leaks.leaked);
    if leaked().next().is_some() {
        writeln!(
            text,
            "\nOf the {} that were not shed, {} were the last that began before the verdict was seen: there the \
             guard gives way to the verdict.",
            leaked().count(),
            leaked().filter(|leak| leak.is_at_the_change()).count()
        )
        .expect(TO_A_STRING);
    }
    caveats(&mut text, *cpus, cases);
    text
}

fn row(text: &mut String, case: &Case) {
    let decided = Quantiles::of(case, |trial| trial.decided_ns);
    let goal = match case.goal_ns() {
        None => String::from("none"),
        Some(goal) => {
            let is_met = decided.p99_ns.is_some_and(|p99| p99 <= goal);
            format!("p99 ≤ {} ms: {}", figure(goal) / 1e6, verdict(is_met))
        }
    };
    writeln!(
        text,
        "| {} | {} | {} | {} | {} | {} | {} | {goal} |",
        case.way.name(),
        case.condition.name(),
        case.endpoints,
        case.trials.len(),
        decided.p50,
        decided.p99,
        decided.most
    )
    .expect(TO_A_STRING);
}

fn leak_row(text: &mut String, under: &LeaksUnder) {
    let (condition, leaks) = (under.condition, &under.leaks);
    let count = leaks.leaked.len();
    writeln!(
        text,
        "| {} | {} | {} | {} | {count} | 0: {} |",
        condition.name(),
        leaks.trials,
        leaks.connects,
        leaks.on_guard,
        verdict(count == 0)
    )
    .expect(TO_A_STRING);
}

fn caveats(text: &mut String, cpus: usize, cases: &[Case]) {
    let tick = cases
        .iter()
        .find(|case| case.way == Way::Look && case.tick_ms > 0)
        .map(|case| case.tick_ms);
    let pause = BETWEEN_LOOKS.as_micros();
    writeln!(
        text,
        "\nWhat to know about these figures:\n\n\
         - *Failures in a row* are counted by the kernel, which wakes the daemon at once. *A look at the \
         counters* comes once a tick{}, so a rule that only a look finds takes anything up to a tick and \
         what the look itself takes. Failures fall evenly over the tick here.\n\
         - *Saturated* is {cpus} busy loops on {cpus} CPUs, at the same priority as daemon and caller, \
         outside of the guarded cgroup.\n\
         - The verdict is watched in memory that is shared with the kernel; a look is no system call. On the \
         idle machine the caller looks without a pause and so keeps one CPU busy. On the saturated one it \
         sleeps {pause} µs between two looks, so as not to be one more busy loop, and may itself wait for a CPU \
         before it sees the verdict. The time told ends when the verdict was seen, so it is never too short, \
         and at most too long by what the second table says.\n\
         - Brakes and limits of the node are lifted, and nothing that opened closes again before the end. On a \
         node that has opened too much, a breaker waits for its brake.\n\
         - One more endpoint of the service is well and in use. The daemon tells the kernel ahead that a run may \
         be shed only while, by its limits, one more endpoint may be opened whichever it is. Where every endpoint \
         in use is open already it does not, and then connects pass until the daemon has decided: the time of \
         the first table.\n\
         - What is decided is published for the breakers that something happened to, so a node with more \
         endpoints decides no later{}.",
        tick.map(|tick| format!(" of {tick} ms")).unwrap_or_default(),
        if cases.iter().any(Case::is_full) { ": the last row" } else { "" },
    )
    .expect(TO_A_STRING);
}

impl Case {
    /// What p99 must not exceed, nanoseconds; nothing where the tick decides or the node is full.
    fn goal_ns(&self) -> Option<u64> {
        if self.way == Way::Look || self.is_full() {
            return None;
        }
        match self.condition {
            Condition::Idle => Some(GOAL_IDLE_NS),
            Condition::Saturated => Some(GOAL_SATURATED_NS),
        }
    }

    /// Whether the node knows far more endpoints than are used.
    pub(super) const fn is_full(&self) -> bool {
        self.endpoints > AT_ONCE
    }

    /// One figure of each trial, from the least to the most.
    pub(super) fn sorted(&self, of: impl Fn(&Trial) -> u64) -> Vec<u64> {
        let mut all: Vec<u64> = self.trials.iter().map(of).collect();
        all.sort_unstable();
        all
    }
}

impl Way {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Run => "failures in a row",
            Self::Look => "a look at the counters",
        }
    }
}

impl Condition {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Saturated => "saturated",
        }
    }
}

/// Of one figure of a case, milliseconds as they are printed.
#[derive(Debug)]
struct Quantiles {
    p50: String,
    p99: String,
    most: String,
    p99_ns: Option<u64>,
}

impl Quantiles {
    fn of(case: &Case, figure: impl Fn(&Trial) -> u64) -> Self {
        let sorted = case.sorted(figure);
        let p99_ns = percentile(&sorted, 99);
        let (p50, most) = (percentile(&sorted, 50), sorted.last().copied());
        Self { p50: milliseconds(p50), p99: milliseconds(p99_ns), most: milliseconds(most), p99_ns }
    }
}

fn milliseconds(nanoseconds: Option<u64>) -> String {
    nanoseconds.map_or_else(|| String::from("none"), |it| format!("{:.3}", figure(it) / 1e6))
}

const fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "not met" }
}

/// Promised of a decision on failures in a row.
const GOAL_IDLE_NS: u64 = 2_000_000;
const GOAL_SATURATED_NS: u64 = 20_000_000;
const TO_A_STRING: &str = "writing to a string cannot fail";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_is_missed_is_told() {
        let trial = |decided_ns| Trial { decided_ns, unsure_ns: 100, waited_ns: 0 };
        let trials = [1, 3].map(|milliseconds| trial(milliseconds * 1_000_000)).to_vec();
        let (way, condition) = (Way::Run, Condition::Idle);
        let case = Case { way, condition, endpoints: 2, tick_ms: 100, trials };
        let figures = Figures { failures: 5, cpus: 2, cases: vec![case], leaks: Vec::new() };
        let text = chapter(&figures);
        let row =
            "| failures in a row | idle | 2 | 2 | 1.000 | 3.000 | 3.000 | p99 ≤ 2 ms: not met |";
        assert!(text.contains(row), "{text}");
    }
}
