//! Log-linear latency buckets: eight to the octave, 1 µs to 67 s.
//!
//! A bucket is at most an eighth of its lower bound wide, so its middle is within 6.25 % of any
//! latency in it.

use bytemuck::{Pod, Zeroable};

/// Buckets of one histogram.
pub const BUCKETS: usize = 192;

/// The histograms kept for each slot, in the order of their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum HistogramKind {
    /// SYN sent to connection established.
    Connect = 0,
    /// Last payload byte out to first payload byte in.
    Response = 1,
}

/// Histograms of one slot in the histogram array. Round-trip times have an array of their own, which
/// is as long as that only where a rule asks for them.
pub const HISTOGRAM_KINDS: u32 = 2;

/// The row of a slot's histogram in the histogram array.
#[inline(always)]
pub const fn row(slot: u32, kind: HistogramKind) -> u32 {
    slot * HISTOGRAM_KINDS + kind as u32
}

/// One histogram as the kernel keeps it. Counts wrap around; differences are taken modulo 2³².
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct HistogramRow {
    /// Samples for each bucket.
    pub buckets: [u32; BUCKETS],
}

const _: () = assert!(size_of::<HistogramRow>() == 768);

/// The bucket of a latency; anything over 67 s lands in the last one.
#[inline(always)]
pub const fn bucket(microseconds: u64) -> u32 {
    if microseconds >= 1 << OCTAVES {
        return LAST_BUCKET;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 2^26")]
    let microseconds = microseconds as u32;
    if microseconds < SUB_BUCKETS {
        return microseconds;
    }
    let shift = microseconds.ilog2() - SUB_BUCKET_BITS;
    (shift + 1) * SUB_BUCKETS + (microseconds >> shift) % SUB_BUCKETS
}

/// The smallest latency of a bucket, in microseconds. The bucket after the last begins where the
/// range ends.
pub const fn lower_bound(bucket: u32) -> u64 {
    if bucket < SUB_BUCKETS {
        return bucket as u64;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    ((SUB_BUCKETS + bucket % SUB_BUCKETS) as u64) << shift
}

/// The latency a bucket stands for: its middle, in microseconds.
pub const fn midpoint(bucket: u32) -> u64 {
    u64::midpoint(lower_bound(bucket), lower_bound(bucket + 1) - 1)
}

const SUB_BUCKET_BITS: u32 = 3;
const SUB_BUCKETS: u32 = 1 << SUB_BUCKET_BITS;
const OCTAVES: u32 = 26;
const LAST_BUCKET: u32 = (OCTAVES - SUB_BUCKET_BITS + 1) * SUB_BUCKETS - 1;
const _: () = assert!(LAST_BUCKET as usize + 1 == BUCKETS);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for index in 0..=LAST_BUCKET {
            assert_eq!(bucket(lower_bound(index)), index);
            assert_eq!(bucket(lower_bound(index + 1) - 1), index);
        }
        assert_eq!(lower_bound(LAST_BUCKET + 1), 1 << OCTAVES);
    }

    proptest! {
        #[test]
        fn the_midpoint_is_within_seven_percent(microseconds in 1_u64..60_000_000) {
            let error = midpoint(bucket(microseconds)).abs_diff(microseconds);
            prop_assert!(error * 100 <= microseconds * 7);
        }

        #[test]
        fn any_latency_has_a_bucket(microseconds: u64) {
            prop_assert!((bucket(microseconds) as usize) < BUCKETS);
        }
    }
}
