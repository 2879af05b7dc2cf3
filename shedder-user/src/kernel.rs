//! Everything that touches the kernel: load, attach, verdicts out, counters in.
//!
//! Lifecycle: programs and maps live as long as [`Kernel`]; an attachment lives as long as its
//! [`Attachment`]. Dropping them detaches, unless the links were pinned. Policy is unknown here.

mod attachment;
mod btf;
mod cause;
mod cgroup2;
pub mod connections;
pub mod features;
mod foreign;
mod hook;
mod layout;
mod load;
mod mapping;
pub mod network;
mod object;
mod pins;
mod relink;
mod slots;
mod tags;
mod wake;

use std::io;
use std::mem::offset_of;
use std::os::fd::OwnedFd;

use aya::maps::{MapData, MapError, RingBuf};
use aya_log::EbpfLogger;
use shedder_common::breaker::BreakerRow;
use shedder_common::caller::CallerRow;
use shedder_common::counters::{NodeRow, SlotCounters};
use shedder_common::endpoint::{EndpointKey, RedirectTarget, SlotRef};
use shedder_common::event::{DecodeError, Event};
use shedder_common::histogram::{BUCKETS, HistogramKind, HistogramRow, row};
use shedder_common::in_flight::InFlightRow;
use shedder_common::time::Monotonic;
use shedder_common::verdict::Verdict;
use tokio::io::unix::AsyncFd;

pub use self::attachment::{AttachError, Attachment};
pub use self::btf::BtfError;
pub use self::cgroup2::{
    CLAIMS, Cgroup2, Cgroup2Error, GuardedCgroup, drop_dead_claims, is_pattern,
};
pub use self::foreign::{Company, ProgramHere, company};
pub use self::hook::Needs;
pub use self::layout::LayoutError;
pub use self::load::{LoadError, LoadOptions};
pub use self::object::MissingObject;
pub use self::pins::{PinError, Pins};
pub use self::slots::SlotError;
pub use self::tags::{OpenTag, Tags};

use self::mapping::Mapping;
use self::slots::SlotTable;
use self::tags::TagPlaces;

/// What an earlier daemon has left.
#[derive(Debug)]
pub enum Left {
    /// Nothing that this one could go on with.
    Nothing,
    /// Its maps: each endpoint keeps its slot when it is asked for, with all that is in it.
    Taken,
    /// Something this one cannot go on with; it is gone now.
    Refused {
        /// The reason.
        why: String,
        /// Links that were removed.
        links: usize,
    },
}

/// The loaded programs and their maps.
pub struct Kernel {
    programs: load::Programs,
    slots: SlotTable,
    verdicts: Mapping<Verdict>,
    counters: Mapping<SlotCounters>,
    histograms: Mapping<HistogramRow>,
    round_trips: Mapping<HistogramRow>,
    in_flight: Mapping<InFlightRow>,
    redirects: Mapping<RedirectTarget>,
    node: Mapping<NodeRow>,
    breakers: Mapping<BreakerRow>,
    dirty: Mapping<u64>,
    tags: TagPlaces,
    events: RingBuf<MapData>,
    logs: Option<EbpfLogger<&'static dyn log::Log>>,
}

impl Kernel {
    /// Loads programs and maps; nothing is attached yet.
    pub fn load(options: &LoadOptions) -> Result<Self, LoadError> {
        load::load(options, None)
    }

    /// As [`Kernel::load`], with maps that outlive this process: those an earlier daemon has left, if
    /// there are any and they fit, else new ones, and then its programs are detached.
    pub fn load_pinned(
        options: &LoadOptions,
        pins: &Pins,
        now: Monotonic,
    ) -> Result<(Self, Left), LoadError> {
        let clean = |why: Option<String>| {
            let links = pins.start_clean()?;
            let kernel = load::load(options, Some(pins));
            // Maps without programs are of no use to anybody.
            let kernel = kernel.inspect_err(|_| drop(pins.start_clean()))?;
            Ok((kernel, why.map_or(Left::Nothing, |why| Left::Refused { why, links })))
        };
        if let Some(why) = pins.obstacle(&options.rows())? {
            return clean(Some(why));
        }
        if !pins.has_maps() {
            return clean(None);
        }
        let mut kernel = load::load(options, Some(pins))?;
        let Self { slots, breakers, .. } = &mut kernel;
        match slots.adopt(|slot| breakers.read(slot).generation, now) {
            Ok(()) => Ok((kernel, Left::Taken)),
            Err(error) => clean(Some(error.to_string())),
        }
    }

