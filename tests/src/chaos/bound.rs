//! What a scenario must show, as a number, and what it showed.
//!
//! Invariant: a verdict follows from the figure and the limit alone.

use std::fmt;

use serde::Serialize;

/// One number of a scenario and its limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The requirement: a scenario (CH) or an acceptance figure (AT).
    pub(super) row: &'static str,
    /// What is measured.
    pub(super) what: &'static str,
    limit: Limit,
    unit: &'static str,
    is_ours: bool,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

/// A bound, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    row: &'static str,
    what: &'static str,
    bound: String,
    measured: String,
    pub(super) verdict: Verdict,
}

/// Whether a bound was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Met,
    NotMet,
    /// It cannot be shown on this machine.
    NotHere,
}

impl Bound {
    /// No more than this, by the requirement.
    pub(super) const fn at_most(
        row: &'static str,
        what: &'static str,
        limit: f64,
        unit: &'static str,
    ) -> Self {
        Self { row, what, limit: Limit::AtMost(limit), unit, is_ours: false }
    }

    /// No less than this, by the requirement.
    pub(super) const fn at_least(
        row: &'static str,
        what: &'static str,
        limit: f64,
        unit: &'static str,
    ) -> Self {
        Self { row, what, limit: Limit::AtLeast(limit), unit, is_ours: false }
    }

    /// This and nothing else, by the requirement.
    pub(super) const fn exactly(
        row: &'static str,
        what: &'static str,
        limit: f64,
        unit: &'static str,
    ) -> Self {
        Self { row, what, limit: Limit::Exactly(limit), unit, is_ours: false }
    }

    /// The requirement has no number here; this one is ours.
    pub(super) const fn ours(self) -> Self {
        Self { is_ours: true, ..self }
    }

    /// With what was measured.
    pub(super) fn measured(&self, figure: f64) -> Finding {
        let verdict = if self.limit.admits(figure) { Verdict::Met } else { Verdict::NotMet };
        self.found(with_unit(figure, self.unit), verdict)
    }

    /// With what was measured, if it came to pass at all.
    pub(super) fn measured_if(&self, figure: Option<f64>) -> Finding {
        figure.map_or_else(|| self.failed("never"), |figure| self.measured(figure))
    }

    /// It was not to be had.
    pub(super) fn failed(&self, why: &str) -> Finding {
        self.found(why.to_owned(), Verdict::NotMet)
    }

    /// It cannot be shown here, and why.
    pub(super) fn not_here(&self, why: &str) -> Finding {
        self.found(why.to_owned(), Verdict::NotHere)
    }

    fn found(&self, measured: String, verdict: Verdict) -> Finding {
        Finding { row: self.row, what: self.what, bound: self.to_string(), measured, verdict }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, limit) = match self.limit {
            Limit::AtMost(limit) => ("≤ ", limit),
            Limit::AtLeast(limit) => ("≥ ", limit),
            Limit::Exactly(limit) => ("", limit),
        };
        let star = if self.is_ours { " *" } else { "" };
        write!(f, "{sign}{}{star}", with_unit(limit, self.unit))
    }
}

impl Limit {
    fn admits(self, figure: f64) -> bool {
        match self {
            Self::AtMost(limit) => figure <= limit,
            Self::AtLeast(limit) => figure >= limit,
            Self::Exactly(limit) => (figure - limit).abs() < 0.5,
        }
    }
}

impl Finding {
    /// What was measured.
    pub(super) const fn what(&self) -> &'static str {
        self.what
    }

    /// As cells of a table.
    pub(super) fn cells(&self) -> [&str; 5] {
        let verdict = match self.verdict {
            Verdict::Met => "met",
            Verdict::NotMet => "NOT MET",
            Verdict::NotHere => "not here",
        };
        [self.row, self.what, &self.bound, &self.measured, verdict]
    }
}

/// Without digits that say nothing.
fn with_unit(figure: f64, unit: &str) -> String {
    let digits = if figure.fract() == 0.0 || figure.abs() >= 1000.0 {
        format!("{figure:.0}")
    } else if figure.abs() < 10.0 {
        format!("{figure:.2}")
    } else {
        format!("{figure:.1}")
    };
    if unit.is_empty() { digits } else { format!("{digits} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Bound = Bound::at_most("AT-1", "first shed", 2.3, "s");

    #[test]
    fn a_verdict_follows_from_the_limit() {
        assert_eq!(SOON.measured(2.3).verdict, Verdict::Met);
        assert_eq!(SOON.measured(2.4).verdict, Verdict::NotMet);
        assert_eq!(SOON.measured_if(None).verdict, Verdict::NotMet);
        assert_eq!(SOON.not_here("no").verdict, Verdict::NotHere);
        let share = Bound::at_least("AT-6", "survival", 99.5, "%").ours();
        assert_eq!(share.measured(99.4).verdict, Verdict::NotMet);
        assert_eq!(
            share.measured(100.0).cells(),
            ["AT-6", "survival", "≥ 99.5 % *", "100 %", "met"]
        );
        let probes = Bound::exactly("AT-20", "probes", 3.0, "");
        assert_eq!(
            [2.0, 3.0, 4.0].map(|it| probes.measured(it).verdict == Verdict::Met),
            [false, true, false]
        );
    }
}
