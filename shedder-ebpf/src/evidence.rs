//! Counting how attempts and turns ended.
//!
//! An outcome counts only for the tenancy and the epoch it began in: what started before a
//! transition says nothing about the state after it.

use shedder_common::counters::SlotCounters;
use shedder_common::ending::Outcome;
use shedder_common::endpoint::SlotRef;
use shedder_common::histogram::{self, HistogramKind, HistogramRow};
use shedder_common::verdict::{self, Verdict};

use crate::maps::{COUNTERS, HISTOGRAMS, ROUND_TRIPS, VERDICTS};
use crate::tag::Tag;
use crate::{announce, atomic, slot};

/// The two rows of a tagged socket's slot.
pub struct Rows {
    pub verdict: &'static Verdict,
    pub counters: *mut SlotCounters,
}

/// The rows of the slot a socket is tagged for; nothing when the slot has another tenant.
#[inline(always)]
pub fn rows(tag: &Tag) -> Option<Rows> {
    let verdict = VERDICTS.get(tag.slot.slot)?;
    if verdict.generation != tag.slot.generation {
        return None;
    }
    let counters = COUNTERS.get_ptr_mut(tag.slot.slot)?;
    Some(Rows { verdict, counters })
}

/// Whether a slot still has this tenant.
#[inline(always)]
pub fn is_tenant(slot: SlotRef) -> bool {
    VERDICTS.get(slot.slot).is_some_and(|verdict| verdict.generation == slot.generation)
}

/// Counts `outcome` of an attempt or turn that began in `epoch`.
#[inline(always)]
pub fn record(tag: &mut Tag, rows: &Rows, epoch: u16, outcome: Outcome) {
    let counters = rows.counters;
    // SAFETY: a row of the counter array, whose fields are aligned.
    unsafe {
        tag.has_outcome = 1;
        if epoch != verdict::epoch(rows.verdict.word) {
            atomic::add(&raw mut (*counters).stale, 1);
            return;
        }
        match outcome {
            Outcome::Answered(_) => atomic::add(&raw mut (*counters).responses, 1),
            Outcome::Errored => atomic::add(&raw mut (*counters).errored, 1),
            Outcome::IdleClose => atomic::add(&raw mut (*counters).idle_closes, 1),
            Outcome::Refused => atomic::add(&raw mut (*counters).refused, 1),
            Outcome::TimedOut => atomic::add(&raw mut (*counters).timed_out, 1),
            Outcome::Unreachable => atomic::add(&raw mut (*counters).unreachable, 1),
            Outcome::Reset => atomic::add(&raw mut (*counters).reset, 1),
            Outcome::HungUp => atomic::add(&raw mut (*counters).hung_up, 1),
            Outcome::GaveUp => {
                atomic::add(&raw mut (*counters).gave_up, 1);
                return void_probe(tag, counters, epoch);
            }
            Outcome::Abandoned => {
                atomic::add(&raw mut (*counters).abandoned, 1);
                return void_probe(tag, counters, epoch);
            }
        }
        let is_slow = matches!(outcome, Outcome::Answered(elapsed_ns)
            if rows.verdict.slow_ns != 0 && elapsed_ns > rows.verdict.slow_ns);
        if is_slow {
            atomic::add(&raw mut (*counters).slow, 1);
            announce::trouble(tag.slot);
        }
        let is_success = matches!(outcome, Outcome::Answered(_) | Outcome::IdleClose);
        // A later turn on the connection of an earlier probe is no probe of this epoch.
        if tag.is_probe != 0 && epoch == tag.epoch {
            tag.is_probe = 0;
            if is_success && !is_slow {
                atomic::add(&raw mut (*counters).probe_successes, 1);
            } else {
                atomic::add(&raw mut (*counters).probe_failures, 1);
            }
        }
        let run = &raw mut (*counters).failure_run;
        if is_success {
            // Read first: a healthy endpoint's row is then not written for this.
            if run.read_volatile() != 0 {
                run.write_volatile(0);
            }
            return;
        }
        let failures = atomic::fetch_add(run, 1) + 1;
        if failures == u64::from(rows.verdict.failure_run_limit) {
            atomic::add(&raw mut (*counters).failure_bursts, 1);
            announce::failure_run(tag.slot, failures);
        } else {
            announce::trouble(tag.slot);
        }
    }
}

/// A probe whose caller ended it, as one does that is killed: its token goes to another.
///
/// # Safety
///
/// `counters` is a row of the counter array.
#[inline(always)]
unsafe fn void_probe(tag: &mut Tag, counters: *mut SlotCounters, epoch: u16) {
    if tag.is_probe != 0 && epoch == tag.epoch {
        tag.is_probe = 0;
        // SAFETY: the caller vouches for the row, whose fields are aligned.
        unsafe { atomic::add(&raw mut (*counters).probes_void, 1) };
    }
}

/// Adds a latency to one of the slot's histograms.
#[inline(always)]
pub fn measure(slot: u32, kind: HistogramKind, elapsed_ns: u64) {
    add_to(HISTOGRAMS.get_ptr_mut(histogram::row(slot, kind)), elapsed_ns);
}

/// Counts how long a redirected connect took, for the endpoint it was meant for.
#[inline(always)]
pub fn note_fallback(origin: SlotRef, elapsed_ns: u64) {
    if !is_tenant(origin) {
        return;
    }
    slot::mark(origin.slot);
    if let Some(counters) = COUNTERS.get_ptr_mut(origin.slot) {
        // SAFETY: a row of the counter array.
        unsafe {
            atomic::add(&raw mut (*counters).fallbacks, 1);
            atomic::add(&raw mut (*counters).fallback_ns, elapsed_ns);
        }
    }
}

/// Adds a round-trip time to the slot's.
#[inline(always)]
pub fn measure_round_trip(slot: u32, round_trip_ns: u64) {
    add_to(ROUND_TRIPS.get_ptr_mut(slot), round_trip_ns);
}

#[inline(always)]
fn add_to(row: Option<*mut HistogramRow>, elapsed_ns: u64) {
    let Some(row) = row else { return };
    let bucket = atomic::opaque(histogram::bucket(elapsed_ns / 1000)) as usize;
    if bucket < histogram::BUCKETS {
        // SAFETY: the index is checked; the row is a map value.
        unsafe { atomic::add_u32((&raw mut (*row).buckets).cast::<u32>().add(bucket), 1) };
    }
}
