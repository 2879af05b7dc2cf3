//! Growth as pictures: each figure over the number of endpoints.
//!
//! Invariant: what is drawn was measured; nothing is drawn through the points but straight lines.

use anyhow::Result;

use super::super::plot::{Axis as Scaled, Plot, Series};
use super::growth::Axis;
use super::{Case, Figures};
use crate::statistics::figure;

/// Name and text of each picture.
#[expect(clippy::unnecessary_wraps, reason = "as of every part")]
pub(in crate::bench::peers) fn plots(figures: &Figures) -> Result<Vec<(String, String)>> {
    let axis = Axis::endpoints(figures);
    let drawn = |title: &str, label: &str, curves: &[Curve]| {
        let series = curves
            .iter()
            .map(|(name, of)| Series { name: String::from(*name), points: axis.points(*of) });
        let plot = Plot {
            title: String::from(title),
            summary: String::from("one cgroup, default policy"),
            x: Scaled::log("endpoints"),
            y: Scaled::log(label),
            series: series.collect(),
            bands: Vec::new(),
        };
        plot.draw()
    };
    Ok(vec![
        (
            String::from("scale-look"),
            drawn("Time of a look at the evidence", "microseconds", LOOKS),
        ),
        (String::from("scale-memory"), drawn("Memory of a daemon", "MiB", MEMORY)),
    ])
}

/// A name and a figure.
type Curve = (&'static str, fn(&Case) -> Option<f64>);

const LOOKS: &[Curve] = &[
    ("nobody calls", |case| Some(case.idle.look_us())),
    ("1 % is called in each tick", |case| Some(case.busy.as_ref()?.effort.look_us())),
];
const MEMORY: &[Curve] = &[
    ("process", |case| Some(figure(case.resident_bytes) / MIB)),
    ("maps", |case| Some(figure(case.map_bytes) / MIB)),
];
const MIB: f64 = 1024.0 * 1024.0;
