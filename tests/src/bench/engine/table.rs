//! The result for people.
//!
//! Invariant: no table line is longer than 100 columns.
#![expect(clippy::print_stdout, reason = "the output asked for")]

use super::Report;
use super::behind;
use super::contest::{Contest, PACE, PLAYS};
use super::memory::Weight;
use super::outcomes::OutcomeFigures;
use super::ticks::TickFigures;
use crate::statistics::Extent;

/// Prints all of it.
pub(super) fn print(report: &Report) {
    let machine = &report.machine;
    println!("Linux {}, {}, {} CPUs", machine.kernel, machine.cpu_model, machine.cpus);
    println!(
        "load {:.2} before and {:.2} after; thread time of one CPU; median (least–most) of {} rounds",
        report.load_before, report.load_after, report.rounds
    );
    print_ticks(&report.ticks);
    for target in &report.targets {
        let verdict = if target.is_met { "met" } else { "missed" };
        println!(
            "  target: {}: {:.2} {}, at most {:.0}: {verdict}",
            target.name, target.value, target.unit, target.at_most
        );
    }
    print_memory(&report.memory);
    print_outcomes(&report.outcomes);
    print_contests(&report.contests);
}

fn print_ticks(ticks: &[TickFigures]) {
    println!("\none tick of the loop: observe for the busy, timers, directives for all");
    println!(
        "{:>10}  {:10}{:>36}{:>20}{:>20}",
        "breakers", "load", "µs a tick", "of it directives", "ns a busy breaker"
    );
    for figures in ticks {
        let busy = figures.busy_ns.map_or_else(String::new, |busy| format!("{:.0}", busy.median));
        println!(
            "{:>10}  {:10}{:>36}{:>20.2}{busy:>20}",
            figures.breakers,
            figures.load.name(),
            microseconds(figures.total_us),
            figures.directives_us.median,
        );
    }
}

fn microseconds(extent: Extent) -> String {
    format!("{:.2} ({:.2}–{:.2})", extent.median, extent.least, extent.most)
}

fn print_memory(weights: &[Weight]) {
    println!("\nbytes a breaker, of 65536{:>19}{:>24}", "by the engine", "by the allocator");
    for weight in weights {
        println!("  {:28}{:>14}{:>24}", weight.condition, weight.counted, weight.allocated);
    }
}

fn print_outcomes(outcomes: &[OutcomeFigures]) {
    println!("\none outcome: deciding about a call of a healthy endpoint, taking its outcome in");
    for figures in outcomes {
        let Extent { median, least, most } = figures.ns;
        println!("  {:44}{median:>8.0} ns ({least:.0}–{most:.0})", figures.breaker);
    }
    println!("  shedder's calls are decided in the kernel: see `bench connect`");
    println!("  tuned tower-resilience adds its window up for each call: 1000 to 2000 calls here");
}

fn print_contests(contests: &[Contest]) {
    println!(
        "\ndecisions, {PLAYS} traces of 120 s each: median detection, sums; libraries in real time × {}",
        PACE.0
    );
    println!("  {CONFIGURATIONS}");
    println!(
        "{:24}{:>13}{:>13}{:>16}{:>18}{:>12}",
        "", "detection", "false trips", "leaked of bad", "refused of well", "half-open"
    );
    for contest in contests {
        println!("{}", contest.trace);
        for record in &contest.records {
            let score = &record.score;
            let detection = match (score.detection_ms, score.bad) {
                (Some(milliseconds), _) => format!("{milliseconds} ms"),
                (None, 0) => String::new(),
                (None, _) => "never".to_owned(),
            };
            let leaked = if score.bad == 0 {
                String::new()
            } else {
                format!("{} / {}", score.leaked, score.bad)
            };
            let refused = format!("{} / {}", score.refused_well, score.well);
            let probes = score.most_probes.map_or_else(String::new, |most| most.to_string());
            println!(
                "  {:22}{detection:>13}{:>13}{leaked:>16}{refused:>18}{probes:>12}",
                record.breaker, score.false_trips
            );
        }
    }
    let records = contests.iter().flat_map(|contest| &contest.records);
    let late = records.map(|record| record.score.late_ms).max().unwrap_or_default();
    println!("played at most {late} ms of a trace's time late");
    if late > TOO_LATE_MS {
        println!("that is too late: what libraries measure themselves is not to be relied on");
    }
    println!("\nwhere ours is not ahead");
    for line in behind::lines(contests) {
        println!("  {line}");
    }
}

/// A slow call is told from a fast one by half a second.
const TOO_LATE_MS: u64 = 400;
const CONFIGURATIONS: &str = "\
shedder: 5 in a row, or half of 10 s failed or over 500 ms with 95 % confidence; open 1 s to
    1 min; 3 probes; 10 s ramp; a look each 100 ms, and at once when 5 fail in a row
  failsafe: average of 30 s below 80 %, or 5 in a row; open 10 s to 5 min
    tuned: average of 10 s below 50 %, or 5 in a row; open 1 s to 1 min
  recloser: half of 100 calls; open 30 s; 10 outcomes end half-open
    tuned: half of 20 calls; open 1 s to 1 min; 3 outcomes end half-open
  tower-res.: half of all calls since it closed, at least 100; open 30 s; 1 probe
    tuned: half of 10 s failed or over 500 ms; open 1 s; 3 probes
    runs: 5 in a row, or half of 10 s over 500 ms; open 1 s; 3 probes
  Failures are of connections: shedder sees no status codes. Open times are
  jittered: a difference of less than one open time is chance.";
