//! How a figure grows with a size: the exponent of a power.
//!
//! Invariant: what a daemon takes without anything to guard is no growth, and neither is what could as
//! well be chance.

/// How a figure grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// What is added grows with the size to the power of this: 1 is in proportion.
    pub(super) exponent: f64,
    /// Sizes it was fitted to.
    pub(super) points: usize,
}

/// The growth of what is added to `floor`, from points of size and figure. A point counts where it is above
/// the floor by a tenth; nothing comes of fewer than two such sizes. The exponent is the slope of the
/// straight line through the logarithms of size and of what was added, by least squares.
pub(super) fn growth(floor: f64, points: &[(f64, f64)]) -> Option<Growth> {
    let added = points
        .iter()
        .filter(|(size, figure)| *size > 0.0 && *figure > floor * ABOVE_FLOOR && *figure > floor)
        .map(|(size, figure)| (size.ln(), (figure - floor).ln()));
    let logarithms: Vec<(f64, f64)> = added.collect();
    Some(Growth { exponent: slope(&logarithms)?, points: logarithms.len() })
}

/// Nothing where all lie above each other.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = crate::statistics::figure(u64::try_from(points.len()).ok()?);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (middle_x, middle_y) = (mean(|point| point.0), mean(|point| point.1));
    let across: f64 = points.iter().map(|(x, y)| (x - middle_x) * (y - middle_y)).sum();
    let along: f64 = points.iter().map(|(x, _)| (x - middle_x).powi(2)).sum();
    (along > 0.0).then_some(across / along)
}

const ABOVE_FLOOR: f64 = 1.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn exponent(floor: f64, points: &[(f64, f64)]) -> Option<f64> {
        growth(floor, points).map(|growth| (growth.exponent * 1000.0).round() / 1000.0)
    }

    #[test]
    fn a_power_is_found_above_its_floor() {
        let of = |figure: fn(f64) -> f64| [10.0, 100.0, 1000.0].map(|size| (size, figure(size)));
        assert_eq!(exponent(0.0, &of(|size| 3.0 * size)), Some(1.0));
        assert_eq!(exponent(50.0, &of(|size| 50.0 + 3.0 * size)), Some(1.0));
        assert_eq!(exponent(5.0, &of(|size| 5.0 + size * size)), Some(2.0));
        assert_eq!(exponent(0.0, &of(f64::sqrt)), Some(0.5));
    }

    #[test]
    fn what_hardly_leaves_the_floor_does_not_count() {
        let points = [(10.0, 101.0), (100.0, 105.0), (1000.0, 200.0), (10_000.0, 1100.0)];
        let found = growth(100.0, &points).expect("two leave it");
        assert_eq!((found.points, exponent(100.0, &points)), (2, Some(1.0)));
        assert_eq!(growth(100.0, &points[..3]), None);
        assert_eq!(growth(100.0, &[(10.0, 90.0), (100.0, 80.0)]), None);
        assert_eq!(growth(1.0, &[(10.0, 20.0), (10.0, 30.0)]), None);
    }

    #[test]
    fn a_line_that_is_not_straight_is_met_in_the_middle() {
        let points = [(1.0, 2.0), (2.0, 5.0), (3.0, 5.0), (4.0, 8.0)];
        assert_eq!(slope(&points), Some(1.8));
    }
}