    /// The slot an endpoint had under an earlier daemon, and what that left of its breaker; once.
    pub fn take_left(&mut self, key: &EndpointKey) -> Option<(SlotRef, BreakerRow)> {
        let slot = self.slots.take_left(key)?;
        Some((slot, self.breakers.read(slot.slot)))
    }

    /// Endpoints an earlier daemon had slots for and this one has not asked for yet, and what that left of
    /// their breakers.
    pub fn left(&self) -> Vec<(EndpointKey, BreakerRow)> {
        let left = self.slots.left().into_iter();
        left.map(|(key, slot)| (key, self.breakers.read(slot.slot))).collect()
    }

    /// Announces connects to nothing any more that only an earlier daemon wanted to know of.
    pub fn drop_left_destinations(&mut self) -> Result<(), SlotError> {
        let outcome = self.slots.drop_left_announced();
        self.count_destinations();
        outcome
    }

    /// Keeps what the next daemon is to know of a breaker.
    pub fn keep(&mut self, slot: SlotRef, row: &BreakerRow) {
        self.breakers.write(slot.slot, BreakerRow { generation: slot.generation, ..*row });
    }

    /// The verdict in force for a slot.
    pub fn verdict(&self, slot: SlotRef) -> Verdict {
        self.verdicts.read(slot.slot)
    }

    /// What the kernel lets us do, as found while loading.
    pub fn features(&self) -> &features::Features {
        &self.programs.features
    }

    /// Jiffies in a second, which a hold is timed in; takes a tenth of one to measure.
    pub fn jiffies_per_second(&mut self) -> Option<u32> {
        self.programs.jiffies_per_second()
    }

    /// Attaches the programs that are needed to a cgroup and makes it known as `caller`.
    pub fn attach(
        &mut self,
        cgroup: GuardedCgroup,
        caller: CallerRow,
        needs: Needs,
        pins: Option<&Pins>,
    ) -> Result<Attachment, AttachError> {
        Attachment::new(&mut self.programs, cgroup, caller, needs, pins)
    }

    /// Makes a guarded cgroup known as `caller` and brings its programs in line with what is needed, those
    /// that come before those that go. On an error the programs are as they were.
    pub fn adapt(
        &mut self,
        attachment: &mut Attachment,
        caller: CallerRow,
        needs: Needs,
        pins: Option<&Pins>,
    ) -> Result<(), AttachError> {
        attachment.adapt(&mut self.programs, caller, needs, pins)
    }

    /// Announces that connects of `caller` to a prefix and port want slots. `key` is the network's
    /// address, `bits` its prefix length; `kind` one of the `DESTINATION_` codes.
    pub fn add_destination(
        &mut self,
        key: EndpointKey,
        bits: u32,
        kind: u32,
    ) -> Result<(), SlotError> {
        self.slots.add_destination(key, bits, kind)?;
        self.count_destinations();
        Ok(())
    }

    /// Announces connects to a prefix and port no more.
    pub fn remove_destination(&mut self, key: EndpointKey, bits: u32) -> Result<(), SlotError> {
        self.slots.remove_destination(key, bits)?;
        self.count_destinations();
        Ok(())
    }

    fn count_destinations(&mut self) {
        self.node.store(0, offset_of!(NodeRow, networks), self.slots.announced() as u64);
    }

