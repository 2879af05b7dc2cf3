//! Records the kernel sends through the ring: control signals, never measurements.
//!
//! The bytes are untrusted: they are decoded by length and code, and what does not fit is an
//! error the reader counts.

use core::fmt;

use bytemuck::{Pod, Zeroable};

use crate::endpoint::{EndpointKey, SlotRef};

/// One record of the event ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct EventRecord {
    /// One of the `KIND_` codes.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// When it happened.
    pub at_ns: u64,
    /// Discovery: the destination.
    pub key: EndpointKey,
    /// Failure run: the slot.
    pub slot: SlotRef,
    /// Failure run: consecutive failures. Discovery: the process that connects.
    pub value: u64,
}

const _: () = assert!(size_of::<EventRecord>() == 64);

/// One record of the event ring about a refused connect or datagram: the first of each verdict, the first of each
/// process, and one in [`REFUSALS_FOR_EACH_RECORD`] of the rest.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct RefusalRecord {
    /// [`KIND_REFUSED`].
    pub kind: u32,
    /// The process, as its own namespace does not number it.
    pub pid: u32,
    /// When it happened.
    pub at_ns: u64,
    /// The cgroup the process is in, which need not be that of its socket.
    pub cgroup: u64,
    /// Connects to the slot refused so far, or datagrams if it is one, this one included.
    pub refused: u64,
    /// Which slot.
    pub slot: SlotRef,
    /// The destination asked for.
    pub key: EndpointKey,
    /// The address the socket was bound to, as in [`EndpointKey::address`]; zero if to none.
    pub source: [u8; 16],
    /// What the process calls itself, ended by a zero unless it takes all there is.
    pub comm: [u8; 16],
    /// The user.
    pub uid: u32,
    /// Epoch of the verdict.
    pub epoch: u16,
    /// The port the socket was bound to, network order; zero if to none.
    pub source_port: [u8; 2],
    /// The error the call returned.
    pub errno: u8,
    /// One of the `REFUSED_` codes.
    pub why: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

const _: () = assert!(size_of::<RefusalRecord>() == 120);

/// The verdict refuses everything.
pub const REFUSED_OPEN: u8 = 0;
/// Every half-open token was taken.
pub const REFUSED_HALF_OPEN: u8 = 1;
/// It was not this connect's turn to be admitted.
pub const REFUSED_SHARE: u8 = 2;
/// The failures in a row had reached the limit.
pub const REFUSED_BURST: u8 = 3;

/// Of so many refusals that nothing else makes worth telling, one is told.
pub const REFUSALS_FOR_EACH_RECORD: u64 = 128;

/// A destination the policy covers has no slot yet.
pub const KIND_DISCOVERED: u32 = 1;
/// A slot's consecutive failures reached the limit.
pub const KIND_FAILURE_RUN: u32 = 2;
/// A connect was refused.
pub const KIND_REFUSED: u32 = 3;
/// A failure or a slow answer came while the daemon took a rest.
pub const KIND_TROUBLE: u32 = 4;

/// A decoded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A destination the policy covers has no slot yet.
    Discovered {
        /// Whom to assign a slot to.
        key: EndpointKey,
        /// The process that connects.
        pid: u32,
    },
    /// A slot's consecutive failures reached the limit.
    FailureRun {
        /// Which slot.
        slot: SlotRef,
        /// How many in a row.
        failures: u64,
    },
    /// A connect was refused.
    Refused(RefusalRecord),
    /// A failure or a slow answer came while the daemon took a rest.
    Trouble,
}

/// Why a record was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It has this many bytes instead of those of an [`EventRecord`].
    Length(usize),
    /// Its kind is unknown.
    Kind(u32),
    /// Its key names no address family.
    Key,
}

impl Event {
    /// Decodes the bytes of one record.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.starts_with(&KIND_REFUSED.to_ne_bytes()) {
            let refusal = bytemuck::try_pod_read_unaligned(bytes);
            return refusal
                .map(Self::Refused)
                .map_err(|_wrong_size| DecodeError::Length(bytes.len()));
        }
        let record: EventRecord = bytemuck::try_pod_read_unaligned(bytes)
            .map_err(|_wrong_size| DecodeError::Length(bytes.len()))?;
        match record.kind {
            KIND_DISCOVERED if record.key.endpoint().is_none() => Err(DecodeError::Key),
            KIND_DISCOVERED => {
                let pid = u32::try_from(record.value).unwrap_or(0);
                Ok(Self::Discovered { key: record.key, pid })
            }
            KIND_TROUBLE => Ok(Self::Trouble),
            KIND_FAILURE_RUN => Ok(Self::FailureRun { slot: record.slot, failures: record.value }),
            kind => Err(DecodeError::Kind(kind)),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "an event of {length} bytes, which none has")
            }
            Self::Kind(kind) => write!(f, "an event of unknown kind {kind}"),
            Self::Key => write!(f, "a discovery without an address family"),
        }
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_are_read_back() {
        let key = EndpointKey::new(3, "10.0.0.1:5432".parse().unwrap());
        let record = EventRecord { kind: KIND_DISCOVERED, key, value: 7, ..EventRecord::zeroed() };
        let discovery = Event::Discovered { key, pid: 7 };
        assert_eq!(Event::decode(bytemuck::bytes_of(&record)), Ok(discovery));
        let trouble = EventRecord { kind: KIND_TROUBLE, ..record };
        assert_eq!(Event::decode(bytemuck::bytes_of(&trouble)), Ok(Event::Trouble));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let record = EventRecord { kind: 77, ..EventRecord::zeroed() };
        assert_eq!(Event::decode(bytemuck::bytes_of(&record)), Err(DecodeError::Kind(77)));
        assert_eq!(Event::decode(&[1, 2, 3]), Err(DecodeError::Length(3)));
        let no_family = EventRecord { kind: KIND_DISCOVERED, ..EventRecord::zeroed() };
        assert_eq!(Event::decode(bytemuck::bytes_of(&no_family)), Err(DecodeError::Key));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _event = Event::decode(&bytes);
        }

        #[test]
        fn any_full_record_decodes_without_panic(bytes in proptest::collection::vec(any::<u8>(), 64)) {
            let bytes: Vec<u8> = bytes;
            let _event = Event::decode(&bytes);
        }
    }
}
