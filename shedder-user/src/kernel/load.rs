//! From the object file to programs the kernel accepted and maps this process can use.
#![expect(deprecated, reason = "the successor of cgroup storage is not there before Linux 6.2")]

use std::io;
use std::thread::sleep;
use std::time::Duration;

use aya::maps::{Array, CgroupStorage, HashMap, Map, MapData, MapError, RingBuf};
use aya::programs::{CgroupSkb, ProgramError, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use aya_log::EbpfLogger;
use rustix::io::Errno;
use shedder_common::caller::CallerRow;
use shedder_common::dirty;
use shedder_common::histogram::HISTOGRAM_KINDS;
use shedder_common::map;

use super::cause::errno;
use super::features::Features;
use super::hook::Hook;
use super::object::{self, MissingObject};
use super::pins::{PinError, Pins};
use super::slots::SlotTable;
use super::tags::TagPlaces;
use super::{Kernel, Mapping};

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Endpoints there can be, `1..=65536`.
    pub slots: u32,
    /// Whether a rule asks for round-trip times.
    pub round_trips: bool,
    /// Log every decision, for debugging; costs time on every connect.
    pub debug: bool,
}

impl LoadOptions {
    /// The maps whose size is chosen, and their rows.
    pub(super) const fn rows(&self) -> [(&'static str, u32); 9] {
        [
            (map::SLOTS, self.slots),
            (map::VERDICTS, self.slots),
            (map::COUNTERS, self.slots),
            (map::REDIRECTS, self.slots),
            (map::IN_FLIGHT, self.slots),
            (map::BREAKERS, self.slots),
            (map::DIRTY, dirty::words(self.slots)),
            (map::ROUND_TRIPS, self.round_trip_rows()),
            (map::HISTOGRAMS, self.slots * HISTOGRAM_KINDS),
        ]
    }

    const fn round_trip_rows(&self) -> u32 {
        if self.round_trips { self.slots } else { 1 }
    }
}

/// The programs, and what only they are concerned with.
pub(super) struct Programs {
    pub(super) features: Features,
    pub(super) callers: CgroupStorage<MapData, CallerBytes>,
    pub(super) ebpf: Ebpf,
}

pub(super) type CallerBytes = [u8; size_of::<CallerRow>()];

/// Why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The binary has no object.
    #[error(transparent)]
    MissingObject(#[from] MissingObject),
    /// The kernel does not let this process load programs.
    #[error(
        "not allowed to load BPF programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    NotPermitted,
    /// The kernel refused a program. Its verifier's story is in the log, at level debug.
    #[error(
        "the kernel refused the {hook} program: {source}; `shedder doctor` tells what this kernel lacks, SHEDDER_LOG=debug why"
    )]
    Program {
        /// Its hook.
        hook: &'static str,
        /// What the kernel said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The object could not be turned into maps and programs.
    #[error("the BPF object cannot be loaded: {0}")]
    Object(#[from] EbpfError),
    /// What an earlier daemon has left could not be looked at.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The programs' log could not be read.
    #[error("the log of the programs cannot be read: {0}")]
    Log(#[from] aya_log::Error),
    /// A map could not be used.
    #[error("the map {name} cannot be used: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: MapError,
    },
    /// A map could not be mapped into this process.
    #[error("the map {name} cannot be mapped into memory: {source}; it needs Linux 5.5")]
    Mapping {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// With pins, the maps are those that are pinned, if they fit, and else are pinned now.
pub(super) fn load(options: &LoadOptions, pins: Option<&Pins>) -> Result<Kernel, LoadError> {
    let object = object::bytes()?;
    let features = Features::probe();
    match attempt(object, options, pins, &features, VerifierLogLevel::DISABLE) {
        // Only a refused program is worth the verifier's long story.
        Err(LoadError::Program { .. }) => {
            attempt(object, options, pins, &features, VerifierLogLevel::VERBOSE)
        }
        other => other,
    }
    .and_then(|ebpf| assemble(ebpf, options, features))
}

fn attempt(
    object: &[u8],
    options: &LoadOptions,
    pins: Option<&Pins>,
    features: &Features,
    log: VerifierLogLevel,
) -> Result<Ebpf, LoadError> {
    let return_value = u8::from(features.return_value);
    let sk_err_offset = *features.sk_err_offset.as_ref().unwrap_or(&0);
    let debug = u8::from(options.debug);
    let mut loader = EbpfLoader::new();
    for name in map::KEPT {
        if let Some(pins) = pins {
            loader.map_pin_path(name, pins.map(name));
        }
    }
    for (name, rows) in options.rows() {
        loader.map_max_entries(name, rows);
    }
    let mut ebpf = loader
        .override_global("HAS_RETURN_VALUE", &return_value, true)
        .override_global("SK_ERR_OFFSET", &sk_err_offset, true)
        .override_global("DEBUG", &debug, true)
        .verifier_log_level(log)
        .load(object)
        .map_err(
            |error| if is_not_permitted(&error) { LoadError::NotPermitted } else { error.into() },
        )?;
    for hook in Hook::ALL {
        hook.load(&mut ebpf).map_err(|error| refused(hook.name(), error))?;
    }
    let clock = ebpf.program_mut(CLOCK).expect("the object has the clock");
    let clock = <&mut CgroupSkb>::try_from(clock).and_then(CgroupSkb::load);
    clock.map_err(|error| refused("clock", error))?;
    Ok(ebpf)
}

fn refused(hook: &'static str, error: ProgramError) -> LoadError {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return LoadError::Program { hook, source: error.into() };
    };
    tracing::debug!(hook, "the verifier said: {verifier_log}");
    LoadError::Program { hook, source: io_error.into() }
}

fn assemble(
    mut ebpf: Ebpf,
    options: &LoadOptions,
    features: Features,
) -> Result<Kernel, LoadError> {
    let slots = SlotTable::new(
        HashMap::try_from(take(&mut ebpf, map::SLOTS)).map_err(at(map::SLOTS))?,
        aya::maps::LpmTrie::try_from(take(&mut ebpf, map::DESTINATIONS))
            .map_err(at(map::DESTINATIONS))?,
        HashMap::try_from(take(&mut ebpf, map::ANNOUNCED)).map_err(at(map::ANNOUNCED))?,
        options.slots,
    );
    let callers =
        CgroupStorage::try_from(take(&mut ebpf, map::CALLERS)).map_err(at(map::CALLERS))?;
    let events = RingBuf::try_from(take(&mut ebpf, map::EVENTS)).map_err(at(map::EVENTS))?;
    let logs = options.debug.then(|| EbpfLogger::init(&mut ebpf)).transpose()?;
    Ok(Kernel {
        slots,
        verdicts: mapping(&mut ebpf, map::VERDICTS, options.slots)?,
        counters: mapping(&mut ebpf, map::COUNTERS, options.slots)?,
        histograms: mapping(&mut ebpf, map::HISTOGRAMS, options.slots * HISTOGRAM_KINDS)?,
        round_trips: mapping(&mut ebpf, map::ROUND_TRIPS, options.round_trip_rows())?,
        in_flight: mapping(&mut ebpf, map::IN_FLIGHT, options.slots)?,
        redirects: mapping(&mut ebpf, map::REDIRECTS, options.slots)?,
        node: mapping(&mut ebpf, map::NODE, 1)?,
        breakers: mapping(&mut ebpf, map::BREAKERS, options.slots)?,
        dirty: mapping(&mut ebpf, map::DIRTY, dirty::words(options.slots))?,
        tags: TagPlaces::new(take(&mut ebpf, map::TAGS)).map_err(at(map::TAGS))?,
        events,
        logs,
        programs: Programs { features, callers, ebpf },
    })
}

impl Programs {
    /// Jiffies in a second, measured over a tenth of one; nothing when the measurement makes no
    /// sense. The kernel publishes the number nowhere a program could rely on.
    pub(super) fn jiffies_per_second(&mut self) -> Option<u32> {
        let before = self.read_clocks()?;
        sleep(Duration::from_millis(100));
        let after = self.read_clocks()?;
        let jiffies = after[0].checked_sub(before[0])?;
        let nanoseconds = after[1].checked_sub(before[1])?;
        let measured = jiffies.checked_mul(1_000_000_000)?.checked_div(nanoseconds)?;
        KERNEL_HZ.into_iter().min_by_key(|hz| u64::from(*hz).abs_diff(measured))
    }

    fn read_clocks(&mut self) -> Option<[u64; 2]> {
        let program = self.ebpf.program(CLOCK)?;
        let program = <&CgroupSkb>::try_from(program).ok()?;
        let packet = [0; 64];
        program.test_run(TestRunOptions { data_in: Some(&packet), ..Default::default() }).ok()?;
        let clocks: Array<_, [u64; 2]> = Array::try_from(self.ebpf.map("CLOCKS")?).ok()?;
        clocks.get(&0, 0).ok()
    }
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs").field("features", &self.features).finish_non_exhaustive()
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Map {
    ebpf.take_map(name).expect("the object has every map of the ABI")
}

fn mapping<T: bytemuck::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
    rows: u32,
) -> Result<Mapping<T>, LoadError> {
    let Map::Array(map) = take(ebpf, name) else {
        let source = MapError::InvalidMapType { map_type: 0 };
        return Err(LoadError::Map { name, source });
    };
    Mapping::new(&map, rows).map_err(|source| LoadError::Mapping { name, source })
}

fn at(name: &'static str) -> impl FnOnce(MapError) -> LoadError {
    move |source| LoadError::Map { name, source }
}

/// Whether the kernel does not let us, be it with the first map or the type information.
fn is_not_permitted(error: &EbpfError) -> bool {
    matches!(errno(error), Some(Errno::PERM | Errno::ACCESS))
}

/// Tells the time in jiffies; never attached.
const CLOCK: &str = "shedder_clock";

/// The values `CONFIG_HZ` can have.
const KERNEL_HZ: [u32; 5] = [100, 250, 300, 1000, 1024];
