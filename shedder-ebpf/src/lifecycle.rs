//! sockops: a tagged connection from its SYN to its end.
//!
//! The reply is written for `TIMEOUT_INIT` alone, and only while a hold is pending: that value
//! also scales the whole connect timeout of the socket.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_RETRANS_CB_FLAG,
    BPF_SOCK_OPS_RTO_CB, BPF_SOCK_OPS_RTO_CB_FLAG, BPF_SOCK_OPS_RTT_CB, BPF_SOCK_OPS_RTT_CB_FLAG,
    BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
    BPF_SOCK_OPS_TIMEOUT_INIT, BPF_TCP_CLOSE, BPF_TCP_CLOSE_WAIT, BPF_TCP_CLOSING,
    BPF_TCP_FIN_WAIT1, BPF_TCP_FIN_WAIT2, BPF_TCP_TIME_WAIT, bpf_sock,
};
use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use aya_ebpf::programs::SockOpsContext;
use aya_log_ebpf::debug;
use shedder_common::ending::{self, End, Life, Outcome};
use shedder_common::histogram::HistogramKind;
use shedder_common::in_flight::Kind;
use shedder_common::tag::{ADMITTED, CONNECTING, ESTABLISHED, IDLE};
use shedder_common::verdict::{self, MEASURE_RTT};

use crate::evidence::{Rows, is_tenant, measure, measure_round_trip, note_fallback, record, rows};
use crate::maps::NODE;
use crate::settings::{is_debug, now_ns, sk_err_offset};
use crate::tag::{HOLD_NONE, HOLD_PENDING, NO_ORIGIN, Owner, Tag};
use crate::{atomic, flight, held, slot, syn_count};

