//! Which breakers are listed, and in which order.
//!
//! Invariant: those of one service and caller are together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::list::{endpoint, state};
use super::view::{Sort, View, key_of};
use crate::api::model::Breaker;

/// The breakers that pass the filter, in the order of the list: those of one service and caller
/// together.
pub(super) fn shown(view: &View) -> Vec<&Breaker> {
    let all = view.status.iter().flat_map(|status| &status.breakers);
    let mut shown: Vec<&Breaker> = all.filter(|breaker| passes(breaker, &view.filter)).collect();
    // Greatest first, and a group as its greatest member.
    let mut groups: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for breaker in &shown {
        let weight = groups.entry(group(breaker)).or_default();
        *weight = (*weight).max(weigh(breaker, view.sort));
    }
    shown.sort_by_cached_key(|breaker| {
        let group = group(breaker);
        let own = weigh(breaker, view.sort);
        (Reverse(groups[&group]), group, Reverse(own), key_of(breaker))
    });
    shown
}

pub(super) fn group(breaker: &Breaker) -> (&str, &str) {
    (&breaker.service, &breaker.caller)
}

pub(super) fn severity(breaker: &Breaker) -> u64 {
    match breaker.would_be.as_deref().unwrap_or(&breaker.state) {
        "open" | "forced_open" => 4,
        "half_open" => 3,
        "throttled" | "recovering" => 2,
        "forced_closed" => 1,
        _ => 0,
    }
}

fn passes(breaker: &Breaker, filter: &str) -> bool {
    let filter = filter.to_lowercase();
    let of = [&breaker.service, &breaker.caller, &endpoint(breaker), &state(breaker)];
    of.into_iter().any(|text| text.to_lowercase().contains(&filter))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only an order")]
fn weigh(breaker: &Breaker, sort: Sort) -> u64 {
    match sort {
        Sort::Name => 0,
        Sort::State => severity(breaker),
        Sort::Connects => (breaker.connects_per_second * 1000.0) as u64,
        Sort::Failures => (breaker.window.failure_share * 1000.0) as u64,
        Sort::Slowness => breaker.window.p99_us.unwrap_or(0),
    }
}
