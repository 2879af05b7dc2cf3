//! What may happen to breakers, drawn by chance.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::engine::{Buckets, Counts, Force, Sample, Unfinished};

/// Two callers of one service with four endpoints.
pub(super) const CELLS: u32 = 8;
pub(super) const CAP_PERCENT: u8 = 50;

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Observe(u32, Box<Sample>),
    Wait(Duration),
    Force(u32, Force, Duration),
    Reset(u32),
}

pub(super) fn buckets() -> impl Strategy<Value = Buckets> {
    vec((any::<u8>(), 0_u32..100), 0..4).prop_map(|mut buckets| {
        buckets.sort_unstable();
        buckets.dedup_by_key(|(bucket, _)| *bucket);
        buckets
    })
}

pub(super) fn counts() -> impl Strategy<Value = Counts> {
    let outcomes = (0_u64..20, 0_u64..10, 0_u64..5, 0_u64..3, 0_u64..3);
    (outcomes, 0_u64..30, 0_u64..30, 0_u64..50).prop_map(
        |((successes, refused, timed_out, reset, errored), connects, shed, segments)| Counts {
            connects,
            shed: shed.min(connects),
            successes,
            refused,
            timed_out,
            unreachable: 0,
            reset,
            errored,
            segments,
            retransmits: segments / 3,
        },
    )
}

pub(super) fn sample() -> impl Strategy<Value = Sample> {
    let runs = (0_u64..3, 0_u64..20);
    let probes = (0_u64..5, 0_u64..5, 0_u64..5, 0_u64..3);
    let unfinished = (buckets(), buckets(), 0_u64..40, (0_u64..9, 0_u64..9));
    (counts(), runs, probes, (buckets(), buckets(), buckets()), unfinished).prop_map(
        |(counts, (failure_bursts, failure_run), probes, latencies, unfinished)| Sample {
            counts,
            failure_bursts,
            failure_run,
            probes: probes.0,
            probe_successes: probes.1,
            probe_failures: probes.2,
            probes_void: probes.3,
            connect: latencies.0,
            response: latencies.1,
            rtt: latencies.2,
            unfinished: Unfinished {
                connecting: unfinished.0,
                waiting: unfinished.1,
                stalled_connecting: unfinished.3.0,
                stalled_waiting: unfinished.3.1,
                in_flight: unfinished.2,
            },
        },
    )
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    let span = (1_u64..20_000).prop_map(Duration::from_millis);
    let cell = 0..CELLS;
    prop_oneof![
        8 => (cell.clone(), sample()).prop_map(|(cell, sample)| Operation::Observe(cell, sample.into())),
        4 => span.clone().prop_map(Operation::Wait),
        1 => (cell.clone(), any::<bool>(), span).prop_map(|(cell, open, ttl)| {
            Operation::Force(cell, if open { Force::Open } else { Force::Closed }, ttl)
        }),
        1 => cell.prop_map(Operation::Reset),
    ]
}

pub(super) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 0..80)
}
