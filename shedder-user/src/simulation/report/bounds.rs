//! What a scenario expects, compared with what was measured.

use std::time::Duration;

use serde::Serialize;

use super::{PolicyReport, cell_name};
use crate::simulation::record::milliseconds;
use crate::simulation::scenario::{Expect, Scenario};

/// One thing expected.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    /// The key in the scenario file.
    pub name: String,
    /// What was measured.
    pub measured: String,
    /// What it may be.
    pub bound: String,
    /// Whether it is.
    pub is_kept: bool,
}

pub(super) fn check(scenario: &Scenario, report: &PolicyReport) -> Vec<Bound> {
    let Expect {
        never_sheds,
        first_shed,
        leaked_at_most,
        leaked_before_shed_at_most,
        false_refusals_at_most,
        opens_after_end_at_most,
        opens_at_least,
        opens_at_most,
        flaps_at_most,
        recovered_within,
        admitted_within,
        in_flight_at_most,
        success_at_least,
        success_during_at_least,
        service_success_at_least,
        sheds,
        spares,
    } = &scenario.expect;
    let (first, last) = (report.faults.first(), report.faults.iter().max_by_key(|it| it.to_ms));
    let mut bounds = Vec::new();
    if *never_sheds {
        bounds.push(at_most("never_sheds", report.shed, Some(0)));
    }
    bounds.push(within("first_shed", first.and_then(|it| it.first_shed_ms), *first_shed));
    bounds.push(at_most("leaked_at_most", report.leaked, *leaked_at_most));
    let before = first.map_or(0, |it| it.leaked_before_shed);
    bounds.push(at_most("leaked_before_shed_at_most", before, *leaked_before_shed_at_most));
    let falsely = report.false_refusals;
    bounds.push(at_most("false_refusals_at_most", falsely, *false_refusals_at_most));
    bounds.push(at_most(
        "opens_after_end_at_most",
        report.opens_after_end,
        *opens_after_end_at_most,
    ));
    bounds.push(at_least("opens_at_least", report.opens, *opens_at_least));
    bounds.push(at_most("opens_at_most", report.opens, *opens_at_most));
    bounds.push(at_most("flaps_at_most", report.flaps, *flaps_at_most));
    let recovered = last.and_then(|it| it.recovered_ms);
    bounds.push(within("recovered_within", recovered, *recovered_within));
    let admitted = last.and_then(|it| it.admitted_ms);
    bounds.push(within("admitted_within", admitted, *admitted_within));
    bounds.push(at_most("in_flight_at_most", report.most_in_flight, *in_flight_at_most));
    bounds.push(share("success_at_least", report.success.whole, *success_at_least));
    let during = report.success.during;
    bounds.push(share("success_during_at_least", during, *success_during_at_least));
    for (service, least) in service_success_at_least {
        let (name, success) = &report.services[*service];
        let name = format!("service_success_at_least.{name}");
        bounds.push(share(&name, *success, Some(*least)));
    }
    let shed = |cells: &[usize]| cells.iter().map(|cell| report.breakers[*cell].1).sum::<u64>();
    for (name, cells) in sheds {
        bounds.push(at_least(&format!("sheds {name}"), shed(cells), Some(1)));
    }
    for (name, cells) in spares {
        let worst = cells.iter().max_by_key(|cell| report.breakers[**cell].1);
        let name = match worst {
            Some(worst) if cells.len() > 1 && report.breakers[*worst].1 > 0 => {
                format!("{name}, most by {}", cell_name(scenario, *worst))
            }
            _ => name.clone(),
        };
        bounds.push(at_most(&format!("spares {name}"), shed(cells), Some(0)));
    }
    bounds.into_iter().flatten().collect()
}

fn at_most(name: &str, measured: u64, bound: Option<u64>) -> Option<Bound> {
    let bound = bound?;
    Some(Bound {
        name: name.to_owned(),
        measured: measured.to_string(),
        bound: format!("at most {bound}"),
        is_kept: measured <= bound,
    })
}

fn at_least(name: &str, measured: u64, bound: Option<u64>) -> Option<Bound> {
    let bound = bound?;
    Some(Bound {
        name: name.to_owned(),
        measured: measured.to_string(),
        bound: format!("at least {bound}"),
        is_kept: measured >= bound,
    })
}

fn within(name: &str, measured: Option<u64>, bound: Option<Duration>) -> Option<Bound> {
    let bound = milliseconds(bound?);
    Some(Bound {
        name: name.to_owned(),
        measured: measured.map_or_else(|| "never".to_owned(), |measured| format!("{measured} ms")),
        bound: format!("within {bound} ms"),
        is_kept: measured.is_some_and(|measured| measured <= bound),
    })
}

fn share(name: &str, measured: Option<f64>, bound: Option<f64>) -> Option<Bound> {
    let bound = bound?;
    Some(Bound {
        name: name.to_owned(),
        measured: measured.map_or_else(|| "no calls".to_owned(), |share| share.to_string()),
        bound: format!("at least {bound}"),
        is_kept: measured.is_some_and(|measured| measured >= bound),
    })
}
