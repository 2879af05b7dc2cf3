//! Each promise can be broken, by its own figure alone.

use std::collections::BTreeMap;

use super::*;
use crate::soak::faults::Illness;
use crate::soak::in_flight::InFlight;
use crate::soak::ledger::{Ledger, Outcomes};

fn good() -> Figures {
    let map_entries = BTreeMap::from([("SLOTS".to_owned(), 400)]);
    Figures {
        seconds: 600.0,
        calls: Ledger {
            well: Outcomes { answered: 1000, ..Outcomes::default() },
            ..Ledger::default()
        },
        faults: vec![FaultFigures {
            endpoint: "127.0.0.1:1".to_owned(),
            illness: Illness::Hangs,
            lasted_ms: Some(5000),
            breakers_opened: 8,
            opened_after_ms: Some(1000),
            closed_after_ms: Some(4000),
        }],
        trips_while_well: Vec::new(),
        map_entries: [map_entries.clone(), map_entries],
        descriptors: [20, 20],
        resident_kib: [9000, 9100],
        in_flight: Some(InFlight::default()),
        events_lost: 0,
        untagged: 0,
        actions_failed: 0,
    }
}

/// Which promises are broken when one thing is different.
fn broken(change: impl FnOnce(&mut Figures)) -> Vec<&'static str> {
    let mut figures = good();
    change(&mut figures);
    let promises = judge(&figures);
    promises
        .iter()
        .filter(|promise| promise.complaint().is_some())
        .map(|promise| promise.name)
        .collect()
}

#[test]
fn good_figures_break_no_promise() {
    assert_eq!(broken(|_| {}), Vec::<&str>::new());
}

#[test]
fn each_promise_is_broken_by_its_figure_alone() {
    let lost = |figures: &mut Figures| figures.calls.well.shed = 6;
    assert_eq!(broken(lost), ["well endpoints lose no connect"]);
    let unanswered = |figures: &mut Figures| figures.calls.well.unanswered = 6;
    assert_eq!(broken(unanswered), ["well endpoints lose no answer"]);
    let unnoticed = |figures: &mut Figures| figures.faults[0].breakers_opened = 0;
    assert_eq!(broken(unnoticed), ["breakers of ill endpoints open"]);
    let open = |figures: &mut Figures| figures.faults[0].closed_after_ms = None;
    assert_eq!(broken(open), ["breakers close after healing"]);
    let grown = |figures: &mut Figures| {
        figures.map_entries[1].insert("SLOTS".to_owned(), 401);
    };
    assert_eq!(broken(grown), ["no map grows"]);
    let leaking = |figures: &mut Figures| figures.descriptors[1] = 21;
    assert_eq!(broken(leaking), ["no descriptor leaks"]);
    let growing = |figures: &mut Figures| figures.resident_kib[1] = 14_000;
    assert_eq!(broken(growing), ["memory stays flat"]);
    let stuck = |figures: &mut Figures| {
        figures.in_flight = Some(InFlight { connecting: 0, waiting: 1 });
    };
    assert_eq!(broken(stuck), ["in-flight counters end at zero"]);
}

#[test]
fn few_losses_miss_the_goal_and_break_nothing() {
    let mut figures = good();
    figures.calls.well.shed = 1;
    let promise = &judge(&figures)[0];
    assert_eq!(promise.verdict, Verdict::Kept);
    assert!(promise.evidence.contains("our goal, 100 %, is missed"), "{}", promise.evidence);
}

#[test]
fn what_nobody_saw_is_not_claimed() {
    assert_eq!(
        broken(|figures| figures.calls.well = Outcomes::default()),
        ["well endpoints lose no connect"]
    );
    assert_eq!(broken(|figures| figures.faults.clear()), ["breakers of ill endpoints open"]);
    let mut figures = good();
    figures.in_flight = None;
    let promises = judge(&figures);
    assert_eq!(promises.last().map(|promise| promise.verdict), Some(Verdict::NotJudged));
}
