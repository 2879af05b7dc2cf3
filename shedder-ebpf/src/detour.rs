//! What a UDP socket remembers of its last redirect, so that what comes back is shown as coming from
//! whom it asked.
//!
//! One word, read and written as a whole: a socket may send on several CPUs at once.

use core::ptr;

use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use shedder_common::endpoint::SlotRef;

use crate::maps::DETOURS;

/// The socket-storage value: the slot asked for, plus one, above the slot it went to. Zero: none.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Detour(u64);

impl Detour {
    /// The slot that was asked for, and the one it went to.
    #[inline(always)]
    pub fn of(socket: *mut bpf_sock) -> Option<(u32, u32)> {
        // SAFETY: storage of this socket, valid while the program runs.
        let word = unsafe { Self::lookup(socket, 0)?.read_volatile().0 };
        let origin = ((word >> 32) as u32).checked_sub(1)?;
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let target = word as u32;
        Some((origin, target))
    }

    /// Notes a redirect; whether there was memory for it.
    #[inline(always)]
    pub fn note(socket: *mut bpf_sock, origin: SlotRef, target: SlotRef) -> bool {
        let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        let Some(place) = Self::lookup(socket, create) else { return false };
        let word = (u64::from(origin.slot) + 1) << 32 | u64::from(target.slot);
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
            if place.read_volatile().0 & 0xffff_ffff == u64::from(asked.slot) {
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
