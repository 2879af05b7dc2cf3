//! What the load is to show, and whether the figures do.
//!
//! Invariant: what cannot be judged is neither kept nor broken.

use super::figures::Figures;
use crate::promise::{Promise, Verdict};
use crate::vitals::some_grew;

impl Promise {
    /// Unless it was looked at well enough to judge.
    fn if_judged(self, why_not: Option<&str>) -> Self {
        let Some(why_not) = why_not else { return self };
        let evidence = format!("{} (not judged: {why_not})", self.evidence);
        Self { verdict: Verdict::NotJudged, evidence, ..self }
    }
}

/// Judges all of them.
pub(super) fn judge(figures: &Figures) -> Vec<Promise> {
    let Figures { idle, loaded, connects, .. } = figures;
    let unoptimised = (!figures.is_release).then_some("a build without optimisation");
    let short = (loaded.seconds < LEAST_SECONDS).then_some("less than ten minutes of load");
    let [early, late] = figures.resident_kib;
    let [descriptors, pins] = [figures.descriptors, figures.pins];
    let lost: u64 = connects.lost.values().sum();
    let [before, after] = &figures.map_entries;
    let of = |name: &String| before.get(name).copied().unwrap_or_default();
    let entries = after.iter().map(|(name, entries)| format!("{name} {} → {entries}", of(name)));
    let left = figures.left.iter().map(|left| format!("left: {left}"));
    let maps: Vec<String> = entries.chain(left).collect();
    vec![
        Promise::new(
            "an idle daemon takes hardly any processor time",
            idle.percent() <= MOST_IDLE_PERCENT,
            format!("{:.3} % of one, at most {MOST_IDLE_PERCENT}", idle.percent()),
        )
        .if_judged(unoptimised),
        Promise::new(
            "an idle daemon is small (AT-13)",
            idle.resident_kib <= MOST_IDLE_KIB,
            format!("{} KiB, at most {MOST_IDLE_KIB}", idle.resident_kib),
        )
        .if_judged(unoptimised),
        Promise::new(
            "endpoints that are well lose no connect",
            lost == 0 && connects.well > 0,
            format!("{lost} of {} lost {:?}", connects.well, connects.lost),
        ),
        Promise::new(
            "endpoints that are ill are shed",
            connects.shed > connects.refused,
            format!("{} shed, {} refused by themselves", connects.shed, connects.refused),
        ),
        Promise::new(
            "memory stays flat",
            late <= early + MOST_GROWTH_KIB,
            format!("{early} KiB at most in the first half, {late} KiB in the second ({MOST_GROWTH_KIB} KiB more are allowed)"),
        )
        .if_judged(short),
        Promise::new("no descriptor leaks", descriptors[1] <= descriptors[0], change(descriptors)),
        Promise::new("no pin is left", pins[1] <= pins[0], change(pins)),
        Promise::new("no map grows", !after.is_empty() && !some_grew(before, after), maps.join(", ")),
    ]
}

fn change([before, after]: [usize; 2]) -> String {
    format!("{before} → {after}")
}

/// Of one processor.
const MOST_IDLE_PERCENT: f64 = 0.2;
/// AT-13: 42 MB.
const MOST_IDLE_KIB: u64 = 42_000_000 / 1024;
/// The allocator rounds, and what the journal of events keeps in memory fills up in minutes.
const MOST_GROWTH_KIB: u64 = 2048;
const LEAST_SECONDS: f64 = 600.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::{Connects, Usage};

    #[test]
    fn good_figures_keep_every_promise_and_each_fault_breaks_its_own() {
        let judged = judge(&good());
        assert!(judged.iter().all(|it| it.verdict == Verdict::Kept), "{judged:?}");
        let faults: [fn(&mut Figures); 8] = [
            |it| it.idle.busy_seconds = 0.13,
            |it| it.idle.resident_kib = 41_016,
            |it| it.connects.lost = [(111, 1)].into(),
            |it| it.connects.refused = it.connects.shed,
            |it| it.resident_kib = [30_000, 32_049],
            |it| it.descriptors = [30, 31],
            |it| it.pins = [20, 21],
            |it| it.map_entries[1] = [("ENDPOINTS".to_owned(), 17)].into(),
        ];
        for (number, fault) in faults.into_iter().enumerate() {
            let mut figures = good();
            fault(&mut figures);
            let judged = judge(&figures);
            let broken: Vec<usize> =
                (0..judged.len()).filter(|&it| judged[it].complaint().is_some()).collect();
            assert_eq!(broken, [number], "{judged:?}");
        }
    }

    #[test]
    fn what_a_short_run_or_a_slow_build_cannot_tell_is_not_judged() {
        let mut figures = good();
        figures.is_release = false;
        figures.loaded.seconds = 12.0;
        let judged = judge(&figures);
        let names = judged.iter().filter(|it| it.verdict == Verdict::NotJudged).map(|it| it.name);
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "an idle daemon takes hardly any processor time",
                "an idle daemon is small (AT-13)",
                "memory stays flat"
            ]
        );
    }

    fn good() -> Figures {
        let entries = || [("ENDPOINTS".to_owned(), 16)].into();
        Figures {
            idle: Usage { seconds: 60.0, busy_seconds: 0.1, resident_kib: 20_000 },
            loaded: Usage { seconds: 3600.0, busy_seconds: 100.0, resident_kib: 30_000 },
            connects: Connects { made: 90, shed: 9, refused: 1, well: 90, lost: [].into() },
            cgroups: 8,
            endpoints: 128,
            endpoints_at_once: 64,
            resident_kib: [30_000, 30_100],
            descriptors: [30, 30],
            pins: [20, 20],
            map_entries: [entries(), entries()],
            left: Vec::new(),
            events_lost: 0,
            untagged: 0,
            is_release: true,
        }
    }
}
