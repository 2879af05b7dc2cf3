//! What a socket remembers of its connect, from the decision to its end.
//!
//! It lies in an array, at the place the socket's cookie names. Storage that comes and goes with the socket costs a
//! connect two allocations, as much as everything else together, so it is for those whose place is taken.
//!
//! A tag may be touched on two CPUs at once, by the sender and by the softirq that receives. Such
//! races are benign: they can misjudge one turn of one connection, never write elsewhere.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_sk_storage_get};
use shedder_common::endpoint::SlotRef;
use shedder_common::map::TAG_PLACES;
use shedder_common::tag::{ADMITTED, IDLE, Phase, TagRow};
use shedder_common::verdict::MEASURE_CONNECTS_ONLY;

use crate::evidence::is_tenant;
use crate::maps::{STORED_TAGS, TAGS};
use crate::{atomic, flight, held, node};

/// A value of both maps: two cache lines, of which packets mostly touch the first.
#[repr(C, align(128))]
#[derive(Clone, Copy)]
pub struct Tag {
    /// Cookie of the socket whose place this is; zero while it is nobody's, and in storage.
    owner: u64,
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
    /// One once another socket wanted this place since it was taken.
    is_contested: u8,
    /// One once a tag that belonged here was stored with its socket.
    has_overflowed: u8,
    /// What to measure; see [`shedder_common::verdict::Verdict::measure`].
    pub measure: u16,
}

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

/// A socket, as the context of a program names it.
#[derive(Clone, Copy)]
pub struct Owner {
    context: *mut c_void,
    socket: *mut bpf_sock,
}

impl Owner {
    #[inline(always)]
    pub const fn new(context: *mut c_void, socket: *mut bpf_sock) -> Self {
        Self { context, socket }
    }

    /// A number no other socket has or had; nothing when there is none.
    #[inline(always)]
    fn cookie(self) -> Option<u64> {
        if self.socket.is_null() {
            return None;
        }
        // SAFETY: the context is the kernel's.
        let cookie = unsafe { bpf_get_socket_cookie(self.context) };
        (cookie != 0).then_some(cookie)
    }

    /// The tag kept with the socket itself.
    #[inline(always)]
    fn stored<'a>(self, flags: u64) -> Option<&'a mut Tag> {
        let (map, socket) = ((&raw const STORED_TAGS).cast_mut().cast(), self.socket.cast());
        // SAFETY: map and socket are what the helper asks for; the value is a `Tag` and stays
        // valid while this program runs.
        unsafe { bpf_sk_storage_get(map, socket, ptr::null_mut(), flags).cast::<Tag>().as_mut() }
    }
}

impl Tag {
    /// The tag of a socket, if it has one.
    #[inline(always)]
    pub fn of<'a>(owner: Owner) -> Option<&'a mut Self> {
        let cookie = owner.cookie()?;
        let place = Self::place(cookie)?;
        if place.owner() == cookie {
            return Some(place);
        }
        if place.has_overflowed != 0 { owner.stored(0) } else { None }
    }

    /// The tag of a socket, or a new one, whose fields are anything; nothing when the kernel has no memory.
    #[inline(always)]
    pub fn of_or_new<'a>(owner: Owner) -> Option<&'a mut Self> {
        let cookie = owner.cookie()?;
        let place = Self::place(cookie)?;
        if place.owner() == cookie {
            return Some(place);
        }
        // Two tags would be one too many.
        if place.has_overflowed != 0
            && let Some(tag) = owner.stored(0)
        {
            return Some(tag);
        }
        let other = place.owner();
        if other == 0 || place.is_abandoned() {
            // SAFETY: a field of a row of the array, aligned to eight bytes.
            if unsafe { atomic::compare_exchange(&raw mut place.owner, other, cookie) } {
                place.is_contested = 0;
                return Some(place);
            }
        }
        place.is_contested = 1;
        place.has_overflowed = 1;
        node::count(|node| &raw mut node.stored_tags);
        owner.stored(BPF_SK_STORAGE_GET_F_CREATE.into())
    }

    /// Lets go of an earlier connect on a socket that now goes where nobody looks.
    #[inline(always)]
    pub fn forget(owner: Owner) {
        if let Some(tag) = Self::of(owner) {
            flight::end(tag);
            held::end(tag);
            tag.origin = NO_ORIGIN;
            tag.phase = IDLE;
            tag.hold = HOLD_NONE;
            tag.release();
        }
    }

    /// The socket is closed, and its place free, unless there is something left to give back to the socket.
    #[inline(always)]
    pub fn release(&mut self) {
        if self.own_syn_count == 0 {
            // SAFETY: an aligned field of this tag.
            unsafe { (&raw mut self.owner).write_volatile(0) };
        }
    }

    /// Whether packets say nothing to the policy.
    #[inline(always)]
    pub const fn measures_connects_only(&self) -> bool {
        self.measure & MEASURE_CONNECTS_ONLY != 0
    }

    /// Whether nobody misses this tag, though its socket was never said to be closed. Either its connect did not come
    /// as far as a SYN, and two others have come by since, which are thousands of cookies apart: it failed, or waits
    /// with Fast Open for something to send, and would go unmeasured. Or its slot has another tenant by now, so that
    /// what becomes of it does not count.
    #[inline(always)]
    fn is_abandoned(&self) -> bool {
        if self.is_held != 0 || self.own_syn_count != 0 || self.origin.generation != 0 {
            return false;
        }
        (self.phase == ADMITTED && self.is_contested != 0) || !is_tenant(self.slot)
    }

    #[inline(always)]
    fn owner(&self) -> u64 {
        // SAFETY: an aligned field of this tag, which another CPU may be taking.
        unsafe { (&raw const self.owner).read_volatile() }
    }

    /// Where the tag of the socket with this cookie is, unless it is stored.
    #[inline(always)]
    fn place<'a>(cookie: u64) -> Option<&'a mut Self> {
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        let place = cookie as u32 & (TAG_PLACES - 1);
        // SAFETY: a row of the array, which stays while the program runs.
        unsafe { TAGS.get_ptr_mut(place)?.as_mut() }
    }
}

const _: () = {
    assert!(TAG_PLACES.is_power_of_two());
    assert!(size_of::<Tag>() == size_of::<TagRow>());
    assert!(offset_of!(Tag, owner) == offset_of!(TagRow, owner));
    assert!(offset_of!(Tag, slot) == offset_of!(TagRow, slot));
    assert!(offset_of!(Tag, started_ns) == offset_of!(TagRow, started_ns));
    assert!(offset_of!(Tag, in_flight) == offset_of!(TagRow, in_flight));
    assert!(offset_of!(Tag, phase) == offset_of!(TagRow, phase));
    assert!(offset_of!(Tag, is_held) == offset_of!(TagRow, is_held));
    assert!(offset_of!(Tag, has_overflowed) == offset_of!(TagRow, has_overflowed));
};
