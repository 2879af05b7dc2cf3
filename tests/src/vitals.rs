//! What the daemon holds and takes: descriptors, memory, processor time, entries of maps.
//!
//! Invariant: all of it is the kernel's word, not the daemon's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::offset_of;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData, MapInfo, loaded_maps};
use shedder_common::endpoint::{EndpointKey, SlotRef};
use shedder_common::map;
use shedder_common::tag::TagRow;

/// Taken at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Vitals {
    /// Open files.
    pub descriptors: usize,
    /// Memory that is not swapped out.
    pub resident_kib: u64,
}

impl Vitals {
    /// Of a running process.
    pub fn of(pid: u32) -> Result<Self> {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
            .context("the daemon's descriptors cannot be listed")?
            .count();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .context("the daemon's memory cannot be read")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident_kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Ok(Self {
            descriptors,
            resident_kib: resident_kib.context("the daemon's memory is not told")?,
        })
    }
}

/// The processor time that all threads of a process have taken, to the nanosecond.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    for thread in threads.context("the daemon's threads cannot be listed")? {
        // A thread that has just ended takes its time with it; the daemon ends none that counts.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        sum += Turns::read(&text)?.ran;
    }
    Ok(sum)
}

/// What a thread has ever had of the processors, to the nanosecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    /// How long it ran.
    pub(crate) ran: Duration,
    /// How long it was ready and waited.
    pub(crate) waited: Duration,
}

impl Turns {
    /// Of the first thread of a process, which is the daemon's loop.
    pub(crate) fn of_loop(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat"));
        Self::read(&text.context("the daemon's loop cannot be looked at")?)
    }

    /// Of a `schedstat`, which has both and how many turns there were.
    fn read(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace().map_while(|word| word.parse().ok());
        let mut next = || words.next().map(Duration::from_nanos);
        next()
            .zip(next())
            .map(|(ran, waited)| Self { ran, waited })
            .context("the kernel does not tell how long threads ran")
    }
}

/// The entries of every hash of endpoints a process has loaded, and the places for tags that are taken, by name.
/// Other arrays cannot grow.
pub fn map_entries(pid: u32) -> Result<BTreeMap<String, usize>> {
    let own = map_ids(pid)?;
    let mut entries = BTreeMap::new();
    // Maps of others come and go while the list is read.
    for info in loaded_maps().filter_map(Result::ok).filter(|info| own.contains(&info.id())) {
        if let Some(count) = entries_of(&info)? {
            let name = info.name_as_str().context("a map's name is no text")?.to_owned();
            entries.insert(name, count);
        }
    }
    Ok(entries)
}

/// Whether a map has more entries than `before`.
pub fn some_grew(before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>) -> bool {
    after.iter().any(|(name, entries)| before.get(name).is_none_or(|before| entries > before))
}

fn entries_of(info: &MapInfo) -> Result<Option<usize>> {
    let is_by_endpoint = usize::try_from(info.key_size()) == Ok(size_of::<EndpointKey>());
    let map = Map::from_map_data(MapData::from_id(info.id())?)?;
    if let (Map::Array(_), Some(map::TAGS)) = (&map, info.name_as_str()) {
        return Ok(Some(taken_places(&Array::try_from(map)?)));
    }
    let (Map::HashMap(_) | Map::LruHashMap(_), true) = (&map, is_by_endpoint) else {
        return Ok(None);
    };
    // The values of both are as wide: a slot, or a time.
    let map: HashMap<MapData, [u8; size_of::<EndpointKey>()], [u8; size_of::<SlotRef>()]> =
        HashMap::try_from(map)?;
    Ok(Some(map.keys().filter_map(Result::ok).count()))
}

fn taken_places(tags: &Array<MapData, [u8; size_of::<TagRow>()]>) -> usize {
    let owner = offset_of!(TagRow, owner);
    let owner = owner..owner + size_of::<u64>();
    let rows = tags.iter().filter_map(Result::ok);
    rows.filter(|row| row[owner.clone()] != [0; size_of::<u64>()]).count()
}

/// The maps whose descriptors a process has open.
fn map_ids(pid: u32) -> Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    let listed = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    for entry in listed.context("the daemon's descriptors cannot be listed")? {
        // Descriptors come and go while they are looked at.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
    }
    Ok(ids)
}
