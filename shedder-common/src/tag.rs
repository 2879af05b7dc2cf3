//! What the place of a tag tells the daemon. Everything else in it is the programs' own.

use bytemuck::{Pod, Zeroable};

use crate::endpoint::SlotRef;
use crate::in_flight::Mark;

/// A row of the array of tags.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct TagRow {
    /// Cookie of the socket whose place this is; zero while it is nobody's.
    pub owner: u64,
    /// Where its connect went.
    pub slot: SlotRef,
    /// When its SYN left.
    pub started_ns: u64,
    /// The programs' own.
    pub own: [u64; 3],
    /// The [`Mark`] of what is open on it.
    pub in_flight: u64,
    /// The programs' own.
    pub own_further: [u32; 7],
    /// How far its connect has come.
    pub phase: Phase,
    /// The programs' own.
    pub own_after_phase: [u8; 11],
    /// One while the node counts the connect as held.
    pub is_held: u8,
    /// The programs' own.
    pub own_flag: u8,
    /// One once a tag that belonged here was stored with its socket: whoever has no place here is looked for there.
    pub has_overflowed: u8,
    /// The programs' own.
    pub own_last: [u8; 29],
}

const _: () = assert!(size_of::<TagRow>() == 128);

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

impl TagRow {
    /// A place that is nobody's, where sockets that never had it may have stored a tag.
    pub const FREE: Self = Self {
        owner: 0,
        slot: SlotRef { slot: 0, generation: 0 },
        started_ns: 0,
        own: [0; 3],
        in_flight: 0,
        own_further: [0; 7],
        phase: IDLE,
        own_after_phase: [0; 11],
        is_held: 0,
        own_flag: 0,
        has_overflowed: 1,
        own_last: [0; 29],
    };

    /// Whether its programs wait to be told of an end.
    pub const fn is_open(&self) -> bool {
        self.owner != 0 && matches!(self.phase, CONNECTING | ESTABLISHED)
    }

    /// What is open on it.
    pub const fn mark(&self) -> Mark {
        Mark(self.in_flight)
    }
}
