//! Telling the daemon, through the ring, what it cannot wait a tick for.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::programs::SockAddrContext;
use shedder_common::caller::{ASKS_QUIET, CallerRow};
use shedder_common::endpoint::{ADDRESS_OFFSET_BITS, DESTINATION_OF_NETWORK, EndpointKey, SlotRef};
use shedder_common::event::{EventRecord, KIND_DISCOVERED, KIND_FAILURE_RUN, KIND_TROUBLE};

use aya_ebpf::maps::lpm_trie::Key;

use crate::maps::{ANNOUNCED, DESTINATIONS, EVENTS, NODE};
use crate::settings::now_ns;
use crate::{atomic, node, slot};

/// Announces a destination without a slot if the policy covers it and there is room for it, at most once
/// in a while.
#[inline(always)]
pub fn discovery(ctx: &SockAddrContext, caller: CallerRow, key: &mut EndpointKey) {
    if caller.asks & ASKS_QUIET != 0 {
        return;
    }
    if NODE.get(0).is_none_or(|node| node.networks == 0) {
        return;
    }
    match DESTINATIONS.get(Key::new(ADDRESS_OFFSET_BITS + 128, *key)) {
        None => return,
        Some(&DESTINATION_OF_NETWORK) => key.network = slot::network(ctx),
        Some(_) => {}
    }
    let now = now_ns();
    // SAFETY: a plain integer; a concurrent replacement at worst announces twice.
    if let Some(&last) = unsafe { ANNOUNCED.get(*key) }
        && now.saturating_sub(last) < ANNOUNCE_INTERVAL_NS
    {
        return;
    }
    if ANNOUNCED.insert(*key, now, 0).is_err() {
        // Announced again with the next connect; the daemon ignores what it knows.
    }
    node::count(|node| &raw mut node.discoveries);
    send(EventRecord {
        kind: KIND_DISCOVERED,
        reserved: 0,
        at_ns: now,
        key: *key,
        slot: SlotRef { slot: 0, generation: 0 },
        value: bpf_get_current_pid_tgid() >> 32,
    });
}

/// Announces that a slot's consecutive failures reached their limit.
#[inline(always)]
pub fn failure_run(slot: SlotRef, failures: u64) {
    of_slot(KIND_FAILURE_RUN, slot, failures);
}

/// Wakes a daemon that takes a rest: something is not well.
#[inline(always)]
pub fn trouble(slot: SlotRef) {
    let Some(node) = NODE.get_ptr_mut(0) else { return };
    // SAFETY: the one row of the node array, whose fields are aligned. It is read first, because failures come in
    // numbers and only one of them is told.
    unsafe {
        let is_calm = &raw mut (*node).is_calm;
        if is_calm.read_volatile() == 0 || atomic::exchange(is_calm, 0) == 0 {
            return;
        }
    }
    of_slot(KIND_TROUBLE, slot, 0);
}

#[inline(always)]
fn of_slot(kind: u32, slot: SlotRef, value: u64) {
    let (at_ns, key) = (now_ns(), EndpointKey::NONE);
    send(EventRecord { kind, reserved: 0, at_ns, key, slot, value });
}

#[inline(always)]
pub fn send<T: 'static>(record: T) {
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        return node::count(|node| &raw mut node.events_lost);
    };
    entry.write(record);
    entry.submit(0);
}

const ANNOUNCE_INTERVAL_NS: u64 = 100_000_000;
