//! What was seen of one cell within a second.
//!
//! Invariant: what is counted is added up; what stands at a moment is that of the last look.

use shedder_common::histogram::BUCKETS;

use super::bytes::{Bytes, put};
use super::reader::Problem;
use crate::engine::{Buckets, Sample};

/// The samples of a cell of one second, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Their sum; the run of failures and what is unfinished as at the last look.
    pub sample: Sample,
    /// The longest run of failures seen.
    pub longest_run: u64,
}

impl Second {
    /// Adds what was seen at one look. `run_limit` is the number of failures in a row of which the
    /// kernel tells.
    pub fn add(&mut self, sample: &Sample, run_limit: Option<u32>) {
        let sum = &mut self.sample;
        sum.counts += &sample.counts;
        for (sum, more) in numbers_of_sums(sum).into_iter().zip(numbers(sample)) {
            *sum = sum.saturating_add(more);
        }
        merge(&mut sum.connect, &sample.connect);
        merge(&mut sum.response, &sample.response);
        merge(&mut sum.rtt, &sample.rtt);
        sum.failure_run = sample.failure_run;
        sum.unfinished = sample.unfinished.clone();
        let told = run_limit.filter(|_| sample.failure_bursts > 0).unwrap_or(0);
        self.longest_run = self.longest_run.max(sample.failure_run).max(told.into());
    }

    /// Appends a mask of the numbers that are not zero, these numbers, and the histograms likewise.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut copy = self.clone();
        let numbers = all_numbers(&mut copy).map(|number| (*number).min(MOST));
        let histograms = histograms(&mut copy).map(std::mem::take);
        let mut mask = 0;
        for (bit, number) in numbers.iter().enumerate() {
            mask |= u64::from(*number != 0) << bit;
        }
        for (bit, buckets) in histograms.iter().enumerate() {
            mask |= u64::from(!buckets.is_empty()) << (numbers.len() + bit);
        }
        put(out, mask);
        numbers.iter().filter(|number| **number != 0).for_each(|number| put(out, *number));
        for buckets in histograms.iter().filter(|buckets| !buckets.is_empty()) {
            encode_buckets(buckets, out);
        }
    }

    pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Self, Problem> {
        let mut second = Self::default();
        let mut mask = bytes.number()?;
        for number in all_numbers(&mut second) {
            if mask & 1 != 0 {
                *number = bytes.at_most(MOST)?;
            }
            mask >>= 1;
        }
        for buckets in histograms(&mut second) {
            if mask & 1 != 0 {
                *buckets = decode_buckets(bytes)?;
            }
            mask >>= 1;
        }
        if mask != 0 {
            return Err(Problem::Mask);
        }
        Ok(second)
    }
}

/// Numbers that add up, besides the counts.
const fn numbers_of_sums(sample: &mut Sample) -> [&mut u64; 5] {
    [
        &mut sample.failure_bursts,
        &mut sample.probes,
        &mut sample.probe_successes,
        &mut sample.probe_failures,
        &mut sample.probes_void,
    ]
}

/// As [`numbers_of_sums`].
const fn numbers(sample: &Sample) -> [u64; 5] {
    [
        sample.failure_bursts,
        sample.probes,
        sample.probe_successes,
        sample.probe_failures,
        sample.probes_void,
    ]
}

/// Every number, in the order of the format. New ones come last, with a new version.
const fn all_numbers(second: &mut Second) -> [&mut u64; 20] {
    let Second { sample, longest_run } = second;
    let counts = &mut sample.counts;
    [
        &mut counts.connects,
        &mut counts.shed,
        &mut counts.successes,
        &mut counts.refused,
        &mut counts.timed_out,
        &mut counts.unreachable,
        &mut counts.reset,
        &mut counts.errored,
        &mut counts.segments,
        &mut counts.retransmits,
        &mut sample.failure_run,
        longest_run,
        &mut sample.unfinished.in_flight,
        &mut sample.unfinished.stalled_connecting,
        &mut sample.unfinished.stalled_waiting,
        &mut sample.failure_bursts,
        &mut sample.probes,
        &mut sample.probe_successes,
        &mut sample.probe_failures,
        &mut sample.probes_void,
    ]
}

/// Every histogram, in the order of the format.
const fn histograms(second: &mut Second) -> [&mut Buckets; 5] {
    let Sample { connect, response, rtt, unfinished, .. } = &mut second.sample;
    [connect, response, rtt, &mut unfinished.connecting, &mut unfinished.waiting]
}

/// How many there are, then how far each is from the one before, and its count.
fn encode_buckets(buckets: &Buckets, out: &mut Vec<u8>) {
    put(out, buckets.len() as u64);
    let mut next = 0;
    for (bucket, count) in buckets {
        put(out, u64::from(bucket.saturating_sub(next)));
        put(out, u64::from(*count));
        next = bucket.saturating_add(1);
    }
}

fn decode_buckets(bytes: &mut Bytes<'_>) -> Result<Buckets, Problem> {
    let mut buckets = Buckets::new();
    let mut next = 0;
    for _ in 0..bytes.at_most(BUCKETS as u64)? {
        let bucket = next + bytes.at_most(BUCKETS as u64)?;
        if bucket >= BUCKETS as u64 {
            return Err(Problem::Bucket);
        }
        let count = u32::try_from(bytes.number()?).map_err(|_too_many| Problem::Number)?;
        buckets.push((u8::try_from(bucket).map_err(|_too_far| Problem::Bucket)?, count));
        next = bucket + 1;
    }
    Ok(buckets)
}

/// Adds `more` to sorted buckets.
fn merge(buckets: &mut Buckets, more: &Buckets) {
    for (bucket, count) in more {
        match buckets.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
            Ok(at) => buckets[at].1 = buckets[at].1.saturating_add(*count),
            Err(at) => buckets.insert(at, (*bucket, *count)),
        }
    }
}

/// The greatest number: more than happens to one cell in a second, and few enough to be added up.
const MOST: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Counts, Unfinished};

    #[test]
    fn counts_add_up_and_what_stands_is_the_last() {
        let look = |refused, failure_run, in_flight, bucket| Sample {
            counts: Counts { refused, ..Counts::default() },
            failure_run,
            probes: 1,
            connect: vec![(bucket, 2)],
            unfinished: Unfinished { in_flight, ..Unfinished::default() },
            ..Sample::default()
        };
        let mut second = Second::default();
        second.add(&look(3, 3, 9, 7), Some(5));
        second.add(&look(1, 1, 4, 5), Some(5));
        second.add(&look(1, 2, 4, 7), Some(5));
        let Second { sample, longest_run } = &second;
        assert_eq!((sample.counts.refused, sample.probes, sample.failure_run), (5, 3, 2));
        assert_eq!((sample.unfinished.in_flight, *longest_run), (4, 3));
        assert_eq!(sample.connect, [(5, 2), (7, 4)]);
    }

    /// A run that ended between two looks was as long as the kernel says.
    #[test]
    fn a_burst_is_a_run_of_the_limit() {
        let mut second = Second::default();
        let burst = Sample { failure_bursts: 1, ..Sample::default() };
        second.add(&burst, Some(5));
        assert_eq!(second.longest_run, 5);
    }
}
