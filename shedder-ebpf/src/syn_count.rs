//! How often a held socket may send its SYN again (`TCP_SYNCNT`).
//!
//! What is borrowed for a hold is given back when the hold is over: the connection is made, or the
//! connect has ended. A socket that was never held costs the look at one byte of its tag.

use aya_ebpf::helpers::generated::{bpf_getsockopt, bpf_setsockopt};
use aya_ebpf::programs::SockOpsContext;

use crate::tag::Tag;

/// The short timer of a hold also counts down the connect timeout of the socket. Allowing one more
/// retransmission for every halving of a second, beyond the socket's own, gives the time back.
#[inline(always)]
pub fn borrow(ctx: &SockOpsContext, tag: &mut Tag) {
    let extra = u32::BITS - (999 / u32::from(tag.hold_ms).max(1)).leading_zeros();
    if extra == 0 {
        return;
    }
    // Before 6.1 programs cannot read the option, and what sockets have by default is assumed.
    let own = read(ctx).unwrap_or(USUAL);
    let held = (own + extra).min(MOST);
    // Where the count cannot be raised, the connect may time out sooner than it would have; the
    // hold itself is unharmed.
    if write(ctx, held) {
        (tag.own_syn_count, tag.held_syn_count) = (byte(own), byte(held));
    }
}

/// Undoes [`borrow`], if that was done. A count the application has chosen meanwhile is its own.
///
/// A socket that never chose one reads as the system's default and cannot be told to follow it
/// again (zero is no count): it keeps that number, even if the default changes later.
#[inline(always)]
pub fn give_back(ctx: &SockOpsContext, tag: &mut Tag) {
    if tag.own_syn_count == 0 {
        return;
    }
    let held = u32::from(tag.held_syn_count);
    if read(ctx).unwrap_or(held) == held {
        // The kernel has taken the greater count before, so it takes this one.
        write(ctx, u32::from(tag.own_syn_count));
    }
    tag.own_syn_count = 0;
}

/// The count in force, one to [`MOST`]; nothing where the kernel does not tell.
#[inline(always)]
fn read(ctx: &SockOpsContext) -> Option<u32> {
    let mut count: u32 = 0;
    // SAFETY: room for an integer of the length given, for an option that is one.
    let result = unsafe {
        bpf_getsockopt(
            ctx.ops.cast(),
            IPPROTO_TCP,
            TCP_SYNCNT,
            (&raw mut count).cast(),
            OPTION_BYTES,
        )
    };
    (result == 0 && (1..=MOST).contains(&count)).then_some(count)
}

/// Whether the kernel took the count, one to [`MOST`].
#[inline(always)]
fn write(ctx: &SockOpsContext, mut count: u32) -> bool {
    // SAFETY: an integer of the length given, for an option that takes one.
    let result = unsafe {
        bpf_setsockopt(
            ctx.ops.cast(),
            IPPROTO_TCP,
            TCP_SYNCNT,
            (&raw mut count).cast(),
            OPTION_BYTES,
        )
    };
    result == 0
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "no count is greater than MOST")]
fn byte(count: u32) -> u8 {
    count as u8
}

const IPPROTO_TCP: i32 = 6;
const TCP_SYNCNT: i32 = 7;
const OPTION_BYTES: i32 = 4;
const USUAL: u32 = 6;
const MOST: u32 = 127;