    /// Tells the programs that verdicts may hold connects, `most` at once; until then, and with none, they do
    /// not ask.
    pub fn allow_holds(&mut self, most: u32, jiffies_per_second: u32) {
        let jiffy_ns = 1_000_000_000_u64.checked_div(jiffies_per_second.into()).unwrap_or(0);
        self.node.store(0, offset_of!(NodeRow, jiffy_ns), jiffy_ns);
        self.node.store(0, offset_of!(NodeRow, max_held), most.into());
    }

    /// Gives an endpoint a slot, cleared of its earlier tenant.
    pub fn add_slot(&mut self, key: EndpointKey, now: Monotonic) -> Result<SlotRef, SlotError> {
        let slot = self.slots.reserve(&key, now)?;
        self.counters.write(slot.slot, SlotCounters::CLEAR);
        for kind in [HistogramKind::Connect, HistogramKind::Response] {
            self.histograms.write(row(slot.slot, kind), HistogramRow { buckets: [0; BUCKETS] });
        }
        if self.measures_round_trips() {
            self.round_trips.write(slot.slot, HistogramRow { buckets: [0; BUCKETS] });
        }
        self.in_flight.write(slot.slot, InFlightRow::CLEAR);
        self.keep(slot, &BreakerRow { key, ..BreakerRow::CLEAR });
        self.verdicts.write(slot.slot, Verdict { generation: slot.generation, ..Verdict::CLEAR });
        // A redirect to this endpoint names its slot, so this row never changes under a reader.
        self.redirects.write(slot.slot, RedirectTarget { key, slot });
        if let Err(error) = self.slots.publish(&key, slot) {
            self.slots.release(slot, now);
            return Err(error);
        }
        Ok(slot)
    }

    /// Takes an endpoint's slot away: its connects pass from now on, and what its connections do is no
    /// longer counted.
    pub fn remove_slot(&mut self, key: &EndpointKey, now: Monotonic) -> Result<(), SlotError> {
        if let Some(slot) = self.slots.withdraw(key, now)? {
            let (row, map) = (slot.slot, &mut self.verdicts);
            map.store_u32(row, offset_of!(Verdict, generation), 0);
            map.store(row, offset_of!(Verdict, word), 0);
            self.keep(slot, &BreakerRow::CLEAR);
        }
        Ok(())
    }

    /// Slots in use and slots there are.
    pub fn slot_usage(&self) -> (u32, u32) {
        self.slots.usage()
    }

    /// Slots that can be given out at once: one that was taken away rests for a while.
    pub fn free_slots(&self, now: Monotonic) -> usize {
        self.slots.free(now)
    }

    /// Publishes a verdict: a few memory stores, in force with the next connect.
    ///
    /// The word comes last: a program that sees it sees everything that belongs to it. What does not belong to it
    /// stays as it was, because a program may just be acting on the word before.
    pub fn publish(&mut self, slot: SlotRef, verdict: &Verdict) {
        let (row, map) = (slot.slot, &mut self.verdicts);
        map.store(row, offset_of!(Verdict, token_limit), verdict.token_limit);
        map.store(row, offset_of!(Verdict, caller_timeout_ns), verdict.caller_timeout_ns);
        map.store(row, offset_of!(Verdict, slow_ns), verdict.slow_ns);
        map.store_u32(row, offset_of!(Verdict, failure_run_limit), verdict.failure_run_limit);
        if verdict.hold_jiffies != 0 {
            map.store_u32(row, offset_of!(Verdict, hold_jiffies), verdict.hold_jiffies);
            map.store_u32(row, offset_of!(Verdict, hold_slack_ns), verdict.hold_slack_ns);
            let jitter = offset_of!(Verdict, hold_jitter_jiffies);
            map.store_u32(row, jitter, verdict.hold_jitter_jiffies);
        }
        map.store_u16(row, offset_of!(Verdict, turns_to_skip), verdict.turns_to_skip);
        map.store_u16(row, offset_of!(Verdict, measure), verdict.measure);
        map.store_u16(row, offset_of!(Verdict, datagrams), verdict.datagrams);
        map.store_u16(row, offset_of!(Verdict, protocol), verdict.protocol);
        if verdict.burst_limit != 0 {
            map.store_u32(row, offset_of!(Verdict, burst_limit), verdict.burst_limit);
        }
        map.store(row, offset_of!(Verdict, word), verdict.word);
    }

