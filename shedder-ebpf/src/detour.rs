//! What a UDP socket remembers of its last redirect, so that what comes back is shown as coming from
//! whom it asked.
//!
//! One word, read and written as a whole: a socket may send on several CPUs at once.

use core::ptr;

use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use shedder_common::endpoint::SlotRef;
use shedder_common::map::MAX_SLOTS;

use crate::maps::DETOURS;

/// The socket-storage value: from the lowest bit on the slot it went to, the slot asked for, plus one, and as many bits of
/// the generation of that as there is room for. Zero: none.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Detour(u64);

/// Whom a socket asked for.
pub struct Asked {
    pub slot: u32,
    generation: u64,
}

impl Asked {
    /// Whether the slot is still theirs.
    #[inline(always)]
    pub const fn is(&self, tenant: SlotRef) -> bool {
        tenant.generation as u64 & GENERATION_MASK == self.generation
    }
}

impl Detour {
    /// Who was asked for, and the slot it went to.
    #[inline(always)]
    pub fn of(socket: *mut bpf_sock) -> Option<(Asked, u32)> {
        // SAFETY: storage of this socket, valid while the program runs.
        let word = unsafe { Self::lookup(socket, 0)?.read_volatile().0 };
        let slot = (word >> ASKED_SHIFT & ASKED_MASK).checked_sub(1)?;
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        let (slot, target) = (slot as u32, (word & TARGET_MASK) as u32);
        Some((Asked { slot, generation: word >> GENERATION_SHIFT }, target))
    }

    /// Notes a redirect; whether there was memory for it.
    #[inline(always)]
    pub fn note(socket: *mut bpf_sock, origin: SlotRef, target: SlotRef) -> bool {
        let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        let Some(place) = Self::lookup(socket, create) else { return false };
        let word = u64::from(origin.generation) << GENERATION_SHIFT
            | (u64::from(origin.slot) + 1) << ASKED_SHIFT
            | u64::from(target.slot);
        // SAFETY: storage of this socket, valid while the program runs.
        unsafe { place.write_volatile(Self(word)) };
        true
    }

    /// Forgets a redirect to a slot that is now asked for itself.
    #[inline(always)]
    pub fn forget(socket: *mut bpf_sock, asked: SlotRef) {
        let Some(place) = Self::lookup(socket, 0) else { return };
        // SAFETY: storage of this socket, valid while the program runs.
        unsafe {
            if place.read_volatile().0 & TARGET_MASK == u64::from(asked.slot) {
                place.write_volatile(Self(0));
            }
        }
    }

    #[inline(always)]
    fn lookup(socket: *mut bpf_sock, flags: u64) -> Option<*mut Self> {
        if socket.is_null() {
            return None;
        }
        let map = (&raw const DETOURS).cast_mut().cast();
        // SAFETY: map and socket are what the helper asks for.
        let place = unsafe { bpf_sk_storage_get(map, socket.cast(), ptr::null_mut(), flags) };
        (!place.is_null()).then_some(place.cast())
    }
}

const ASKED_SHIFT: u32 = 16;
const GENERATION_SHIFT: u32 = 33;
const TARGET_MASK: u64 = (1 << ASKED_SHIFT) - 1;
const ASKED_MASK: u64 = (1 << (GENERATION_SHIFT - ASKED_SHIFT)) - 1;
const GENERATION_MASK: u64 = (1 << (u64::BITS - GENERATION_SHIFT)) - 1;
const _: () = assert!(MAX_SLOTS as u64 == TARGET_MASK + 1);
