//! From counters that only grow to what happened since the last look.

use shedder_common::counters::SlotCounters;
use shedder_common::histogram::{HistogramKind, HistogramRow};
use shedder_common::time::Monotonic;

use super::cells::Cell;
use crate::engine::{Buckets, Counts, Sample, Unfinished};
use crate::kernel::Kernel;

/// What happened to a cell since its last sample; nothing when nothing did.
pub(super) fn sample(kernel: &Kernel, cell: &mut Cell, now: Monotonic) -> Option<Sample> {
    let counters = kernel.counters(cell.slot);
    let is_new = counters != cell.seen;
    if is_new {
        cell.used = now;
    }
    cell.rate.update(counters.connects, now);
    if !is_new && !cell.ring.is_busy() {
        return None;
    }
    let mut sample = difference(&counters, &cell.seen);
    sample.unfinished = unfinished(kernel, cell, &counters, now);
    // Histograms are looked at only when something was added to them.
    if counters.established != cell.seen.established {
        let row = kernel.histogram(cell.slot, HistogramKind::Connect);
        sample.connect = new_samples(&row, &cell.seen_connect);
        cell.seen_connect = row;
    }
    let answers =
        |counters: &SlotCounters| (counters.responses, counters.errored, counters.timed_out);
    if answers(&counters) != answers(&cell.seen) {
        let row = kernel.histogram(cell.slot, HistogramKind::Response);
        sample.response = new_samples(&row, &cell.seen_response);
        cell.seen_response = row;
    }
    if let Some(row) = kernel.round_trips(cell.slot) {
        sample.rtt = new_samples(&row, &cell.seen_round_trips);
        cell.seen_round_trips = row;
    }
    cell.ports.close(counters.time_waits.saturating_sub(cell.seen.time_waits), now);
    cell.seen = counters;
    (!sample.is_empty()).then_some(sample)
}

fn unfinished(
    kernel: &Kernel,
    cell: &mut Cell,
    counters: &SlotCounters,
    now: Monotonic,
) -> Unfinished {
    let mut unfinished = cell.ring.update(&kernel.in_flight(cell.slot), now);
    unfinished.in_flight = counters.established.saturating_sub(counters.ended);
    unfinished
}

pub(super) fn difference(now: &SlotCounters, before: &SlotCounters) -> Sample {
    // A row read while the kernel writes it may be a few counts behind itself; the rest follows
    // with the next sample, so nothing is lost.
    let since = |field: fn(&SlotCounters) -> u64| field(now).saturating_sub(field(before));
    let both = |one: u64, other: u64| one.saturating_add(other);
    let counts = Counts {
        connects: since(|row| row.connects),
        shed: now.shed().saturating_sub(before.shed()),
        successes: both(since(|row| row.responses), since(|row| row.idle_closes)),
        refused: since(|row| row.refused),
        timed_out: since(|row| row.timed_out),
        unreachable: since(|row| row.unreachable),
        reset: both(since(|row| row.reset), since(|row| row.hung_up)),
        errored: since(|row| row.errored),
        segments: since(|row| row.segments),
        retransmits: since(|row| row.retransmits),
    };
    Sample {
        counts,
        failure_bursts: since(|row| row.failure_bursts),
        failure_run: now.failure_run,
        probes: since(|row| row.probes),
        probe_successes: since(|row| row.probe_successes),
        probe_failures: since(|row| row.probe_failures),
        probes_void: since(|row| row.probes_void),
        ..Sample::default()
    }
}

pub(super) fn new_samples(now: &HistogramRow, before: &HistogramRow) -> Buckets {
    (0..=u8::MAX)
        .zip(now.buckets.iter().zip(&before.buckets))
        .map(|(bucket, (now, before))| (bucket, now.wrapping_sub(*before)))
        .filter(|(_, count)| *count != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use shedder_common::histogram::BUCKETS;

    use super::*;

    #[test]
    fn a_sample_is_what_was_added() {
        let before =
            SlotCounters { responses: 5, refused: 2, failure_run: 2, ..SlotCounters::CLEAR };
        let now = SlotCounters { responses: 6, refused: 4, errored: 1, failure_run: 1, ..before };
        let sample = difference(&now, &before);
        assert_eq!(
            (sample.counts.successes, sample.counts.failures(), sample.failure_run),
            (1, 3, 1)
        );
    }

    #[test]
    fn histogram_counts_may_wrap() {
        let mut before = HistogramRow { buckets: [0; BUCKETS] };
        before.buckets[3] = u32::MAX;
        let mut now = before;
        now.buckets[3] = 1;
        assert_eq!(new_samples(&now, &before), [(3, 2)]);
    }
}
