//! Whose call it is, and the slot of what it asks for.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_get_netns_cookie;
use aya_ebpf::programs::SockAddrContext;
use shedder_common::caller::{ASKS_NETWORKS, CallerRow};
use shedder_common::dirty;
use shedder_common::endpoint::{EndpointKey, SlotRef};
use shedder_common::verdict::Verdict;

use crate::atomic;
use crate::maps::{CALLERS, DIRTY, SLOTS};

/// The caller this cgroup belongs to; nothing while the daemon has not said.
#[inline(always)]
pub fn caller() -> Option<CallerRow> {
    // SAFETY: storage of the cgroup the program is attached to; the helper cannot fail.
    let caller = unsafe { *CALLERS.get_ptr_mut() };
    (caller.id != 0).then_some(caller)
}

/// The endpoint's slot: that of the network namespace, if the caller tells them apart, or that of all.
/// The key is left as that of the slot.
#[inline(always)]
pub fn find(ctx: &SockAddrContext, caller: CallerRow, key: &mut EndpointKey) -> Option<SlotRef> {
    if caller.asks & ASKS_NETWORKS != 0 {
        key.network = network(ctx);
        // SAFETY: the value is plain data the daemon replaces as a whole.
        if let Some(&slot) = unsafe { SLOTS.get(*key) } {
            return Some(slot);
        }
        key.network = 0;
    }
    // SAFETY: as above.
    unsafe { SLOTS.get(*key) }.copied()
}

/// The action of a slot, in one load: what the daemon stores meanwhile is seen as a whole or not at all
/// (see [`Verdict::word`]). Without the volatile access the compiler may read it again, or a byte of it.
#[inline(always)]
pub fn word(verdict: &Verdict) -> u64 {
    // SAFETY: an aligned field of a row that stays mapped.
    unsafe { (&raw const verdict.word).read_volatile() }
}

/// Something begins at a slot that the daemon is to look at: a connect, a request, a greeting, or the end of a
/// connection. What follows soon, or while a handshake or request is open, needs no mark of its own: the daemon is
/// looking already.
#[inline(always)]
pub fn mark(slot: u32) {
    let Some(word) = DIRTY.get_ptr_mut(dirty::word(slot)) else { return };
    // SAFETY: a word of the array. It is only written when it has to be, because 64 slots share it.
    unsafe {
        if word.read_volatile() & dirty::bit(slot) == 0 {
            atomic::or(word, dirty::bit(slot));
        }
    }
}

/// The cookie of the network namespace the socket is in.
#[inline(always)]
pub fn network(ctx: &SockAddrContext) -> u64 {
    // SAFETY: the kernel hands over a valid context.
    unsafe { bpf_get_netns_cookie(ctx.as_ptr()) }
}
