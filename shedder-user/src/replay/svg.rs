//! A picture of a report, for people.

use std::time::Duration;

use shedder_common::time::Monotonic;

use super::report::{FaultReport, Report, Timeline};
use crate::picture::{Panel, Picture};

/// The timeline of a report, as SVG: as recorded, then under each policy.
pub fn picture(title: &str, report: &Report) -> String {
    let at = |ms: u64| Monotonic::default().plus(Duration::from_millis(ms));
    let band = |fault: &FaultReport| {
        let name = report.breakers.get(fault.breaker).map_or("", String::as_str);
        (name, at(fault.from_ms), at(fault.to_ms))
    };
    let all = std::iter::once(&report.recorded).chain(&report.policies);
    let panel = |(name, timeline)| -> Panel<'_> {
        let Timeline { lanes, points }: &Timeline = timeline;
        Panel { name, lanes, points: points.clone() }
    };
    let names = all.map(|policy| policy.policy.as_str());
    Picture {
        title: title.to_owned(),
        summary: "shaded: seconds in which an endpoint failed",
        duration: Duration::from_secs(report.seconds.max(1)),
        bands: report.faults.iter().map(band).collect(),
        panels: names.zip(&report.timelines).map(panel).collect(),
    }
    .draw()
}
