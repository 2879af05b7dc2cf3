//! Telling the daemon of refused connects and datagrams, so that it can say why: the first of each verdict, the first
//! of each process, and a sample of the rest.
//!
//! A slot tells at most one a millisecond for its processes, so that a storm of short-lived ones does
//! not fill the ring.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::generated::bpf_get_current_cgroup_id;
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use shedder_common::counters::SlotCounters;
use shedder_common::endpoint::{EndpointKey, FAMILY_IPV4, PROTOCOL_UDP, SlotRef};
use shedder_common::event::{
    KIND_REFUSED, REFUSALS_FOR_EACH_RECORD, REFUSED_BURST, REFUSED_HALF_OPEN, REFUSED_OPEN,
    REFUSED_SHARE, RefusalRecord,
};
use shedder_common::verdict::{epoch, is_half_open, is_on_burst, is_shared};

use crate::announce::send;
use crate::maps::TOLD;
use crate::settings::now_ns;

/// A connect or datagram that is being refused.
pub struct Refusal<'a> {
    /// With the protocol of the call.
    pub key: &'a EndpointKey,
    pub slot: SlotRef,
    pub word: u64,
    pub errno: u8,
}

/// Tells of a refusal, if it is one to be told.
#[inline(always)]
pub fn tell(refusal: &Refusal<'_>, counters: *mut SlotCounters, socket: *mut bpf_sock) {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let epoch = u32::from(epoch(refusal.word)) + 1;
    let is_datagram = refusal.key.protocol == PROTOCOL_UDP;
    // A process learns of its first refused connect whatever became of its datagrams.
    let whose = [pid, refusal.slot.slot | u32::from(is_datagram) << 31];
    // SAFETY: a row of the counter array. That two CPUs both find a refusal to be the first tells of it
    // twice.
    let (refused, told_epoch, told_ns) = unsafe {
        let refused = if is_datagram {
            &raw const (*counters).datagrams_denied
        } else {
            &raw const (*counters).denied
        };
        (
            refused.read_volatile(),
            (&raw const (*counters).told_epoch).read_volatile(),
            (&raw const (*counters).told_ns).read_volatile(),
        )
    };
    let is_first = told_epoch != u64::from(epoch);
    if !is_first && refused % REFUSALS_FOR_EACH_RECORD != 0 {
        // SAFETY: a plain integer; a concurrent replacement at worst tells twice.
        if unsafe { TOLD.get(whose) }.is_some_and(|told| *told == epoch)
            || now_ns().saturating_sub(told_ns) < PAUSE_NS
        {
            return;
        }
    }
    let now = now_ns();
    // SAFETY: a row of the counter array.
    unsafe {
        (&raw mut (*counters).told_epoch).write_volatile(epoch.into());
        (&raw mut (*counters).told_ns).write_volatile(now);
    }
    if TOLD.insert(whose, epoch, 0).is_err() {
        // Told again with the next.
    }
    let (source, source_port) = source(socket, refusal.key.family);
    #[expect(clippy::cast_possible_truncation, reason = "the user is the lower half")]
    let uid = bpf_get_current_uid_gid() as u32;
    send(RefusalRecord {
        kind: KIND_REFUSED,
        pid,
        at_ns: now,
        // SAFETY: the helper has no precondition.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        refused,
        slot: refusal.slot,
        key: *refusal.key,
        source,
        comm: bpf_get_current_comm().unwrap_or([0; 16]),
        uid,
        epoch: shedder_common::verdict::epoch(refusal.word),
        source_port,
        errno: refusal.errno,
        why: why(refusal.word),
        reserved: [0; 6],
    });
}

#[inline(always)]
const fn why(word: u64) -> u8 {
    if is_on_burst(word) {
        REFUSED_BURST
    } else if is_half_open(word) {
        REFUSED_HALF_OPEN
    } else if is_shared(word) {
        REFUSED_SHARE
    } else {
        REFUSED_OPEN
    }
}

/// What the socket was bound to before it connects, mostly nothing.
#[inline(always)]
fn source(socket: *mut bpf_sock, family: u8) -> ([u8; 16], [u8; 2]) {
    if socket.is_null() {
        return ([0; 16], [0; 2]);
    }
    // SAFETY: the kernel hands over a valid socket; each word is read on its own, as the verifier
    // demands.
    let (words, port) = unsafe {
        let address = (&raw const (*socket).src_ip6).cast::<u32>();
        let words = if family == FAMILY_IPV4 {
            [(*socket).src_ip4, 0, 0, 0]
        } else {
            [
                address.read_volatile(),
                address.add(1).read_volatile(),
                address.add(2).read_volatile(),
                address.add(3).read_volatile(),
            ]
        };
        (words, (*socket).src_port)
    };
    // SAFETY: same size, no padding, any bits are valid.
    let bytes = unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) };
    #[expect(clippy::cast_possible_truncation, reason = "a port")]
    let port = port as u16;
    (bytes, port.to_be_bytes())
}

const PAUSE_NS: u64 = 1_000_000;
