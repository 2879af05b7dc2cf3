//! The figures in words.
//!
//! Invariant: whatever is compared is a ratio within a round, never one of two medians of a busy machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::arm::Arm;
use super::{Figures, MEDIAN, PERCENTS, Turn, WORST};
use crate::statistics::{Spread, figure};

/// The figures as a chapter in Markdown.
pub(in super::super) fn chapter(figures: &Figures) -> String {
    let rounds = figures.turns.iter().map(|turn| turn.round).max().unwrap_or_default();
    let mut text =
        format!("{HEAD}Median of {rounds} rounds, and in brackets their quartiles.\n\n{TABLE}");
    for arm in Arm::ALL {
        let turns: Vec<&Turn> = figures.turns.iter().filter(|turn| turn.arm == arm).collect();
        // Writing to a text cannot fail.
        let _written = writeln!(text, "{}", row(arm, &turns, &figures.turns).unwrap_or_default());
    }
    text += "\nWhat the application sees:\n\n";
    for arm in Arm::ALL {
        let _written = writeln!(text, "- {arm}: {}", seen(arm, &figures.turns));
    }
    text + CAVEATS
}

/// None where there are no rounds.
fn row(arm: Arm, turns: &[&Turn], all: &[Turn]) -> Option<String> {
    let spread = |of: &dyn Fn(&Turn) -> Option<f64>| {
        Spread::of(turns.iter().filter_map(|turn| of(turn)).collect())
    };
    let p50 = spread(&|turn| at(turn, MEDIAN))?;
    let p99 = spread(&|turn| at(turn, WORST))?;
    let mean = spread(&|turn| Some(figure(turn.mean_ns) / 1000.0))?;
    let speed = spread(&|turn| Some(figure(turn.refusals) * 1e9 / figure(turn.lasted_ns)))?;
    let ratio = spread(&|turn| {
        let same_round = |it: &&Turn| it.arm == Arm::ClosedPort && it.round == turn.round;
        Some(at(turn, MEDIAN)? / at(all.iter().find(same_round)?, MEDIAN)?)
    })?;
    let client = per_call(turns, |turn| turn.client_cpu_ns)? / 1000.0;
    let guard = per_call(turns, |turn| turn.guard_cpu_ns)? / 1000.0;
    let reached = per_call(turns, |turn| turn.reached)?;
    Some(format!(
        "| {arm} | {:.1} ({:.1}–{:.1}) | {:.1} | {:.1} | {:.0} | {:.2} ({:.2}–{:.2}) | {:.1} | {client:.1} + {guard:.1} | {reached:.2} |",
        p50.median,
        p50.lower_quartile,
        p50.upper_quartile,
        p99.median,
        mean.median,
        speed.median,
        ratio.median,
        ratio.lower_quartile,
        ratio.upper_quartile,
        client + guard,
    ))
}

/// A percentile in microseconds.
fn at(turn: &Turn, percent: usize) -> Option<f64> {
    let index = PERCENTS.iter().position(|it| *it == percent)?;
    turn.percentiles_ns.get(index).map(|time| figure(*time) / 1000.0)
}

/// Over all rounds together: what a process does now and then falls into few of them.
fn per_call(turns: &[&Turn], of: impl Fn(&Turn) -> u64) -> Option<f64> {
    let calls: u64 = turns.iter().map(|turn| turn.refusals).sum();
    let sum: u64 = turns.iter().map(|turn| of(turn)).sum();
    (calls > 0).then(|| figure(sum) / figure(calls))
}

/// The most frequent first.
fn seen(arm: Arm, turns: &[Turn]) -> String {
    let mut counts = BTreeMap::<&str, u64>::new();
    for (seen, count) in turns.iter().filter(|turn| turn.arm == arm).flat_map(|turn| &turn.seen) {
        *counts.entry(seen).or_default() += count;
    }
    let all: u64 = counts.values().sum();
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let share = |(seen, count): &(&str, u64)| match (*count, counts.len()) {
        (_, 1) => (*seen).to_owned(),
        (count, _) => format!("{seen} ({:.1} %)", 100.0 * figure(count) / figure(all.max(1))),
    };
    counts.iter().map(share).collect::<Vec<String>>().join(", ")
}

const HEAD: &str = "## What it costs to be refused

One thread makes one call after the other. A call makes a socket, connects, and closes it when the connect
fails; where the connect succeeds, because a proxy accepts it, it sends a request and reads until it learns that
there is nobody behind. All endpoints of a proxy are down, and each had seconds to find out before. Whoever refuses
has a network namespace of its own. Only while shedder is measured is the client in a guarded cgroup; otherwise no
program of shedder runs for it.

";
const TABLE: &str = "\
| Refused by | p50, µs | p99, µs | mean, µs | refusals/s | p50 × closed port | CPU of a refusal, µs | client + guard | connects to endpoints |
|---|---|---|---|---|---|---|---|---|
";
const CAVEATS: &str = "
What these figures do not say:

- All of it is on one machine. Over a network a closed port costs a round trip more; what shedder, nftables and a
  proxy beside the application refuse does not.
- A closed port and a rule of nftables decide nothing: they are here to show what the kernel's own refusals cost.
- Through a proxy the connect succeeds, and the refusal comes when the request may have been sent. An application
  cannot tell it from an endpoint that failed at work, so it cannot repeat by rote what must not be done twice. A
  connect that fails has sent nothing.
- \"Connects to endpoints\" are those that reach them although they are down. Envoy by its defaults ejects at most a
  tenth of the endpoints, which of two is none; tuned it ejects half of them, and tries the other half three times.
  nginx tries one again every three seconds, and `HAProxy` by its checks.
- The processor time of the client is that of its thread, with what the kernel does for it, such as delivering
  packets over loopback. That of the guard is all that its processes take meanwhile.
- Proxies have two threads and the machine may have no more processors than that, so a client and two
  workers share them.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(round: u32, arm: Arm, p50: u64) -> Turn {
        Turn {
            round,
            arm,
            refusals: 10,
            lasted_ns: 1_000_000,
            percentiles_ns: PERCENTS.map(|_| p50).to_vec(),
            mean_ns: p50,
            client_cpu_ns: 20_000,
            guard_cpu_ns: 10_000,
            reached: 5,
            seen: [("`A`".to_owned(), 9), ("end".to_owned(), 1)].into(),
        }
    }

    #[test]
    fn ratios_are_those_of_a_round() {
        let arms = |round, closed, shedder| {
            [turn(round, Arm::ClosedPort, closed), turn(round, Arm::Shedder, shedder)]
        };
        let turns = [arms(1, 1000, 500), arms(2, 4000, 2000), arms(3, 8000, 4000)].concat();
        let text = chapter(&Figures { turns });
        let row = text.lines().find(|line| line.starts_with("| shedder |")).expect("a row");
        let expected = "| shedder | 2.0 (1.2–3.0) | 2.0 | 2.0 | 10000 | 0.50 (0.50–0.50) | 3.0 | 2.0 + 1.0 | 0.50 |";
        assert_eq!(row, expected);
        assert!(text.contains("- shedder: `A` (90.0 %), end (10.0 %)\n"), "{text}");
    }
}
