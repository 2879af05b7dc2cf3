//! What the programs remember of connects, looked at from outside.
//!
//! Invariant: a place is given back only while it is still that of the socket that was looked at.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use aya::maps::{Array, IterableMap as _, Map, MapData, MapError};
use shedder_common::endpoint::SlotRef;
use shedder_common::in_flight::Mark;
use shedder_common::map::TAG_PLACES;
use shedder_common::tag::{ESTABLISHED, TagRow};
use shedder_common::time::Monotonic;

/// The places of tags, for any thread to look at.
#[derive(Clone)]
pub struct Tags(Arc<Places>);

type Places = Array<MapData, RowBytes>;
type RowBytes = [u8; size_of::<TagRow>()];

/// A connection that the programs take to be open, as it was when it was looked at.
#[derive(Clone, Copy, Debug)]
pub struct OpenTag {
    place: u32,
    row: TagRow,
}

impl Tags {
    /// The connections whose SYN left before `before` and that the programs take to be open. Looks at every place,
    /// which takes some milliseconds.
    pub fn open(&self, before: Monotonic) -> Result<Vec<OpenTag>, MapError> {
        let mut open = Vec::new();
        for place in 0..TAG_PLACES {
            let row = row(&self.0, place)?;
            if row.is_open() && row.started_ns < before.as_nanos() {
                open.push(OpenTag { place, row });
            }
        }
        Ok(open)
    }
}

impl OpenTag {
    /// The number of its socket, which no other socket of the node ever has.
    pub const fn cookie(&self) -> u64 {
        self.row.owner
    }

    pub(super) const fn slot(&self) -> SlotRef {
        self.row.slot
    }

    pub(super) const fn is_established(&self) -> bool {
        self.row.phase == ESTABLISHED
    }

    pub(super) const fn is_held(&self) -> bool {
        self.row.is_held != 0
    }

    pub(super) const fn mark(&self) -> Mark {
        self.row.mark()
    }
}

/// The places of tags, for the one thread that gives places back.
pub(super) struct TagPlaces {
    shared: Tags,
    own: Places,
}

impl TagPlaces {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        let shared = Places::try_from(map)?;
        let own = shared.map().fd().as_fd().try_clone_to_owned()?;
        let own = Places::try_from(Map::Array(MapData::from_fd(own)?))?;
        Ok(Self { shared: Tags(Arc::new(shared)), own })
    }

    pub(super) fn shared(&self) -> Tags {
        self.shared.clone()
    }

    /// Frees the place of a connection that has ended. False when it is no longer its place.
    ///
    /// Programs may note meanwhile that the place is wanted, which the new row says anyway. They give it to
    /// nobody else, as long as its slot keeps its tenant.
    pub(super) fn release(&mut self, tag: &OpenTag) -> Result<bool, MapError> {
        let row = row(&self.own, tag.place)?;
        if (row.owner, row.phase) != (tag.row.owner, tag.row.phase) {
            return Ok(false);
        }
        self.own.set(tag.place, bytemuck::cast::<_, RowBytes>(TagRow::FREE), 0)?;
        Ok(true)
    }
}

impl std::fmt::Debug for Tags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tags").finish_non_exhaustive()
    }
}

fn row(places: &Places, place: u32) -> Result<TagRow, MapError> {
    places.get(&place, 0).map(bytemuck::cast)
}
