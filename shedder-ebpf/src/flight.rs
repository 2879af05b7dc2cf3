//! Counting what is open: handshakes and requests, from their start to their end.
//!
//! Whoever swaps a mark out of the tag is the one who takes it back from the gauges, so that two
//! CPUs that end the same thing at once end it once.

use shedder_common::in_flight::{InFlightRow, Kind, Mark};

use crate::atomic;
use crate::evidence::is_tenant;
use crate::maps::IN_FLIGHT;
use crate::tag::Tag;

/// Something was begun at `at_ns`. What was open before has ended.
#[inline(always)]
pub fn begin(tag: &mut Tag, kind: Kind, at_ns: u64) {
    let Some(row) = row(tag) else { return };
    open(tag, row, Mark::new(kind, at_ns));
}

/// A request goes on: what it waits for counts from its last byte.
#[inline(always)]
pub fn go_on(tag: &mut Tag, at_ns: u64) {
    if Mark::new(Kind::Waiting, at_ns).index() != Mark(tag.in_flight).index() {
        begin(tag, Kind::Waiting, at_ns);
    }
}

/// What was open has ended.
#[inline(always)]
pub fn end(tag: &mut Tag) {
    if tag.in_flight == 0 {
        return;
    }
    let mark = swap(tag, Mark(0));
    if let Some(row) = row(tag) {
        take_back(row, mark);
    }
}

/// The retransmission timer ran out again, and nothing was heard meanwhile.
#[inline(always)]
pub fn stall(tag: &mut Tag) {
    let Some(row) = row(tag) else { return };
    let mark = swap(tag, Mark(0));
    if !mark.is_open() {
        return;
    }
    if !mark.is_stalled() {
        add_to_stalled(row, mark, 1);
    }
    // Nothing can have begun meanwhile but on another CPU; then that is what is open now.
    take_back(row, swap(tag, mark.stalled()));
}

#[inline(always)]
fn open(tag: &mut Tag, row: *mut InFlightRow, mark: Mark) {
    add_to_begun(row, mark, 1);
    take_back(row, swap(tag, mark));
}

#[inline(always)]
fn take_back(row: *mut InFlightRow, mark: Mark) {
    if !mark.is_open() {
        return;
    }
    add_to_begun(row, mark, MINUS_ONE);
    if mark.is_stalled() {
        add_to_stalled(row, mark, MINUS_ONE);
    }
}

#[inline(always)]
fn add_to_begun(row: *mut InFlightRow, mark: Mark, value: u32) {
    // SAFETY: a row of the in-flight array; the index is masked to the gauges it has.
    unsafe { atomic::add_u32((&raw mut (*row).begun).cast::<u32>().add(mark.index()), value) };
}

#[inline(always)]
fn add_to_stalled(row: *mut InFlightRow, mark: Mark, value: u32) {
    // SAFETY: a row of the in-flight array, whose fields are aligned.
    unsafe {
        if mark.is_waiting() {
            atomic::add_u32(&raw mut (*row).stalled_waiting, value);
        } else {
            atomic::add_u32(&raw mut (*row).stalled_connecting, value);
        }
    }
}

#[inline(always)]
fn swap(tag: &mut Tag, mark: Mark) -> Mark {
    // SAFETY: a field of the socket storage, aligned to eight bytes.
    Mark(unsafe { atomic::exchange(&raw mut tag.in_flight, mark.0) })
}

/// The gauges of the slot a socket is tagged for, if it still has the same tenant.
#[inline(always)]
fn row(tag: &Tag) -> Option<*mut InFlightRow> {
    if is_tenant(tag.slot) { IN_FLIGHT.get_ptr_mut(tag.slot.slot) } else { None }
}

/// Added to an unsigned gauge it takes one away.
const MINUS_ONE: u32 = u32::MAX;
