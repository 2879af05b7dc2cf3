//! Every map, with what happens when it is full.
//!
//! The arrays are mapped into the daemon: it reads counters and writes verdicts by memory access.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, LpmTrie, LruHashMap, RingBuf};
use shedder_common::breaker::BreakerRow;
use shedder_common::caller::CallerRow;
use shedder_common::counters::{NodeRow, SlotCounters};
use shedder_common::dirty;
use shedder_common::endpoint::{EndpointKey, RedirectTarget, SlotRef};
use shedder_common::histogram::{HISTOGRAM_KINDS, HistogramRow};
use shedder_common::in_flight::InFlightRow;
use shedder_common::map::{DEFAULT_SLOTS, DESTINATION_ENTRIES, EVENT_RING_BYTES, TAG_PLACES};
use shedder_common::verdict::Verdict;

use crate::detour::Detour;
use crate::tag::Tag;

/// Written by the daemon only. A hash, because an endpoint is 32 bytes wide. Full: the daemon
/// cannot add the endpoint, says so, and its connects pass.
#[map]
pub static SLOTS: HashMap<EndpointKey, SlotRef> = HashMap::with_max_entries(DEFAULT_SLOTS, 0);

/// Written by the daemon only. Full: the daemon refuses the policy.
#[map]
pub static DESTINATIONS: LpmTrie<EndpointKey, u32> =
    LpmTrie::with_max_entries(DESTINATION_ENTRIES, BPF_F_NO_PREALLOC);

/// Full: the oldest announcement is forgotten and may be repeated.
#[map]
pub static ANNOUNCED: LruHashMap<EndpointKey, u64> = LruHashMap::with_max_entries(4096, 0);

/// The epoch of the last refusal told of a process at a slot, datagrams apart from connects. Full: the oldest is forgotten and may be
/// told again.
#[map]
pub static TOLD: LruHashMap<[u32; 2], u32> = LruHashMap::with_max_entries(4096, 0);

#[map]
pub static VERDICTS: Array<Verdict> = Array::with_max_entries(DEFAULT_SLOTS, BPF_F_MMAPABLE);

#[map]
pub static COUNTERS: Array<SlotCounters> = Array::with_max_entries(DEFAULT_SLOTS, BPF_F_MMAPABLE);

#[map]
pub static HISTOGRAMS: Array<HistogramRow> =
    Array::with_max_entries(DEFAULT_SLOTS * HISTOGRAM_KINDS, BPF_F_MMAPABLE);

/// One row where no rule asks for round-trip times.
#[map]
pub static ROUND_TRIPS: Array<HistogramRow> =
    Array::with_max_entries(DEFAULT_SLOTS, BPF_F_MMAPABLE);

#[map]
pub static IN_FLIGHT: Array<InFlightRow> = Array::with_max_entries(DEFAULT_SLOTS, BPF_F_MMAPABLE);

#[map]
pub static REDIRECTS: Array<RedirectTarget> =
    Array::with_max_entries(DEFAULT_SLOTS, BPF_F_MMAPABLE);

/// The daemon's own notes, kept here so that they are there for the next one.
#[map]
pub static BREAKERS: Array<BreakerRow> = Array::with_max_entries(DEFAULT_SLOTS, BPF_F_MMAPABLE);

/// Which slots the daemon is to look at.
#[map]
pub static DIRTY: Array<u64> = Array::with_max_entries(dirty::words(DEFAULT_SLOTS), BPF_F_MMAPABLE);

#[map]
pub static NODE: Array<NodeRow> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Jiffies and nanoseconds, read together.
#[map]
pub static CLOCKS: Array<[u64; 2]> = Array::with_max_entries(1, 0);

/// Full: the event is dropped and counted; it is raised again with the next connect or failure.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_RING_BYTES, 0);

/// The caller, kept with each cgroup the connect and sendmsg programs are attached to; nobody until
/// the daemon has stored it. Of all ways to know the caller it is the only one without a lookup.
#[map]
#[expect(deprecated, reason = "its successor cannot be read in connect programs before 6.2")]
pub static CALLERS: aya_ebpf::maps::CgroupStorage<CallerRow> = aya_ebpf::maps::CgroupStorage::new();

/// The tags of sockets, each at the place its cookie names. Taken by another: the tag is stored with its socket.
#[map]
pub static TAGS: Array<Tag> = Array::with_max_entries(TAG_PLACES, BPF_F_MMAPABLE);

/// Tags that found their place taken. Ends with its socket, so it cannot fill up. No memory: the connect passes
/// unmeasured, counted.
#[btf_map]
pub static STORED_TAGS: SkStorage<Tag> = SkStorage::new();

/// Of UDP sockets that were redirected. Ends with its socket. No memory: the datagram goes where it was
/// sent, counted.
#[btf_map]
pub static DETOURS: SkStorage<Detour> = SkStorage::new();