    /// Stands behind every verdict until then; without it everything passes.
    pub fn keep_verdicts_until(&mut self, at: Monotonic) {
        self.node.store(0, offset_of!(NodeRow, verdicts_until_ns), at.as_nanos());
    }

    /// Asks to be told of the first failure or slow answer from now on.
    pub fn ask_for_trouble(&mut self) {
        self.node.store(0, offset_of!(NodeRow, is_calm), 1);
    }

    /// Forgets a slot's run of failures, at the start of a new epoch.
    pub fn clear_failure_run(&mut self, slot: SlotRef) {
        self.counters.store(slot.slot, offset_of!(SlotCounters, failure_run), 0);
    }

    /// Words of bits for the slots there can be.
    pub const fn dirty_words(&self) -> u32 {
        self.dirty.rows()
    }

    /// The bits of a word, as [`shedder_common::dirty`] has them, which are clear from then on.
    pub fn take_dirty(&mut self, word: u32) -> u64 {
        self.dirty.take(word)
    }

    /// Everything counted for a slot.
    pub fn counters(&self, slot: SlotRef) -> SlotCounters {
        self.counters.read(slot.slot)
    }

    /// One of a slot's histograms.
    pub fn histogram(&self, slot: SlotRef, kind: HistogramKind) -> HistogramRow {
        self.histograms.read(row(slot.slot, kind))
    }

    /// A slot's round-trip times; nothing where they are not measured.
    pub fn round_trips(&self, slot: SlotRef) -> Option<HistogramRow> {
        self.measures_round_trips().then(|| self.round_trips.read(slot.slot))
    }

    /// What is open on a slot's connections.
    pub fn in_flight(&self, slot: SlotRef) -> InFlightRow {
        self.in_flight.read(slot.slot)
    }

    /// What the programs remember of connects, to be looked at by any thread.
    pub fn tags(&self) -> Tags {
        self.tags.shared()
    }

    /// Does for a connection that has ended what the programs do when they are told: it is no longer counted as open,
    /// and its place is free. False when somebody was told after all.
    pub fn end_untold(&mut self, tag: &OpenTag) -> Result<bool, MapError> {
        let slot = tag.slot();
        // The place of one whose slot has another tenant is anybody's, and nothing is counted for it.
        if self.verdict(slot).generation != slot.generation || !self.tags.release(tag)? {
            return Ok(false);
        }
        if tag.is_established() {
            self.counters.add(slot.slot, offset_of!(SlotCounters, ended), 1);
        }
        for gauge in tag.mark().gauges().into_iter().flatten() {
            self.in_flight.subtract_u32(slot.slot, gauge);
        }
        if tag.is_held() {
            self.node.subtract(0, offset_of!(NodeRow, held));
        }
        Ok(true)
    }

    /// Whether round-trip times are measured, which is decided when loading.
    pub fn measures_round_trips(&self) -> bool {
        self.round_trips.rows() > 1
    }

    /// What went wrong on the node.
    pub fn node_counters(&self) -> NodeRow {
        self.node.read(0)
    }

    /// The next event of the ring, if any.
    pub fn poll_event(&mut self) -> Option<Result<Event, DecodeError>> {
        self.events.next().map(|record| Event::decode(&record))
    }

    /// Becomes readable when [`Kernel::poll_event`] has something.
    pub fn event_wakeups(&self) -> io::Result<AsyncFd<OwnedFd>> {
        wake::readable(&self.events)
    }

    /// Passes on what the programs logged; without the debug option they log nothing.
    pub fn flush_logs(&mut self) {
        if let Some(logs) = &mut self.logs {
            logs.flush();
        }
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("programs", &self.programs).finish_non_exhaustive()
    }
}
