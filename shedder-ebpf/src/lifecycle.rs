//! sockops: a tagged connection from its SYN to its end.
//!
//! The reply is written for `TIMEOUT_INIT` alone, and only while a hold is pending: that value
//! also scales the whole connect timeout of the socket.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_RETRANS_CB_FLAG,
    BPF_SOCK_OPS_RTO_CB, BPF_SOCK_OPS_RTO_CB_FLAG, BPF_SOCK_OPS_STATE_CB,
    BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_SOCK_OPS_TIMEOUT_INIT,
    BPF_TCP_CLOSE, BPF_TCP_CLOSE_WAIT, BPF_TCP_FIN_WAIT1, bpf_sock,
};
use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use aya_ebpf::programs::SockOpsContext;
use aya_log_ebpf::debug;
use shedder_common::histogram::HistogramKind;

use crate::atomic;
use crate::evidence::{Outcome, measure, record, rows};
use crate::maps::NODE;
use crate::settings::{is_debug, now_ns, sk_err_offset};
use crate::tag::{ADMITTED, CONNECTING, ESTABLISHED, HOLD_NONE, HOLD_PENDING, IDLE, Tag};

#[inline(always)]
pub fn advance(ctx: &SockOpsContext) {
    match ctx.op() {
        BPF_SOCK_OPS_TIMEOUT_INIT => answer_timeout(ctx),
        BPF_SOCK_OPS_TCP_CONNECT_CB => begin(ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => establish(ctx),
        BPF_SOCK_OPS_RETRANS_CB => retransmit(ctx),
        BPF_SOCK_OPS_RTO_CB => note_expiry(ctx),
        BPF_SOCK_OPS_STATE_CB => change_state(ctx),
        _ => {}
    }
}

/// The SYN's retransmission timer is the hold.
#[inline(always)]
fn answer_timeout(ctx: &SockOpsContext) {
    if NODE.get(0).is_none_or(|node| node.holds == 0) {
        return;
    }
    if let Some(tag) = Tag::of(socket(ctx))
        && tag.hold == HOLD_PENDING
    {
        ctx.set_reply(tag.hold_jiffies);
    }
}

#[inline(always)]
fn begin(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(socket(ctx)) else { return };
    if tag.phase != ADMITTED {
        // The tag is of an earlier connect on this socket, to a destination that had a slot.
        tag.phase = IDLE;
        return;
    }
    tag.phase = CONNECTING;
    tag.started_ns = now_ns();
    let mut wanted = BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG;
    if sk_err_offset() == 0 {
        wanted |= BPF_SOCK_OPS_RTO_CB_FLAG;
    }
    // The byte is shared with every other program on the path: add to it, never replace it.
    if ctx.set_cb_flags((ctx.cb_flags() | wanted).cast_signed()).is_err() {
        // An old kernel lacks one of them: what it would have told stays uncounted.
    }
}

#[inline(always)]
fn establish(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(socket(ctx)) else { return };
    if tag.phase != CONNECTING {
        return;
    }
    tag.phase = ESTABLISHED;
    let Some(rows) = rows(tag) else { return };
    // SAFETY: a row of the counter array.
    unsafe { atomic::add(&raw mut (*rows.counters).established, 1) };
    if tag.hold == HOLD_NONE {
        let elapsed_ns = now_ns().saturating_sub(tag.started_ns);
        measure(tag.slot.slot, HistogramKind::Connect, elapsed_ns);
    }
}

#[inline(always)]
fn retransmit(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(socket(ctx)) else { return };
    if tag.phase != CONNECTING || tag.hold != HOLD_NONE {
        return;
    }
    if let Some(rows) = rows(tag) {
        // SAFETY: a row of the counter array.
        unsafe { atomic::add(&raw mut (*rows.counters).syn_retransmits, 1) };
    }
}

/// Only asked for where `sk_err` cannot be read: the third argument says that the last timer of
/// the handshake ran out.
#[inline(always)]
fn note_expiry(ctx: &SockOpsContext) {
    let Some(tag) = Tag::of(socket(ctx)) else { return };
    if tag.phase == CONNECTING && ctx.arg(2) != 0 {
        end(tag, Outcome::TimedOut);
    }
}

/// Most changes of state say nothing: they leave before the socket is asked for its tag.
#[inline(always)]
fn change_state(ctx: &SockOpsContext) {
    let state = ctx.arg(1);
    if !matches!(state, BPF_TCP_CLOSE | BPF_TCP_CLOSE_WAIT | BPF_TCP_FIN_WAIT1) {
        return;
    }
    let Some(tag) = Tag::of(socket(ctx)) else { return };
    if tag.phase != CONNECTING && tag.phase != ESTABLISHED {
        return;
    }
    match state {
        BPF_TCP_FIN_WAIT1 => tag.closing_ns = now_ns(),
        // The peer hangs up where an answer is due.
        BPF_TCP_CLOSE_WAIT if tag.is_waiting != 0 => end(tag, Outcome::Reset),
        BPF_TCP_CLOSE_WAIT => tag.is_peer_closed = 1,
        _ => {
            let outcome = outcome_at_close(ctx, tag);
            if is_debug() {
                debug!(ctx, "close slot {} phase {}", tag.slot.slot, tag.phase);
            }
            end(tag, outcome);
        }
    }
}

/// Counts the last outcome of a connection.
#[inline(always)]
fn end(tag: &mut Tag, outcome: Outcome) {
    let is_turn = tag.is_waiting != 0;
    let was_answered = tag.phase == ESTABLISHED && tag.has_answered != 0 && !is_turn;
    tag.phase = IDLE;
    // Whatever ends an idle connection that had its answers is no outcome of a turn.
    if was_answered {
        return;
    }
    let outcome = if is_turn && tag.is_peer_closed != 0 { after_hangup(tag) } else { outcome };
    let Some(rows) = rows(tag) else { return };
    let epoch = if is_turn { tag.turn_epoch } else { tag.epoch };
    if outcome != Outcome::Abandoned || tag.hold == HOLD_PENDING {
        return record(tag, &rows, epoch, outcome);
    }
    let waited_ns = waited_ns(tag);
    if waited_ns < rows.verdict.caller_timeout_ns {
        return record(tag, &rows, epoch, outcome);
    }
    // The caller gave up, but only after long enough: that is what a timeout looks like from here,
    // and the answer would have been at least this slow.
    if is_turn && tag.turns_to_skip == 0 {
        measure(tag.slot.slot, HistogramKind::Response, waited_ns);
    }
    record(tag, &rows, epoch, Outcome::TimedOut);
}

/// The outcome of a request sent after the peer had hung up: a kept connection used once too often
/// is the caller's doing, one that never had an answer is the peer's.
#[inline(always)]
fn after_hangup(tag: &Tag) -> Outcome {
    if tag.has_answered != 0 { Outcome::Abandoned } else { Outcome::Reset }
}

/// How long the caller has waited, for the handshake or an answer, until it began to close.
#[inline(always)]
fn waited_ns(tag: &Tag) -> u64 {
    let since = if tag.is_waiting != 0 { tag.last_out_ns } else { tag.started_ns };
    let until = if tag.closing_ns != 0 { tag.closing_ns } else { now_ns() };
    until.saturating_sub(since)
}

/// What the end of a connection means, before the caller's patience is considered.
#[inline(always)]
fn outcome_at_close(ctx: &SockOpsContext, tag: &Tag) -> Outcome {
    let is_connecting = tag.phase == CONNECTING;
    match error(ctx) {
        Some(0) if is_connecting || tag.is_waiting != 0 => Outcome::Abandoned,
        Some(0) => Outcome::IdleClose,
        Some(ECONNREFUSED) => Outcome::Refused,
        Some(ETIMEDOUT) => Outcome::TimedOut,
        Some(EHOSTUNREACH | ENETUNREACH) => Outcome::Unreachable,
        Some(ECONNRESET | EPIPE) => Outcome::Reset,
        // ECONNABORTED is an administrator, or us, destroying the socket; others are local.
        Some(_) => Outcome::Abandoned,
        // The stated fallback: a reset is the only segment a failed handshake receives; the rest
        // looks alike.
        None if is_connecting && segments_in(ctx) != 0 => Outcome::Refused,
        None if is_connecting || tag.is_waiting != 0 => Outcome::Abandoned,
        None => Outcome::IdleClose,
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
fn socket(ctx: &SockOpsContext) -> *mut bpf_sock {
    // SAFETY: the kernel hands over a valid context.
    unsafe { (*ctx.ops).__bindgen_anon_2.sk }
}

#[inline(always)]
fn segments_in(ctx: &SockOpsContext) -> u32 {
    // SAFETY: the kernel hands over a valid context.
    unsafe { (*ctx.ops).segs_in }
}

const EPIPE: u32 = 32;
const ENETUNREACH: u32 = 101;
const ECONNRESET: u32 = 104;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;
const EHOSTUNREACH: u32 = 113;
