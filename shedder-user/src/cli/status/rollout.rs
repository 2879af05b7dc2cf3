//! What enforcing would have done so far, for each policy that does not act for every cgroup.

use std::collections::BTreeMap;

use shedder_common::caller::is_reached;

use crate::api::model::{Breaker, Status};

/// A sentence for each of those policies.
pub(super) fn notes(status: &Status) -> Vec<String> {
    let mut policies: BTreeMap<_, Vec<&Breaker>> = BTreeMap::new();
    for breaker in status.breakers.iter().filter(|breaker| breaker.enforce_percent < 100) {
        let Breaker { caller, policy, enforce_percent, suspended, .. } = breaker;
        let policy = (caller.as_str(), policy.as_str(), *enforce_percent, *suspended);
        policies.entry(policy).or_default().push(breaker);
    }
    let notes = policies.into_iter().map(|((caller, policy, percent, suspended), breakers)| {
        let sum = |of: fn(&Breaker) -> u64| breakers.iter().map(|breaker| of(breaker)).sum::<u64>();
        let shed = sum(|breaker| breaker.shed_total);
        let would_shed = sum(|breaker| breaker.would_shed_total);
        let connects = sum(|breaker| breaker.shed_total + breaker.allowed_total);
        let touched = breakers.iter().filter(|breaker| breaker.would_shed_total > 0).count();
        let reach = match (percent, suspended) {
            (_, true) => "is suspended, because it refused too much wrongly".to_owned(),
            (0, false) => "only observes".to_owned(),
            (percent, false) => {
                let (acts_for, of) = reached(status, caller, percent);
                format!("acts for {acts_for} of {of} cgroups (enforce_percent = {percent})")
            }
        };
        let so_far = match (shed, would_shed) {
            (0, 0) => format!("enforcing would have shed none of {connects} connects so far"),
            (0, _) => format!("enforcing would have shed {would_shed} of {connects} connects so far, to {touched} of {} endpoints", breakers.len()),
            _ => format!("{shed} of {connects} connects were shed so far; for every cgroup it would have been {would_shed}, to {touched} of {} endpoints", breakers.len()),
        };
        format!("policy {policy} {reach}: {so_far}")
    });
    notes.collect()
}

/// For how many of a caller's cgroups a policy acts, and how many there are.
fn reached(status: &Status, caller: &str, percent: u8) -> (usize, usize) {
    let own = || status.node.cgroups.iter().filter(|cgroup| cgroup.caller == caller);
    (own().filter(|cgroup| is_reached(cgroup.cohort, percent)).count(), own().count())
}
