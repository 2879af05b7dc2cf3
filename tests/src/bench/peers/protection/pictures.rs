//! Curves of the faults: what callers saw, and how traffic returned.
//!
//! Invariant: the first repetition of each fault is drawn as it was, not an average that nobody saw.

use super::Figures;
use super::rows::{ROWS, Row};
use super::score::Trial;
use crate::bench::peers::guard::Guard;
use crate::bench::peers::plot::{Axis, Panels, Plot, Series};
use crate::statistics::figure;

/// File stems and SVG texts.
pub(in super::super) fn plots(figures: &Figures) -> Vec<(String, String)> {
    let bad = Panels {
        title: "Bad calls in each second".to_owned(),
        summary: "failed, or answered after more than half a second; the shaded part is the fault"
            .to_owned(),
        columns: COLUMNS,
        plots: each_row(figures, "bad calls a second", &|trial| {
            trial.bad_each_second.iter().copied().map(figure).collect()
        }),
    };
    let share = Panels {
        title: "What those who fell ill answer".to_owned(),
        summary: "in each second, as a part of their share; the shaded part is the fault"
            .to_owned(),
        columns: COLUMNS,
        plots: each_row(figures, "% of their share", &|trial| {
            trial.share_each_second.iter().map(|share| share * 100.0).collect()
        }),
    };
    [("protection-bad-calls", bad), ("protection-recovery", share)]
        .map(|(stem, panels)| (stem.to_owned(), panels.draw()))
        .to_vec()
}

fn each_row(figures: &Figures, label: &str, values: &dyn Fn(&Trial) -> Vec<f64>) -> Vec<Plot> {
    ROWS.iter().filter_map(|row| plot(row, figures, label, values)).collect()
}

/// None where nothing of a row was measured.
fn plot(
    row: &Row,
    figures: &Figures,
    label: &str,
    values: &dyn Fn(&Trial) -> Vec<f64>,
) -> Option<Plot> {
    let first = |guard| figures.trials.iter().find(|it| it.row == row.id && it.guard == guard);
    let curve = |guard: Guard| {
        let values = values(first(guard)?);
        let points =
            values.into_iter().zip(0_u32..).map(|(value, second)| (f64::from(second), value));
        Some(Series { name: guard.name().to_owned(), points: points.collect() })
            .filter(|series| !series.points.is_empty())
    };
    let series: Vec<Series> = Guard::ALL.into_iter().filter_map(curve).collect();
    (!series.is_empty()).then(|| Plot {
        title: row.id.to_owned(),
        summary: row.title.to_owned(),
        x: Axis::linear("seconds"),
        y: Axis::linear(label),
        series,
        bands: vec![(row.fault.0, row.fault.1, String::new())],
    })
}

const COLUMNS: usize = 3;
