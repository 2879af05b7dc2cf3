//! The promises, and whether the figures keep them.
//!
//! Invariant: a promise that cannot be judged is neither kept nor broken.

use std::time::Duration;

use super::figures::{FaultFigures, Figures};
use crate::promise::{Promise, Verdict};
use crate::statistics::{Extent, figure};
use crate::vitals::some_grew;

/// Judges all of them.
pub(super) fn judge(figures: &Figures) -> Vec<Promise> {
    vec![
        connects(figures),
        answers(figures),
        openings(figures),
        closings(figures),
        maps(figures),
        descriptors(figures),
        memory(figures),
        in_flight(figures),
    ]
}

fn connects(figures: &Figures) -> Promise {
    let well = figures.calls.well;
    let lost = well.lost();
    let survive = survival(lost, well.calls());
    let goal = if lost == 0 { "met" } else { "missed" };
    let mut evidence = vec![format!(
        "{lost} of {} lost, {survive:.3} % survive (AT-6 asks for {LEAST_SURVIVING} %; our goal, 100 %, is {goal})",
        well.calls()
    )];
    if lost > 0 {
        evidence.push(format!("{} shed, {} otherwise", well.shed, well.not_connected));
        evidence.extend(figures.calls.losses.first().map(|loss| format!("first {loss}")));
    }
    let is_kept = well.calls() > 0 && survive >= LEAST_SURVIVING;
    Promise::new("well endpoints lose no connect", is_kept, evidence.join("; "))
}

fn answers(figures: &Figures) -> Promise {
    let well = figures.calls.well;
    let connected = well.answered + well.unanswered;
    let survive = survival(well.unanswered, connected);
    let evidence = format!(
        "{} of {connected} connections without one, {survive:.3} % survive",
        well.unanswered
    );
    Promise::new("well endpoints lose no answer", survive >= LEAST_SURVIVING, evidence)
}

fn openings(figures: &Figures) -> Promise {
    let due = figures.faults.iter().filter(|fault| fault.illness.must_open());
    let (opened, missed): (Vec<_>, Vec<_>) = due.partition(|fault| fault.breakers_opened > 0);
    let breakers: u32 = figures.faults.iter().map(|fault| fault.breakers_opened).sum();
    let all = opened.len() + missed.len();
    let mut evidence = vec![format!("{} of {all} faults, {breakers} breakers", opened.len())];
    evidence.extend(times(opened.iter().filter_map(|fault| fault.opened_after_ms)));
    evidence.extend(missed.first().map(|fault| format!("none over {}", told(fault))));
    let is_kept = missed.is_empty() && !opened.is_empty();
    Promise::new("breakers of ill endpoints open", is_kept, evidence.join("; "))
}

fn closings(figures: &Figures) -> Promise {
    let all = figures.faults.len();
    let mut never = figures.faults.iter().filter(|fault| fault.closed_after_ms.is_none());
    let first = never.next();
    let missed = never.count() + usize::from(first.is_some());
    let mut evidence = vec![format!("{} of {all} faults", all - missed)];
    evidence.extend(times(figures.faults.iter().filter_map(|fault| fault.closed_after_ms)));
    evidence.extend(first.map(|fault| format!("never over {}", told(fault))));
    Promise::new("breakers close after healing", missed == 0, evidence.join("; "))
}

fn maps(figures: &Figures) -> Promise {
    let [before, after] = &figures.map_entries;
    let changes: Vec<String> = after
        .iter()
        .map(|(name, entries)| {
            format!("{name} {} → {entries}", before.get(name).copied().unwrap_or(0))
        })
        .collect();
    let is_kept = !after.is_empty() && !some_grew(before, after);
    Promise::new("no map grows", is_kept, format!("entries: {}", changes.join(", ")))
}

fn descriptors(figures: &Figures) -> Promise {
    let [before, after] = figures.descriptors;
    Promise::new("no descriptor leaks", after <= before, format!("{before} → {after}"))
}

fn memory(figures: &Figures) -> Promise {
    let [early, late] = figures.resident_kib;
    let is_kept = late <= early + MOST_GROWTH_KIB;
    let evidence = format!(
        "{early} KiB at most in the first half, {late} KiB in the second ({MOST_GROWTH_KIB} KiB more are allowed)"
    );
    Promise::new("memory stays flat", is_kept, evidence)
}

fn in_flight(figures: &Figures) -> Promise {
    const NAME: &str = "in-flight counters end at zero";
    let Some(in_flight) = figures.in_flight else {
        let evidence = "`status --json` shows none".to_owned();
        return Promise { name: NAME, verdict: Verdict::NotJudged, evidence };
    };
    let evidence = format!("{} connecting, {} waiting", in_flight.connecting, in_flight.waiting);
    Promise::new(NAME, in_flight.is_zero(), evidence)
}

/// In percent; all of nothing survives.
fn survival(lost: u64, all: u64) -> f64 {
    100.0 * (1.0 - figure(lost) / figure(all.max(1)))
}

/// The middle and the longest of some times.
fn times(milliseconds: impl Iterator<Item = u64>) -> Option<String> {
    let seconds = milliseconds.map(|time| Duration::from_millis(time).as_secs_f64());
    let Extent { median, most, .. } = Extent::of(seconds.collect())?;
    Some(format!("after {median:.1} s (median), {most:.1} s at most"))
}

fn told(fault: &FaultFigures) -> String {
    format!(
        "{} ({:?} for {} ms)",
        fault.endpoint,
        fault.illness,
        fault.lasted_ms.unwrap_or_default()
    )
}

/// AT-6, in percent.
const LEAST_SURVIVING: f64 = 99.5;
/// Windows of evidence and the journal of events fill up, and the allocator rounds. What the daemon freed
/// after its start is used up before any growth shows.
const MOST_GROWTH_KIB: u64 = 4096;

#[cfg(test)]
mod tests;
