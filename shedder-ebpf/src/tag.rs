//! What a socket remembers of its connect, from the decision to its end.
//!
//! A tag may be touched on two CPUs at once, by the sender and by the softirq that receives. Such
//! races are benign: they can misjudge one turn of one connection, never write elsewhere.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use shedder_common::endpoint::SlotRef;
use shedder_common::verdict::MEASURE_CONNECTS_ONLY;

use crate::maps::TAGS;
use crate::{flight, held};

/// The socket-storage value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tag {
    pub slot: SlotRef,
    /// When the SYN left; zero before.
    pub started_ns: u64,
    /// When the last new request byte left.
    pub last_out_ns: u64,
    /// When the caller began to close; zero before.
    pub closing_ns: u64,
    /// Until when the SYN is held, less what the timer may fire early.
    pub hold_until_ns: u64,
    /// The [`shedder_common::in_flight::Mark`] of what is open.
    pub in_flight: u64,
    /// Segments with data that were counted.
    pub segments_seen: u32,
    /// For a redirected connect: the slot of the endpoint it was meant for; else [`NO_ORIGIN`].
    pub origin: SlotRef,
    /// The sequence number after the last request byte sent.
    pub sent_end: u32,
    /// The sequence number after the last byte of an answer.
    pub received_end: u32,
    /// How long the SYN is held, in jiffies.
    pub hold_jiffies: u32,
    /// Epoch of the verdict the connect was decided by.
    pub epoch: u16,
    /// Epoch of the verdict in force when the present turn began.
    pub turn_epoch: u16,
    pub phase: Phase,
    pub hold: Hold,
    /// One while the result of a half-open probe is awaited.
    pub is_probe: u8,
    /// One while a request has been sent and no answer has come.
    pub is_waiting: u8,
    /// One once any payload has arrived.
    pub has_answered: u8,
    /// Turns still to pass unmeasured.
    pub turns_to_skip: u8,
    /// One once the peer has said that it will send no more.
    pub is_peer_closed: u8,
    /// One once an outcome was counted.
    pub has_outcome: u8,
    /// The socket's own SYN count while a hold has borrowed it, else zero. Of the socket and not of
    /// one connect: a new connect leaves it to be given back.
    pub own_syn_count: u8,
    /// The SYN count of the hold meanwhile.
    pub held_syn_count: u8,
    /// How long the SYN is held, in milliseconds.
    pub hold_ms: u16,
    /// One while the node counts the connect as held.
    pub is_held: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// What to measure; see [`shedder_common::verdict::Verdict::measure`].
    pub measure: u16,
}

/// How far a tagged connect has come. An integer, because the storage starts as zeros.
pub type Phase = u8;
/// No connect of ours, or one that has ended.
pub const IDLE: Phase = 0;
const _: () = assert!(IDLE == 0);
/// Admitted; the kernel has not yet chosen port and route.
pub const ADMITTED: Phase = 1;
/// The SYN is on its way.
pub const CONNECTING: Phase = 2;
/// The handshake is complete.
pub const ESTABLISHED: Phase = 3;

/// Of a connect that went where it was meant to. What the storage starts as.
pub const NO_ORIGIN: SlotRef = SlotRef { slot: 0, generation: 0 };

/// Whether and how the SYN of this connect is held.
pub type Hold = u8;
/// Not held.
pub const HOLD_NONE: Hold = 0;
/// Held until its time has come.
pub const HOLD_PENDING: Hold = 1;
/// Was held; its timing says nothing about the endpoint.
pub const HOLD_PASSED: Hold = 2;

impl Tag {
    /// The tag of a socket, if it has one.
    #[inline(always)]
    pub fn of<'a>(socket: *mut bpf_sock) -> Option<&'a mut Self> {
        Self::lookup(socket.cast(), 0)
    }

    /// The tag of a socket, made of zeros if it has none; nothing when the kernel has no memory.
    #[inline(always)]
    pub fn of_or_new<'a>(socket: *mut bpf_sock) -> Option<&'a mut Self> {
        Self::lookup(socket.cast(), u64::from(BPF_SK_STORAGE_GET_F_CREATE))
    }

    /// Lets go of an earlier connect on a socket that now goes where nobody looks.
    #[inline(always)]
    pub fn forget(socket: *mut bpf_sock) {
        if let Some(tag) = Self::of(socket) {
            flight::end(tag);
            held::end(tag);
            tag.origin = NO_ORIGIN;
            tag.phase = IDLE;
            tag.hold = HOLD_NONE;
        }
    }

    /// Whether packets say nothing to the policy.
    #[inline(always)]
    pub const fn measures_connects_only(&self) -> bool {
        self.measure & MEASURE_CONNECTS_ONLY != 0
    }

    #[inline(always)]
    fn lookup<'a>(socket: *mut c_void, flags: u64) -> Option<&'a mut Self> {
        if socket.is_null() {
            return None;
        }
        let map = (&raw const TAGS).cast_mut().cast();
        // SAFETY: map and socket are what the helper asks for; the value is a `Tag` and stays
        // valid while this program runs.
        unsafe { bpf_sk_storage_get(map, socket, ptr::null_mut(), flags).cast::<Self>().as_mut() }
    }
}
