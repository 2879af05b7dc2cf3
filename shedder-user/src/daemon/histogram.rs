//! How long an endpoint's handshakes and answers took, as the kernel counted them.
//!
//! Invariant: reads the kernel's rows as they are; nothing is kept here.

use shedder_common::histogram::{BUCKETS, HistogramKind, HistogramRow, lower_bound};

use super::{Daemon, report};
use crate::api::Selection;
use crate::api::model::{Bucket, Histogram, Histograms};
use crate::engine::Latencies;

impl Daemon {
    /// The latencies of the breakers of an endpoint, added up.
    pub(super) fn histogram(&self, of: &Selection) -> Result<Histograms, String> {
        let endpoint = report::endpoint(&of.endpoint)?;
        let reached = self.reached(endpoint, of.caller.as_deref(), of.network.as_deref())?;
        let slots: Vec<_> =
            reached.iter().filter_map(|(id, _)| Some(self.cells.by_id(*id)?.slot)).collect();
        let of_kind = |kind| merged(slots.iter().map(|slot| self.kernel.histogram(*slot, kind)));
        let round_trips: Option<Vec<HistogramRow>> =
            slots.iter().map(|slot| self.kernel.round_trips(*slot)).collect();
        Ok(Histograms {
            connect: of_kind(HistogramKind::Connect),
            response: of_kind(HistogramKind::Response),
            round_trip: round_trips.map(|rows| merged(rows.into_iter())),
            breakers: reached.into_iter().map(|(_, name)| name).collect(),
        })
    }
}

fn merged(rows: impl Iterator<Item = HistogramRow>) -> Histogram {
    let mut totals = [0_u64; BUCKETS];
    for row in rows {
        for (total, count) in totals.iter_mut().zip(row.buckets) {
            *total += u64::from(count);
        }
    }
    let filled = (0..=u8::MAX).zip(totals).filter(|(_, total)| *total != 0);
    let sums: Vec<(u8, u64)> = filled.collect();
    let latencies = Latencies::of_sums(&sums);
    Histogram {
        samples: latencies.samples,
        p50_us: latencies.quantile_permille(500),
        p99_us: latencies.quantile_permille(990),
        buckets: sums
            .into_iter()
            .map(|(bucket, count)| Bucket {
                from_us: lower_bound(bucket.into()),
                below_us: lower_bound(u32::from(bucket) + 1),
                count,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use shedder_common::histogram::bucket;

    use super::*;

    #[test]
    fn the_latencies_of_several_callers_are_added_up() {
        let mut row = HistogramRow { buckets: [0; BUCKETS] };
        row.buckets[bucket(1_000) as usize] = 3;
        let mut other = row;
        other.buckets[BUCKETS - 1] = u32::MAX;
        let histogram = merged([row, other].into_iter());
        assert_eq!(histogram.samples, 6 + u64::from(u32::MAX));
        let counts: Vec<u64> = histogram.buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [6, u64::from(u32::MAX)]);
        let first = histogram.buckets[0];
        assert!(first.from_us <= 1_000 && 1_000 < first.below_us, "{first:?}");
        assert!(histogram.p50_us > Some(first.below_us), "{:?}", histogram.p50_us);
    }

    #[test]
    fn without_samples_there_is_nothing_to_say() {
        let nothing = merged(std::iter::empty());
        assert_eq!(nothing, Histogram::default());
    }
}
