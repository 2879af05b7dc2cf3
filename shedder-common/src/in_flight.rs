//! What has begun and not ended, by when it began: a ring of gauges for each slot.
//!
//! A start adds one to the gauge of its moment, its end takes the same one back, so the daemon knows
//! how many wait and for how long without anything having to end first.

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

/// Moments the ring tells apart.
pub const MOMENTS: usize = 32;

/// One row of the in-flight array. Gauges: they go up and down, and are zero when nothing is open.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct InFlightRow {
    /// Handshakes by their [`moment`], then requests by theirs.
    pub begun: [u32; 2 * MOMENTS],
    /// Handshakes whose retransmission timer has run out twice.
    pub stalled_connecting: u32,
    /// Requests that nothing was heard of while the retransmission timer ran out twice.
    pub stalled_waiting: u32,
    /// Zero.
    pub reserved: [u32; 14],
}

const _: () = assert!(size_of::<InFlightRow>() == 320);

impl InFlightRow {
    /// The row of a slot in which nothing is open.
    pub const CLEAR: Self = Self {
        begun: [0; 2 * MOMENTS],
        stalled_connecting: 0,
        stalled_waiting: 0,
        reserved: [0; 14],
    };

    /// Handshakes open.
    pub fn connecting(&self) -> u64 {
        sum(&self.begun[..MOMENTS])
    }

    /// Requests open.
    pub fn waiting(&self) -> u64 {
        sum(&self.begun[MOMENTS..])
    }
}

fn sum(gauges: &[u32]) -> u64 {
    gauges.iter().map(|gauge| u64::from(*gauge)).sum()
}

/// What is open on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A handshake.
    Connecting,
    /// A request without an answer.
    Waiting,
}

/// What a socket remembers of what it has open; zero is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u64);

impl Mark {
    /// Begun at `at_ns`.
    #[inline(always)]
    pub const fn new(kind: Kind, at_ns: u64) -> Self {
        let of_kind = match kind {
            Kind::Connecting => 0,
            Kind::Waiting => WAITING,
        };
        Self(OPEN | of_kind | moment(at_ns))
    }

    /// Where it is counted in [`InFlightRow::begun`].
    #[inline(always)]
    pub const fn index(self) -> usize {
        (self.0 & INDEX_MASK) as usize
    }

    /// Whether something is open.
    #[inline(always)]
    pub const fn is_open(self) -> bool {
        self.0 & OPEN != 0
    }

    /// Whether a request is open.
    #[inline(always)]
    pub const fn is_waiting(self) -> bool {
        self.0 & WAITING != 0
    }

    /// Whether it is counted as stalled as well.
    #[inline(always)]
    pub const fn is_stalled(self) -> bool {
        self.0 & STALLED != 0
    }

    /// Where in an [`InFlightRow`] it is counted, in bytes.
    pub const fn gauges(self) -> [Option<usize>; 2] {
        if !self.is_open() {
            return [None, None];
        }
        let begun = offset_of!(InFlightRow, begun) + self.index() * size_of::<u32>();
        let stalled = match (self.is_stalled(), self.is_waiting()) {
            (false, _) => None,
            (true, true) => Some(offset_of!(InFlightRow, stalled_waiting)),
            (true, false) => Some(offset_of!(InFlightRow, stalled_connecting)),
        };
        [Some(begun), stalled]
    }

    /// The same, stalled.
    #[inline(always)]
    #[must_use]
    pub const fn stalled(self) -> Self {
        Self(self.0 | STALLED)
    }
}

/// The place in the ring of what begins at `at_ns`.
#[inline(always)]
pub const fn moment(at_ns: u64) -> u64 {
    at_ns >> MOMENT_BITS & (MOMENTS as u64 - 1)
}

/// How long a moment is, in nanoseconds: about a quarter of a second.
pub const MOMENT_NS: u64 = 1 << MOMENT_BITS;

const MOMENT_BITS: u32 = 28;
const WAITING: u64 = MOMENTS as u64;
const INDEX_MASK: u64 = 2 * MOMENTS as u64 - 1;
const STALLED: u64 = 1 << 8;
const OPEN: u64 = 1 << 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_moments_have_places_of_their_own() {
        let begun = |kind, moments: u64| Mark::new(kind, moments * MOMENT_NS).index();
        assert_eq!(begun(Kind::Connecting, 0), 0);
        assert_eq!(begun(Kind::Connecting, 31), 31);
        assert_eq!(begun(Kind::Waiting, 0), 32);
        assert_eq!(begun(Kind::Waiting, 33), 33, "the ring comes round");
    }

    #[test]
    fn what_is_open_is_known_by_its_mark() {
        let mark = Mark::new(Kind::Waiting, 7 * MOMENT_NS);
        assert!(mark.is_open() && mark.is_waiting() && !mark.is_stalled());
        let stalled = mark.stalled();
        assert!(stalled.is_stalled() && stalled.index() == mark.index());
        assert!(!Mark(0).is_open());
        assert!(!Mark::new(Kind::Connecting, 0).is_waiting());
    }
}
