//! What the endpoints of one service have in common: median and median absolute deviation of what
//! they are compared by. Both stay put while fewer than half of the endpoints are bad.

/// The endpoints of a service that have seen enough to be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Peers {
    /// How many.
    pub(super) count: usize,
    /// The median of their measures.
    pub(super) median: f64,
    /// The median distance from it, made comparable with a standard deviation.
    pub(super) deviation: f64,
}

impl Peers {
    pub(super) fn of(mut measures: Vec<f64>) -> Self {
        let count = measures.len();
        let median = middle(&mut measures);
        for measure in &mut measures {
            *measure = (*measure - median).abs();
        }
        Self { count, median, deviation: MAD_TO_SIGMA * middle(&mut measures) }
    }
}

/// The middle of the values, which are finite; zero without any.
fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// For values that are normally distributed.
const MAD_TO_SIGMA: f64 = 1.4826;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_five_moves_nothing() {
        let peers = Peers::of(vec![100.0, 1.0, 3.0, 2.0, 2.0]);
        assert_eq!(peers.count, 5);
        assert!((peers.median - 2.0).abs() < 1e-12);
        assert!((peers.deviation - 1.4826).abs() < 1e-12);
    }

    #[test]
    fn of_two_the_middle_lies_between() {
        assert!((Peers::of(vec![4.0, 1.0]).median - 2.5).abs() < 1e-12);
        assert!(Peers::of(Vec::new()).median.abs() < 1e-12);
    }
}
