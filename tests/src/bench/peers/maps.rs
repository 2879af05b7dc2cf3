//! The maps of a daemon, as the kernel has them: what they take, and their rows as memory.
//!
//! Invariant: a map is found by the daemon's own descriptors, of maps and of programs that use them, and
//! nothing is ever written to one.
#![expect(unsafe_code, reason = "reads memory that daemon and kernel write")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::offset_of;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData, MapInfo, loaded_maps};
use aya::programs::loaded_programs;
use memmap2::{MmapOptions, MmapRaw};
use shedder_common::endpoint::{EndpointKey, SlotRef};
use shedder_common::map;

/// The rows of an array, mapped read-only. A look at one is no system call.
#[derive(Debug)]
pub(super) struct Rows {
    memory: MmapRaw,
    bytes: usize,
}

impl Rows {
    /// Of the map of this name that the daemon with this process number has open.
    pub(super) fn of(pid: u32, name: &str) -> Result<Self> {
        let info = find(pid, name)?;
        let bytes = usize::try_from(info.value_size())? * usize::try_from(info.max_entries())?;
        let memory = MmapOptions::new()
            .len(bytes)
            .map_raw_read_only(info.fd()?.as_fd().as_raw_fd())
            .with_context(|| format!("map {name} cannot be mapped"))?;
        Ok(Self { memory, bytes })
    }

    /// Eight bytes as they are at this moment, `offset` bytes from the first row. Fails outside the
    /// map and between two words.
    pub(super) fn word(&self, offset: usize) -> Result<Word<'_>> {
        let is_inside = offset.checked_add(size_of::<u64>()).is_some_and(|end| end <= self.bytes);
        ensure!(
            is_inside && offset.is_multiple_of(align_of::<u64>()),
            "there is no word at {offset}"
        );
        Ok(Word { rows: self, offset })
    }
}

/// A word of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a> {
    rows: &'a Rows,
    offset: usize,
}

impl Word<'_> {
    /// What it says now.
    pub(super) fn load(self) -> u64 {
        let word: *mut u64 = self.rows.memory.as_mut_ptr().wrapping_add(self.offset).cast();
        // SAFETY: an aligned word inside the mapping (checked when this was made), which others write
        // atomically only. It is only loaded, which memory mapped read-only allows.
        unsafe { AtomicU64::from_ptr(word) }.load(Ordering::Acquire)
    }
}

/// The slots of IPv4 endpoints, of a daemon that has one caller.
pub(super) fn slots(pid: u32) -> Result<BTreeMap<SocketAddrV4, u32>> {
    let map = Map::from_map_data(MapData::from_id(find(pid, map::SLOTS)?.id())?)?;
    let map: HashMap<MapData, [u8; size_of::<EndpointKey>()], [u8; size_of::<SlotRef>()]> =
        HashMap::try_from(map)?;
    map.iter()
        .map(|entry| {
            let (key, slot) = entry?;
            let port = u16::from_be_bytes(bytes(&key, offset_of!(EndpointKey, port))?);
            let address: [u8; 4] = bytes(&key, offset_of!(EndpointKey, address))?;
            let slot = u32::from_ne_bytes(bytes(&slot, offset_of!(SlotRef, slot))?);
            Ok((SocketAddrV4::new(Ipv4Addr::from(address), port), slot))
        })
        .collect()
}

/// Bytes the kernel accounts to all maps of a daemon together.
pub(super) fn bytes_of_maps(pid: u32) -> Result<u64> {
    let mut own = own_ids(pid)?;
    let verdicts = find(pid, map::VERDICTS)?;
    // No program looks at the breakers' rows, and the daemon has them as memory only. Of those of this size they
    // are the ones made nearest to the others.
    let near = *own.first().with_context(|| format!("process {pid} has no maps"))?;
    let breakers = loaded_maps()
        .filter_map(Result::ok)
        .filter(|map| {
            map.name_as_str() == Some(map::BREAKERS) && map.max_entries() == verdicts.max_entries()
        })
        .min_by_key(|map| map.id().abs_diff(near));
    let breakers = breakers.context("the breakers' rows are not found")?;
    let mut bytes = 0;
    own.insert(breakers.id());
    for id in own {
        let map = MapInfo::from_id(id)?.fd()?;
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd()))?;
        bytes += number(&text, "memlock:").context("the kernel does not tell what maps take")?;
    }
    Ok(bytes)
}

fn find(pid: u32, name: &str) -> Result<MapInfo> {
    let own = own_ids(pid)?;
    loaded_maps()
        // Maps of others come and go while the list is read.
        .filter_map(Result::ok)
        .find(|map| own.contains(&map.id()) && map.name_as_str() == Some(name))
        .with_context(|| format!("process {pid} has no map {name}"))
}

/// The maps a process has open, and those of the programs it has open: what it has as memory needs no
/// descriptor.
fn own_ids(pid: u32) -> Result<BTreeSet<u32>> {
    let (mut maps, mut programs) = (BTreeSet::new(), BTreeSet::new());
    let listed = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    for entry in listed.context("the daemon's descriptors cannot be listed")? {
        // Descriptors come and go while they are looked at.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        if let Some(id) = number(&text, "map_id:") {
            maps.insert(u32::try_from(id)?);
        }
        if let Some(id) = number(&text, "prog_id:") {
            programs.insert(u32::try_from(id)?);
        }
    }
    let own = loaded_programs().filter_map(Result::ok);
    for program in own.filter(|program| programs.contains(&program.id())) {
        maps.extend(program.map_ids()?.context("the kernel does not tell the maps of programs")?);
    }
    ensure!(!maps.is_empty(), "process {pid} has no maps");
    Ok(maps)
}

fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn bytes<const N: usize>(row: &[u8], offset: usize) -> Result<[u8; N]> {
    let bytes = row.get(offset..offset + N).context("a row is too short")?;
    Ok(bytes.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_says_which_map_it_is_and_what_that_takes() {
        let text = "pos:\t0\nmap_type:\t2\nmap_id:\t17\nmemlock:\t266240\n";
        assert_eq!((number(text, "map_id:"), number(text, "memlock:")), (Some(17), Some(266_240)));
        assert_eq!(number("pos:\t0\n", "map_id:"), None);
    }
}
