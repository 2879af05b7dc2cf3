//! Percentiles, medians and quartiles.
//!
//! Invariant: every figure is one that was measured, or lies halfway between two that were.

use serde::{Deserialize, Serialize};

/// The middle of a set of figures and how far its middle half reaches.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lower_quartile: f64,
    pub(crate) upper_quartile: f64,
}

impl Spread {
    /// Of at least one figure; none of nothing.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&figures, 1, 2)?,
            lower_quartile: quantile(&figures, 1, 4)?,
            upper_quartile: quantile(&figures, 3, 4)?,
        })
    }
}

/// The middle of a set of figures and its ends.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Extent {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Extent {
    /// Of at least one figure; none of nothing.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        Some(Self { median: quantile(&figures, 1, 2)?, least, most })
    }
}

/// The smallest sample that at least `percent` of the samples, sorted, do not exceed.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A count or a time as a figure.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and nobody prints 16 digits")]
pub(crate) const fn figure(number: u64) -> f64 {
    number as f64
}

/// The `part`th of `parts` quantiles: where it falls between two figures, halfway between them.
fn quantile(sorted: &[f64], part: usize, parts: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let (below, above) = (last * part / parts, (last * part).div_ceil(parts));
    Some(f64::midpoint(*sorted.get(below)?, *sorted.get(above)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample() {
        let samples: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&samples, 50), Some(100));
        assert_eq!(percentile(&samples, 99), Some(198));
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_spread_does_not_depend_on_the_order() {
        let spread = Spread::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        let expected = Spread { median: 3.0, lower_quartile: 2.0, upper_quartile: 4.0 };
        assert_eq!(spread, Some(expected));
        assert_eq!(Spread::of(vec![1.0, 2.0]).map(|spread| spread.median), Some(1.5));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
