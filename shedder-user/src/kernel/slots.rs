//! Which endpoint has which slot.
//!
//! A slot's generation says which tenancy it is in, so that evidence of an earlier tenant is never
//! taken for a later one's. A slot rests before it is given out again: a program that looked it up
//! for its earlier tenant has long ended then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use aya::maps::lpm_trie::Key;
use aya::maps::{HashMap, LpmTrie, MapData, MapError};
use shedder_common::endpoint::{ADDRESS_OFFSET_BITS, EndpointKey, SlotRef};
use shedder_common::time::Monotonic;

#[derive(Debug)]
pub(super) struct SlotTable {
    slots: HashMap<MapData, KeyBytes, SlotBytes>,
    destinations: LpmTrie<MapData, KeyBytes, u32>,
    /// Endpoints the programs have announced, and when.
    heard_of: HashMap<MapData, KeyBytes, u64>,
    /// Networks the programs announce connects to, with the lengths of their prefixes.
    announced: BTreeSet<(EndpointKey, u32)>,
    assigned: BTreeMap<EndpointKey, SlotRef>,
    /// Those of them, and networks, that an earlier daemon left and nobody has asked for yet.
    left: BTreeSet<EndpointKey>,
    left_announced: BTreeSet<(EndpointKey, u32)>,
    /// Slots without a tenant and since when, longest first.
    resting: VecDeque<(SlotRef, Monotonic)>,
    /// The first slot that never had a tenant.
    untouched: u32,
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
    /// What is left is for others.
    #[error(
        "caller {0} has as many endpoints found in networks as there are slots left for all callers; raise max_endpoints in [node]"
    )]
    Shared(String),
    /// What an earlier daemon left cannot be.
    #[error("what an earlier shedder left about slot {0} makes no sense")]
    Nonsense(u32),
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
        heard_of: HashMap<MapData, KeyBytes, u64>,
        capacity: u32,
    ) -> Self {
        Self {
            slots,
            destinations,
            heard_of,
            announced: BTreeSet::new(),
            assigned: BTreeMap::new(),
            left: BTreeSet::new(),
            left_announced: BTreeSet::new(),
            resting: VecDeque::new(),
            untouched: 0,
            capacity,
        }
    }

    /// Takes over what an earlier daemon has left in the maps. `generation` tells of each slot its last
    /// tenancy, zero for none.
    pub(super) fn adopt(
        &mut self,
        generation: impl Fn(u32) -> u32,
        now: Monotonic,
    ) -> Result<(), SlotError> {
        let slots = |source| SlotError::Map { map: "SLOTS", source };
        for entry in &self.slots {
            let (key, slot) = entry.map_err(slots)?;
            let (key, slot): (EndpointKey, SlotRef) = (bytemuck::cast(key), bytemuck::cast(slot));
            if slot.slot >= self.capacity || slot.generation != generation(slot.slot) {
                return Err(SlotError::Nonsense(slot.slot));
            }
            self.assigned.insert(key, slot);
        }
        let taken: BTreeSet<u32> = self.assigned.values().map(|slot| slot.slot).collect();
        if taken.len() < self.assigned.len() {
            return Err(SlotError::Nonsense(self.capacity));
        }
        self.left = self.assigned.keys().copied().collect();
        for slot in (0..self.capacity).filter(|slot| !taken.contains(slot)) {
            if generation(slot) != 0 {
                self.resting.push_back((SlotRef { slot, generation: generation(slot) }, now));
            }
        }
        let touched = (0..self.capacity).rev().find(|slot| generation(*slot) != 0);
        self.untouched = touched.map_or(0, |slot| slot + 1);
        for prefix in self.destinations.keys() {
            let prefix = prefix.map_err(|source| SlotError::Map { map: "DESTINATIONS", source })?;
            let bits = prefix.prefix_len().saturating_sub(ADDRESS_OFFSET_BITS);
            self.left_announced.insert((bytemuck::cast(prefix.data()), bits));
        }
        Ok(())
    }

    /// The slot an endpoint had under an earlier daemon, the first time it is asked for.
    pub(super) fn take_left(&mut self, key: &EndpointKey) -> Option<SlotRef> {
        self.left.remove(key).then(|| self.assigned.get(key).copied()).flatten()
    }

    /// The endpoints nobody has asked for yet.
    pub(super) fn left(&self) -> Vec<(EndpointKey, SlotRef)> {
        self.left.iter().filter_map(|key| Some((*key, *self.assigned.get(key)?))).collect()
    }

    /// Takes out of the trie what an earlier daemon announced and this one has not.
    pub(super) fn drop_left_announced(&mut self) -> Result<(), SlotError> {
        while let Some((key, bits)) = self.left_announced.pop_first() {
            self.destinations
                .remove(&prefix(key, bits))
                .map_err(|source| SlotError::Map { map: "DESTINATIONS", source })?;
        }
        Ok(())
    }

    /// Takes a slot for an endpoint; the programs do not see it yet.
    pub(super) fn reserve(
        &mut self,
        key: &EndpointKey,
        now: Monotonic,
    ) -> Result<SlotRef, SlotError> {
        if let Some(slot) = self.assigned.get(key) {
            return Ok(*slot);
        }
        if let Some((slot, _)) = self.resting.pop_front_if(|(_, since)| now.since(*since) >= REST) {
            // Zero is never a tenant.
            let generation = slot.generation.checked_add(1).unwrap_or(1);
            return Ok(SlotRef { generation, ..slot });
        }
        let slot = self.untouched;
        if slot >= self.capacity {
            return Err(SlotError::Full(self.capacity));
        }
        self.untouched += 1;
        Ok(SlotRef { slot, generation: 1 })
    }

    /// Takes back a slot that was reserved and could not be published.
    pub(super) fn release(&mut self, slot: SlotRef, now: Monotonic) {
        self.resting.push_back((slot, now));
    }

    /// Hides an endpoint's slot from the programs and takes it back; the slot, if it had one.
    pub(super) fn withdraw(
        &mut self,
        key: &EndpointKey,
        now: Monotonic,
    ) -> Result<Option<SlotRef>, SlotError> {
        let Some(slot) = self.assigned.get(key).copied() else { return Ok(None) };
        let key_bytes = bytemuck::cast::<_, KeyBytes>(*key);
        self.slots.remove(&key_bytes).map_err(|source| SlotError::Map { map: "SLOTS", source })?;
        // Most were never announced, and what is left makes room by itself.
        drop(self.heard_of.remove(&key_bytes));
        self.assigned.remove(key);
        self.left.remove(key);
        self.release(slot, now);
        Ok(Some(slot))
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

    pub(super) fn add_destination(
        &mut self,
        key: EndpointKey,
        bits: u32,
        kind: u32,
    ) -> Result<(), SlotError> {
        self.destinations
            .insert(&prefix(key, bits), kind, 0)
            .map_err(|source| SlotError::Map { map: "DESTINATIONS", source })?;
        self.announced.insert((key, bits));
        self.left_announced.remove(&(key, bits));
        Ok(())
    }

    pub(super) fn remove_destination(
        &mut self,
        key: EndpointKey,
        bits: u32,
    ) -> Result<(), SlotError> {
        if self.announced.contains(&(key, bits)) {
            self.destinations
                .remove(&prefix(key, bits))
                .map_err(|source| SlotError::Map { map: "DESTINATIONS", source })?;
            self.announced.remove(&(key, bits));
        }
        Ok(())
    }

    pub(super) fn announced(&self) -> usize {
        self.announced.len()
    }

    pub(super) fn usage(&self) -> (u32, u32) {
        (u32::try_from(self.assigned.len()).unwrap_or(u32::MAX), self.capacity)
    }

    /// Slots that can be given out at once.
    pub(super) fn free(&self, now: Monotonic) -> usize {
        let rested = self.resting.partition_point(|(_, since)| now.since(*since) >= REST);
        rested + (self.capacity - self.untouched) as usize
    }
}

fn prefix(key: EndpointKey, bits: u32) -> Key<KeyBytes> {
    Key::new(ADDRESS_OFFSET_BITS + bits, bytemuck::cast::<_, KeyBytes>(key))
}

/// Far longer than a program runs.
const REST: Duration = Duration::from_secs(2);
