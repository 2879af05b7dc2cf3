//! How long refusals take, as a picture.
//!
//! Invariant: each point is the median over the rounds.

use anyhow::{Context as _, Result};

use super::arm::Arm;
use super::{Figures, PERCENTS};
use crate::bench::peers::plot::{Axis, Plot, Series};
use crate::statistics::{Spread, figure};

/// File stems and SVG texts.
pub(in super::super) fn plots(figures: &Figures) -> Result<Vec<(String, String)>> {
    let series = Arm::ALL.into_iter().map(|arm| curve(figures, arm)).collect::<Result<_>>()?;
    let plot = Plot {
        title: "How long it takes to be refused".to_owned(),
        summary:
            "From making the socket to closing it, at each percentile; the median over the rounds."
                .to_owned(),
        x: Axis::linear("percentile of the calls"),
        y: Axis::log("µs"),
        series,
        bands: Vec::new(),
    };
    Ok(vec![("refusing".to_owned(), plot.draw())])
}

fn curve(figures: &Figures, arm: Arm) -> Result<Series> {
    let point = |(index, percent): (usize, &usize)| {
        let turns = figures.turns.iter().filter(|turn| turn.arm == arm);
        let times = turns.filter_map(|turn| turn.percentiles_ns.get(index));
        let spread = Spread::of(times.map(|time| figure(*time) / 1000.0).collect());
        let median = spread.with_context(|| format!("{arm} was not measured"))?.median;
        Ok((figure(u64::try_from(*percent)?), median))
    };
    let points = PERCENTS.iter().enumerate().map(point).collect::<Result<_>>()?;
    Ok(Series { name: arm.name().to_owned(), points })
}