#[inline(always)]
pub fn advance(ctx: &SockOpsContext) {
    match ctx.op() {
        BPF_SOCK_OPS_TIMEOUT_INIT => answer_timeout(ctx),
        BPF_SOCK_OPS_TCP_CONNECT_CB => begin(ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => establish(ctx),
        BPF_SOCK_OPS_RETRANS_CB => retransmit(ctx),
        BPF_SOCK_OPS_RTO_CB => note_expiry(ctx),
        BPF_SOCK_OPS_RTT_CB => note_round_trip(ctx),
        BPF_SOCK_OPS_STATE_CB => change_state(ctx),
        _ => {}
    }
}

/// The SYN's retransmission timer is the hold.
#[inline(always)]
fn answer_timeout(ctx: &SockOpsContext) {
    if NODE.get(0).is_none_or(|node| node.max_held == 0) {
        return;
    }
    if let Some(tag) = Tag::of(owner(ctx))
        && tag.hold == HOLD_PENDING
        && tag.phase == CONNECTING
    {
        ctx.set_reply(tag.hold_jiffies);
    }
}

#[inline(always)]
fn begin(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(owner(ctx)) else { return };
    // Still borrowed where the end of an earlier hold was not told.
    syn_count::give_back(ctx, tag);
    if tag.phase != ADMITTED {
        // The tag is of an earlier connect on this socket, to a destination that had a slot.
        held::end(tag);
        tag.phase = IDLE;
        tag.hold = HOLD_NONE;
        return;
    }
    if tag.hold == HOLD_PENDING {
        held::begin(tag);
    }
    if tag.hold == HOLD_PENDING {
        syn_count::borrow(ctx, tag);
    }
    tag.phase = CONNECTING;
    tag.started_ns = now_ns();
    if tag.hold == HOLD_NONE {
        let started_ns = tag.started_ns;
        flight::begin(tag, Kind::Connecting, started_ns);
    }
    let mut wanted =
        BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG;
    if tag.measure & MEASURE_RTT != 0 {
        wanted |= BPF_SOCK_OPS_RTT_CB_FLAG;
    }
    // The byte is shared with every other program on the path: add to it, never replace it.
    if ctx.set_cb_flags((ctx.cb_flags() | wanted).cast_signed()).is_err() {
        // An old kernel lacks one of them: what it would have told stays uncounted.
    }
}

#[inline(always)]
fn establish(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(owner(ctx)) else { return };
    if tag.phase != CONNECTING {
        return;
    }
    tag.phase = ESTABLISHED;
    if tag.is_waiting == 0 {
        flight::end(tag);
    } else {
        let asked_ns = tag.last_out_ns;
        flight::begin(tag, Kind::Waiting, asked_ns);
    }
    syn_count::give_back(ctx, tag);
    if tag.origin.generation != NO_ORIGIN.generation {
        note_fallback(tag.origin, now_ns().saturating_sub(tag.started_ns));
    }
    let Some(rows) = rows(tag) else { return };
    // SAFETY: a row of the counter array.
    unsafe { atomic::add(&raw mut (*rows.counters).established, 1) };
    if tag.hold == HOLD_NONE && tag.epoch == verdict::epoch(rows.verdict.word) {
        let elapsed_ns = now_ns().saturating_sub(tag.started_ns);
        measure(tag.slot.slot, HistogramKind::Connect, elapsed_ns);
    }
    if tag.measures_connects_only() {
        // All there is to know: what comes after is not looked at.
        tag.has_answered = 1;
        let epoch = tag.epoch;
        record(tag, &rows, epoch, Outcome::IdleClose);
    }
}

#[inline(always)]
fn retransmit(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(owner(ctx)) else { return };
    let Some(rows) = rows(tag) else { return };
    slot::mark(tag.slot.slot);
    if tag.phase == ESTABLISHED {
        // The third argument is an error: nothing was sent.
        if ctx.arg(2) == 0 {
            // SAFETY: a row of the counter array.
            unsafe { atomic::add(&raw mut (*rows.counters).retransmits, ctx.arg(1).into()) };
            count_segments(ctx, tag, &rows);
        }
    } else if tag.phase == CONNECTING && tag.hold == HOLD_NONE {
        // SAFETY: a row of the counter array.
        unsafe { atomic::add(&raw mut (*rows.counters).syn_retransmits, 1) };
    }
}

/// Counts what was sent since it was last counted, here rather than packet by packet: a share of
/// segments sent again is of interest when one is.
#[inline(always)]
fn count_segments(ctx: &SockOpsContext, tag: &mut Tag, rows: &Rows) {
    // SAFETY: the kernel hands over a valid context.
    let sent = unsafe { (*ctx.ops).data_segs_out };
    let new = sent.wrapping_sub(tag.segments_seen);
    tag.segments_seen = sent;
    // SAFETY: a row of the counter array.
    unsafe { atomic::add(&raw mut (*rows.counters).segments, new.into()) };
}

/// Only asked for where a rule wants to know. It comes with every acknowledgement that is timed.
#[inline(always)]
fn note_round_trip(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(owner(ctx)) else { return };
    // During the handshake of a held connect the hold would be measured.
    if tag.phase != ESTABLISHED || !is_tenant(tag.slot) {
        return;
    }
    // SAFETY: the kernel hands over a valid context. The smoothed time is kept in eighths of a µs.
    let smoothed_us = unsafe { (*ctx.ops).srtt_us } >> 3;
    slot::mark(tag.slot.slot);
    measure_round_trip(tag.slot.slot, u64::from(smoothed_us) * 1000);
}

/// The retransmission timer ran out. The first argument says how often it had before, the third
/// that it was the last time, which is all there is to know where `sk_err` cannot be read.
#[inline(always)]
fn note_expiry(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(owner(ctx)) else { return };
    if sk_err_offset() == 0 && tag.phase == CONNECTING && ctx.arg(2) != 0 {
        return finish(tag, End::TimedOut, now_ns());
    }
    // The timer of a hold is no sign of anything.
    let expected = u32::from(tag.hold != HOLD_NONE);
    if ctx.arg(0) > expected {
        flight::stall(tag);
    }
}

/// Most changes of state say nothing: they leave before the socket is asked for its tag.
#[inline(always)]
fn change_state(ctx: &SockOpsContext) {
    let state = ctx.arg(1);
    if !matches!(state, BPF_TCP_CLOSE | BPF_TCP_CLOSE_WAIT | BPF_TCP_FIN_WAIT1) {
        return;
    }
    let Some(tag) = Tag::of(owner(ctx)) else { return };
    syn_count::give_back(ctx, tag);
    if matches!(tag.phase, CONNECTING | ESTABLISHED) {
        note_state(ctx, tag, state);
    }
    if state == BPF_TCP_CLOSE {
        tag.release();
    }
}

#[inline(always)]
fn note_state(ctx: &SockOpsContext, tag: &mut Tag, state: u32) {
    match state {
        BPF_TCP_FIN_WAIT1 => tag.closing_ns = now_ns(),
        BPF_TCP_CLOSE_WAIT if tag.is_waiting != 0 => {
            count_traffic(ctx, tag);
            finish(tag, End::HungUp, now_ns());
        }
        BPF_TCP_CLOSE_WAIT => tag.is_peer_closed = 1,
        _ => {
            if is_debug() {
                debug!(ctx, "close slot {} phase {}", tag.slot.slot, tag.phase);
            }
            // A socket that has left FIN_WAIT2 was only half closed, or closed a moment ago.
            count_traffic(ctx, tag);
            let is_closing = tag.closing_ns != 0 && ctx.arg(0) != BPF_TCP_FIN_WAIT2;
            let until = if is_closing { tag.closing_ns } else { now_ns() };
            finish(tag, end(ctx, tag), until);
        }
    }
}

/// Counts what an established connection has carried, at its end.
#[inline(always)]
fn count_traffic(ctx: &SockOpsContext, tag: &mut Tag) {
    if tag.phase != ESTABLISHED {
        return;
    }
    let Some(rows) = rows(tag) else { return };
    count_segments(ctx, tag, &rows);
    // SAFETY: the kernel hands over a valid context; a row of the counter array.
    unsafe {
        // The kernel counts the SYN as a byte that was acknowledged.
        let bytes_acked = (*ctx.ops).bytes_acked.saturating_sub(1);
        atomic::add(&raw mut (*rows.counters).bytes_out, bytes_acked);
        atomic::add(&raw mut (*rows.counters).bytes_in, (*ctx.ops).bytes_received);
        // The side that closes first keeps the port in TIME_WAIT.
        if matches!(ctx.arg(0), BPF_TCP_FIN_WAIT2 | BPF_TCP_CLOSING | BPF_TCP_TIME_WAIT) {
            atomic::add(&raw mut (*rows.counters).time_waits, 1);
        }
    }
}

/// Counts the last outcome of a connection whose caller waited `until`.
#[inline(always)]
fn finish(tag: &mut Tag, end: End, until: u64) {
    // A request that left with the SYN is part of the attempt until there is a connection.
    let is_turn = tag.phase == ESTABLISHED && tag.is_waiting != 0;
    let since = if is_turn { tag.last_out_ns } else { tag.started_ns };
    let life = Life {
        is_connecting: tag.phase == CONNECTING,
        is_held: tag.hold == HOLD_PENDING,
        is_waiting: is_turn,
        has_answered: tag.has_answered != 0,
        has_outcome: tag.has_outcome != 0,
        is_peer_closed: tag.is_peer_closed != 0,
        waited_ns: until.saturating_sub(since),
    };
    let was_established = tag.phase == ESTABLISHED;
    tag.phase = IDLE;
    tag.hold = HOLD_NONE;
    flight::end(tag);
    held::end(tag);
    let Some(rows) = rows(tag) else { return };
    slot::mark(tag.slot.slot);
    if was_established {
        // SAFETY: a row of the counter array.
        unsafe { atomic::add(&raw mut (*rows.counters).ended, 1) };
    }
    let Some(outcome) = ending::outcome(&life, end, rows.verdict.caller_timeout_ns) else { return };
    let epoch = if is_turn { tag.turn_epoch } else { tag.epoch };
    // The answer nobody waited for would have been at least this slow.
    if is_turn
        && outcome == Outcome::TimedOut
        && tag.turns_to_skip == 0
        && epoch == verdict::epoch(rows.verdict.word)
    {
        measure(tag.slot.slot, HistogramKind::Response, life.waited_ns);
    }
    record(tag, &rows, epoch, outcome);
}

/// What the kernel says of the end.
#[inline(always)]
fn end(ctx: &SockOpsContext, tag: &Tag) -> End {
    match error(ctx) {
        Some(0) => End::Closed,
        Some(ECONNREFUSED) => End::Refused,
        Some(ETIMEDOUT) => End::TimedOut,
        Some(EHOSTUNREACH | ENETUNREACH | EHOSTDOWN | ENONET | EACCES | ENOPROTOOPT) => {
            End::Unreachable
        }
        Some(ECONNRESET | EPIPE) => End::Reset,
        // ECONNABORTED is an administrator, or us, destroying the socket; others are local.
        Some(_) => End::Local,
        // The stated fallback: a reset is the only segment a failed handshake receives; the rest
        // looks alike.
        None if tag.phase == CONNECTING && segments_in(ctx) != 0 => End::Refused,
        None => End::Closed,
    }
}

/// `sk_err` of the socket; nothing when the loader could not find where it lies.
#[inline(always)]
fn error(ctx: &SockOpsContext) -> Option<u32> {
    let offset = sk_err_offset();
    if offset == 0 {
        return None;
    }
    let socket = socket(ctx);
    if socket.is_null() {
        return Some(0);
    }
    // SAFETY: the helper returns null or a `tcp_sock`, which begins with the `sock` whose layout
    // the offset was read from.
    unsafe {
        let tcp = bpf_skc_to_tcp_sock(socket.cast());
        if tcp.is_null() {
            return Some(0);
        }
        #[expect(clippy::cast_ptr_alignment, reason = "the offset of an aligned field")]
        let error = tcp.cast::<u8>().add(offset as usize).cast::<u32>();
        Some(error.read_volatile())
    }
}

#[inline(always)]
fn owner(ctx: &SockOpsContext) -> Owner {
    Owner::new(ctx.ops.cast(), socket(ctx))
}

#[inline(always)]
fn socket(ctx: &SockOpsContext) -> *mut bpf_sock {
    // SAFETY: the kernel hands over a valid context.
    unsafe { (*ctx.ops).__bindgen_anon_2.sk }
}

#[inline(always)]
fn segments_in(ctx: &SockOpsContext) -> u32 {
    // SAFETY: the kernel hands over a valid context.
    unsafe { (*ctx.ops).segs_in }
}

// What ICMP errors become on a socket, and what TCP sets itself.
const EACCES: u32 = 13;
const EPIPE: u32 = 32;
const ENONET: u32 = 64;
const ENOPROTOOPT: u32 = 92;
const ENETUNREACH: u32 = 101;
const ECONNRESET: u32 = 104;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;
const EHOSTDOWN: u32 = 112;
const EHOSTUNREACH: u32 = 113;
