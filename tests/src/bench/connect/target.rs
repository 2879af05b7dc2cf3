//! What shedder promises to cost at most.
//!
//! Invariant: a target is about a median of paired ratios, never about two medians of a busy
//! machine.

use serde::Serialize;

use super::report::Figures;

/// One promise and whether this machine saw it kept.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) p50_ratio: f64,
    pub(super) at_most: f64,
    pub(super) is_met: bool,
}

/// Checks every comparison that has a target.
pub(super) fn check(figures: &[Figures]) -> Vec<Target> {
    figures
        .iter()
        .filter_map(|figures| {
            let at_most = figures.target?;
            let p50_ratio = figures.arms.get(1)?.p50_ratio.median;
            Some(Target { name: figures.title, p50_ratio, at_most, is_met: p50_ratio <= at_most })
        })
        .collect()
}
