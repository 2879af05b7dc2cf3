//! A picture of a report, for people.

use super::record::Second;
use super::report::{PolicyReport, Report};
use super::scenario::Scenario;
use crate::picture::{Panel, Picture, Point};

/// The timeline of a report on `scenario`, as SVG.
pub fn picture(scenario: &Scenario, report: &Report) -> String {
    let bands = scenario.faults.iter();
    Picture {
        title: format!("{} (seed {})", report.scenario, report.seed),
        summary: &report.summary,
        duration: scenario.duration,
        bands: bands.map(|fault| (fault.name.as_str(), fault.from, fault.to)).collect(),
        panels: report.policies.iter().map(panel).collect(),
    }
    .draw()
}

fn panel(policy: &PolicyReport) -> Panel<'_> {
    let timeline = &policy.timeline;
    Panel {
        name: &policy.policy,
        lanes: &timeline.lanes,
        points: timeline.seconds.iter().map(point).collect(),
    }
}

const fn point(second: &Second) -> Point {
    Point {
        calls: second.calls(),
        served: second.served,
        tries: second.tries,
        shed: second.tries_shed,
    }
}
