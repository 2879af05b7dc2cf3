//! Which figures grow with which size.
//!
//! Invariant: along an axis one size is turned up and the other stays as it is at the floor.

use super::fit::{Growth, growth};
use super::{Case, Figures, MIDDLE, Shape, Size};
use crate::statistics::figure;

/// A figure that grows, or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantity {
    /// For a table.
    pub(super) name: &'static str,
    /// Of a case, where it was measured there.
    pub(super) of: fn(&Case) -> Option<f64>,
    unit: &'static str,
    /// How many of that unit one of the figure's is.
    factor: f64,
}

/// A size that is turned up while the other stays.
#[derive(Debug)]
pub(super) struct Axis<'a> {
    floor: Option<&'a Case>,
    cases: Vec<&'a Case>,
    size: fn(&Case) -> u32,
}

impl<'a> Axis<'a> {
    /// In one cgroup.
    pub(super) fn endpoints(figures: &'a Figures) -> Self {
        let cases = figures.cases.iter().skip(1).filter(|case| case.size.cgroups == 1).collect();
        Self { floor: figures.cases.first(), cases, size: |case| case.size.endpoints }
    }

    /// With the same endpoints, of one caller.
    pub(super) fn cgroups(figures: &'a Figures) -> Self {
        let is_meant =
            |case: &&Case| case.size.is_about_cgroups() && case.size.shape == Shape::OneCaller;
        let cases = figures.cases.iter().filter(is_meant).collect();
        Self { floor: figures.floor_of_cgroups(), cases, size: |case| case.size.cgroups }
    }

    /// Size and figure.
    pub(super) fn points(&self, of: fn(&Case) -> Option<f64>) -> Vec<(f64, f64)> {
        let point = |case: &&Case| Some((f64::from((self.size)(case)), of(case)?));
        self.cases.iter().filter_map(point).collect()
    }

    /// How the figure grows with it.
    pub(super) fn growth(&self, of: fn(&Case) -> Option<f64>) -> Option<Growth> {
        growth(of(self.floor?)?, &self.points(of))
    }

    /// The same for a table.
    pub(super) fn exponent(&self, of: fn(&Case) -> Option<f64>) -> String {
        self.growth(of).map_or_else(
            || String::from("hardly"),
            |growth| format!("{:.2} ({} sizes)", growth.exponent, growth.points),
        )
    }

    /// What one more of the size adds, between floor and the greatest size.
    pub(super) fn added_by_each(&self, of: fn(&Case) -> Option<f64>) -> Option<f64> {
        let (floor, most) = (self.floor?, self.cases.iter().max_by_key(|case| (self.size)(case))?);
        let more = f64::from((self.size)(most)) - f64::from((self.size)(floor));
        (more > 0.0).then_some((of(most)? - of(floor)?) / more)
    }

    /// The same for a table, in the unit of the quantity.
    pub(super) fn each(&self, quantity: Quantity) -> String {
        let added = self.added_by_each(quantity.of).filter(|_| self.growth(quantity.of).is_some());
        added.map_or_else(
            || String::from("nothing to speak of"),
            |added| format!("{:.3} {}", added * quantity.factor, quantity.unit),
        )
    }
}

impl Size {
    /// Whether it is one of those in which only cgroups are more.
    pub(super) fn is_about_cgroups(self) -> bool {
        self.cgroups > 1 && (self.endpoints == MIDDLE || self.shape == Shape::CallerEach)
    }
}

impl Figures {
    /// One cgroup, with the endpoints that all numbers of cgroups have.
    pub(super) fn floor_of_cgroups(&self) -> Option<&Case> {
        self.cases.iter().find(|case| case.size.cgroups == 1 && case.size.endpoints == MIDDLE)
    }
}

/// What is looked at for growth.
pub(super) const QUANTITIES: [Quantity; 7] = [
    Quantity {
        name: "time of a look",
        of: |case| Some(case.idle.look_us()),
        unit: "ns",
        factor: 1e3,
    },
    Quantity {
        name: "time of a look while 1 % is called",
        of: |case| Some(case.busy.as_ref()?.effort.look_us()),
        unit: "ns",
        factor: 1e3,
    },
    Quantity {
        name: "CPU idle",
        of: |case| Some(case.idle.share()),
        unit: "millionths of a core",
        factor: 1e6,
    },
    Quantity {
        name: "memory of the process",
        of: |case| Some(figure(case.resident_bytes)),
        unit: "bytes",
        factor: 1.0,
    },
    Quantity {
        name: "memory of the maps",
        of: |case| Some(figure(case.map_bytes)),
        unit: "bytes",
        factor: 1.0,
    },
    Quantity {
        name: "start until it guards",
        of: |case| Some(case.start_ms()),
        unit: "µs",
        factor: 1e3,
    },
    Quantity { name: "series", of: |case| Some(figure(case.series)), unit: "series", factor: 1.0 },
];
