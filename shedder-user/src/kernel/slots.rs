//! Which endpoint has which slot.
//!
//! Slots are only ever given out in this version of the table; a slot's generation says which
//! tenancy it is in, so that evidence of an earlier tenant is never taken for a later one's.

use std::collections::BTreeMap;

use aya::maps::lpm_trie::Key;
use aya::maps::{HashMap, LpmTrie, MapData, MapError};
use shedder_common::endpoint::{ADDRESS_OFFSET_BITS, EndpointKey, SlotRef};

#[derive(Debug)]
pub(super) struct SlotTable {
    slots: HashMap<MapData, KeyBytes, SlotBytes>,
    destinations: LpmTrie<MapData, KeyBytes, u32>,
    assigned: BTreeMap<EndpointKey, SlotRef>,
    capacity: u32,
}

type KeyBytes = [u8; size_of::<EndpointKey>()];
type SlotBytes = [u8; size_of::<SlotRef>()];

/// Why an endpoint has no slot.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// All are in use.
    #[error("all {0} endpoint slots are in use; raise max_endpoints in [node]")]
    Full(u32),
    /// The kernel refused the entry.
    #[error("the kernel refused an entry of the {map} map: {source}")]
    Map {
        /// Which map.
        map: &'static str,
        /// What it said.
        source: MapError,
    },
}

impl SlotTable {
    pub(super) const fn new(
        slots: HashMap<MapData, KeyBytes, SlotBytes>,
        destinations: LpmTrie<MapData, KeyBytes, u32>,
        capacity: u32,
    ) -> Self {
        Self { slots, destinations, assigned: BTreeMap::new(), capacity }
    }

    /// Chooses a slot for an endpoint; the programs do not see it yet.
    pub(super) fn reserve(&mut self, key: &EndpointKey) -> Result<SlotRef, SlotError> {
        if let Some(slot) = self.assigned.get(key) {
            return Ok(*slot);
        }
        let slot = u32::try_from(self.assigned.len()).unwrap_or(u32::MAX);
        if slot >= self.capacity {
            return Err(SlotError::Full(self.capacity));
        }
        Ok(SlotRef { slot, generation: 1 })
    }

    /// Shows a reserved slot to the programs.
    pub(super) fn publish(&mut self, key: &EndpointKey, slot: SlotRef) -> Result<(), SlotError> {
        let (key_bytes, slot_bytes) =
            (bytemuck::cast::<_, KeyBytes>(*key), bytemuck::cast::<_, SlotBytes>(slot));
        self.slots
            .insert(key_bytes, slot_bytes, 0)
            .map_err(|source| SlotError::Map { map: "SLOTS", source })?;
        self.assigned.insert(*key, slot);
        Ok(())
    }

    pub(super) fn add_destination(&mut self, key: EndpointKey, bits: u32) -> Result<(), SlotError> {
        let key = Key::new(ADDRESS_OFFSET_BITS + bits, bytemuck::cast::<_, KeyBytes>(key));
        self.destinations
            .insert(&key, 1, 0)
            .map_err(|source| SlotError::Map { map: "DESTINATIONS", source })
    }

    pub(super) fn usage(&self) -> (u32, u32) {
        (u32::try_from(self.assigned.len()).unwrap_or(u32::MAX), self.capacity)
    }
}
