//! Curves of the costs: what each guard adds at each rate.
//!
//! Invariant: medians of rounds, as in the tables.

use super::text::{added, cpu_per_million, p50, p99, rates};
use super::{Calls, Figures};
use crate::bench::peers::guard::Guard;
use crate::bench::peers::plot::{Axis, Panels, Plot, Series};

/// File stems and SVG texts.
pub(in super::super) fn plots(figures: &Figures) -> Vec<(String, String)> {
    let panels = Panels {
        title: "Cost while all is well".to_owned(),
        summary: "added to what the same calls take without a guard, at each rate".to_owned(),
        columns: 2,
        plots: vec![
            plot(figures, "p50, µs", &p50),
            plot(figures, "p99, µs", &p99),
            plot(figures, "processor time, s for a million calls", &cpu_per_million),
        ],
    };
    vec![("cost".to_owned(), panels.draw())]
}

fn plot(figures: &Figures, what: &str, of: &dyn Fn(&Calls) -> f64) -> Plot {
    let curve = |guard: Guard| {
        let point = |rate| Some((rate, added(figures, guard, rate, of)?));
        let points = rates(figures).into_iter().filter_map(point);
        Series { name: guard.name().to_owned(), points: points.collect() }
    };
    let guards = Guard::ALL.into_iter().filter(|guard| *guard != Guard::None);
    Plot {
        title: what.to_owned(),
        summary: String::new(),
        x: Axis::log("calls a second"),
        y: Axis::linear(what),
        series: guards.map(curve).filter(|series| !series.points.is_empty()).collect(),
        bands: Vec::new(),
    }
}
