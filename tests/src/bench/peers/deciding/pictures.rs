//! Decisions as pictures: the share that was in force after how long.
//!
//! Invariant: every trial is in a curve, none is smoothed away.

use anyhow::Result;

use super::super::plot::{Axis, Plot, Series};
use super::{Case, Figures};
use crate::statistics::figure;

/// Name and text of each picture.
pub(in crate::bench::peers) fn plots(figures: &Figures) -> Result<Vec<(String, String)>> {
    let plot = Plot {
        title: String::from("From the failure to the verdict in force"),
        summary: String::from("share of decisions that took no longer"),
        x: Axis::log("milliseconds"),
        y: Axis::linear("percent of decisions"),
        series: figures.cases.iter().map(curve).collect::<Result<_>>()?,
        bands: Vec::new(),
    };
    Ok(vec![(String::from("deciding"), plot.draw())])
}

fn curve(case: &Case) -> Result<Series> {
    let sorted = case.sorted(|trial| trial.decided_ns);
    let count = figure(u64::try_from(sorted.len())?);
    let share = |rank: usize| -> Result<f64> {
        Ok(figure(u64::try_from(rank)? + 1) * 100.0 / count.max(1.0))
    };
    let point = |(rank, nanoseconds): (usize, &u64)| Ok((figure(*nanoseconds) / 1e6, share(rank)?));
    let name = format!("{}, {}", case.way.name(), case.condition.name());
    let name = if case.is_full() { format!("{name}, {} endpoints", case.endpoints) } else { name };
    Ok(Series { name, points: sorted.iter().enumerate().map(point).collect::<Result<_>>()? })
}
