//! Names and sizes of the maps, as the object file declares them.

/// Hash: [`crate::endpoint::EndpointKey`] → [`crate::endpoint::SlotRef`].
pub const SLOTS: &str = "SLOTS";
/// Prefix trie over [`crate::endpoint::EndpointKey`]: the destinations the policy covers,
/// [`crate::endpoint::DESTINATION_SHARED`] or [`crate::endpoint::DESTINATION_OF_NETWORK`].
pub const DESTINATIONS: &str = "DESTINATIONS";
/// Recently announced destinations, so that each is announced once in a while only.
pub const ANNOUNCED: &str = "ANNOUNCED";
/// Which refusals were told, by process and slot.
pub const TOLD: &str = "TOLD";
/// Mappable array of [`crate::verdict::Verdict`] by slot.
pub const VERDICTS: &str = "VERDICTS";
/// Mappable array of [`crate::counters::SlotCounters`] by slot.
pub const COUNTERS: &str = "COUNTERS";
/// Mappable array of [`crate::histogram::HistogramRow`] by [`crate::histogram::row`].
pub const HISTOGRAMS: &str = "HISTOGRAMS";
/// Mappable array of [`crate::histogram::HistogramRow`] by slot: round-trip times. It has one row where
/// no rule asks for them.
pub const ROUND_TRIPS: &str = "ROUND_TRIPS";
/// Mappable array of [`crate::in_flight::InFlightRow`] by slot.
pub const IN_FLIGHT: &str = "IN_FLIGHT";
/// Mappable array of [`crate::endpoint::RedirectTarget`] by the slot of the target.
pub const REDIRECTS: &str = "REDIRECTS";
/// Mappable array with the one [`crate::counters::NodeRow`].
pub const NODE: &str = "NODE";
/// Mappable array of [`crate::breaker::BreakerRow`] by slot; no program looks at it.
pub const BREAKERS: &str = "BREAKERS";
/// Array of [`crate::tag::TagRow`]: what is known of the connects of sockets.
pub const TAGS: &str = "TAGS";
/// As [`TAGS`], kept with the sockets whose place there is taken.
pub const STORED_TAGS: &str = "STORED_TAGS";
/// UDP sockets that were redirected; the layout is the programs' own.
pub const DETOURS: &str = "DETOURS";
/// Mappable array of words, of [`crate::dirty`].
pub const DIRTY: &str = "DIRTY";
/// Ring of [`crate::event::EventRecord`].
pub const EVENTS: &str = "EVENTS";
/// The [`crate::caller::CallerRow`] of each attached cgroup.
pub const CALLERS: &str = "CALLERS";

/// The maps that outlive a daemon whose programs are to stay.
pub const KEPT: [&str; 16] = [
    SLOTS,
    DESTINATIONS,
    VERDICTS,
    COUNTERS,
    HISTOGRAMS,
    ROUND_TRIPS,
    IN_FLIGHT,
    REDIRECTS,
    BREAKERS,
    DIRTY,
    NODE,
    EVENTS,
    CALLERS,
    TAGS,
    STORED_TAGS,
    DETOURS,
];

/// Slots an object has unless the loader asks for another number.
pub const DEFAULT_SLOTS: u32 = 4096;
/// The most slots a loader may ask for.
pub const MAX_SLOTS: u32 = 65_536;
/// Connections whose tags need no memory of their own, as long as no two of their cookies name the same place.
/// Cookies are numbers in turn, so that a place is taken only by what was connected long ago. A power of two.
pub const TAG_PLACES: u32 = 16_384;
/// Bytes of the event ring.
pub const EVENT_RING_BYTES: u32 = 256 * 1024;
/// Entries of the destination trie.
pub const DESTINATION_ENTRIES: u32 = 16_384;
