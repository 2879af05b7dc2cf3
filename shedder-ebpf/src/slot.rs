//! Whose call it is, and the slot of what it asks for.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_get_netns_cookie;
use aya_ebpf::programs::SockAddrContext;
use shedder_common::caller::{ASKS_NETWORKS, CallerRow};
use shedder_common::endpoint::{EndpointKey, SlotRef};

use crate::maps::{CALLERS, SLOTS};

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

/// The cookie of the network namespace the socket is in.
#[inline(always)]
pub fn network(ctx: &SockAddrContext) -> u64 {
    // SAFETY: the kernel hands over a valid context.
    unsafe { bpf_get_netns_cookie(ctx.as_ptr()) }
}
