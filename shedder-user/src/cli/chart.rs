//! Latencies as bars, for people: a few rows, whatever their range.
//!
//! Invariant: every sample is in exactly one row, and no row with samples has an empty bar.

use shedder_common::histogram::{bucket, lower_bound};

use super::output::Glyphs;
use crate::api::model::Histogram;

/// One row of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The shortest latency in it, microseconds.
    pub(super) from_us: u64,
    /// The shortest one above it, microseconds.
    pub(super) below_us: u64,
    pub(super) count: u64,
}

/// The latencies in at most `most` rows, from the fastest to the slowest, as fine as that allows.
pub(super) fn rows(histogram: &Histogram, most: usize) -> Vec<Row> {
    let counts: Vec<(u32, u64)> =
        histogram.buckets.iter().map(|it| (bucket(it.from_us), it.count)).collect();
    let (Some((first, _)), Some((last, _))) = (counts.first(), counts.last()) else {
        return Vec::new();
    };
    let fits = |width: &u32| ((last / width - first / width) as usize) < most.max(1);
    let doubled = std::iter::successors(Some(1_u32), |width| width.checked_mul(2));
    let width = doubled.into_iter().find(fits).unwrap_or(1 << 31);
    let row = |number: u32| Row {
        from_us: lower_bound(number * width),
        below_us: lower_bound((number + 1).saturating_mul(width).min(BUCKETS)),
        count: counts
            .iter()
            .filter(|(bucket, _)| bucket / width == number)
            .map(|(_, count)| count)
            .sum(),
    };
    (first / width..=last / width).map(row).collect()
}

/// A bar of at most `width` cells for `count` of `most`.
pub(super) fn bar(count: u64, most: u64, width: usize, glyphs: Glyphs) -> String {
    let steps = glyphs.bars();
    let (full, parts) = (steps.len(), width * steps.len());
    let filled = u128::from(count) * parts as u128 / u128::from(most.max(1));
    let filled = usize::try_from(filled).unwrap_or(parts).min(parts);
    let filled = if count > 0 { filled.max(1) } else { filled };
    let mut bar: String = std::iter::repeat_n(steps[full - 1], filled / full).collect();
    if let Some(part) = (filled % full).checked_sub(1) {
        bar.push(steps[part]);
    }
    bar
}

/// Buckets there are, as a number.
#[expect(clippy::cast_possible_truncation, reason = "a few hundred")]
const BUCKETS: u32 = shedder_common::histogram::BUCKETS as u32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::model::Bucket;

    fn histogram(latencies: &[(u64, u64)]) -> Histogram {
        let buckets = latencies.iter().map(|(us, count)| {
            let number = bucket(*us);
            let (from_us, below_us) = (lower_bound(number), lower_bound(number + 1));
            Bucket { from_us, below_us, count: *count }
        });
        let buckets: Vec<Bucket> = buckets.collect();
        Histogram { samples: 0, p50_us: None, p99_us: None, buckets }
    }

    #[test]
    fn a_narrow_range_is_shown_finely_and_a_wide_one_coarsely() {
        let narrow = rows(&histogram(&[(1_000, 1), (1_100, 2)]), 8);
        assert_eq!(narrow.len(), 2, "{narrow:?}");
        let wide = rows(&histogram(&[(10, 1), (60_000_000, 2)]), 8);
        assert!(wide.len() <= 8 && wide.len() > 4, "{wide:?}");
        assert_eq!(rows(&histogram(&[]), 8), []);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(1, 2, 4, Glyphs::Ascii), "##");
        assert_eq!(bar(1, 1_000_000, 4, Glyphs::Ascii), "#");
        assert_eq!(bar(0, 5, 4, Glyphs::Unicode), "");
        assert_eq!(bar(3, 16, 4, Glyphs::Unicode), "▊");
        assert_eq!(bar(7, 5, 4, Glyphs::Unicode), "████");
    }

    proptest! {
        #[test]
        fn every_sample_is_in_one_row(
            latencies in proptest::collection::btree_map(0_u32..192, 1_u64..1_000, 0..40),
            most in 1_usize..30,
        ) {
            let given: Vec<(u64, u64)> =
                latencies.iter().map(|(number, count)| (lower_bound(*number), *count)).collect();
            let rows = rows(&histogram(&given), most);
            prop_assert!(rows.len() <= most);
            let shown: u64 = rows.iter().map(|row| row.count).sum();
            prop_assert_eq!(shown, latencies.values().sum::<u64>());
            for pair in rows.windows(2) {
                prop_assert_eq!(pair[0].below_us, pair[1].from_us);
            }
        }
    }
}
