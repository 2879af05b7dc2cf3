//! The cells: one for each caller and endpoint, and what the shell remembers of each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use shedder_common::breaker::BreakerRow;
use shedder_common::counters::SlotCounters;
use shedder_common::endpoint::{EndpointKey, SlotRef};
use shedder_common::histogram::{BUCKETS, HistogramKind, HistogramRow};
use shedder_common::time::Monotonic;
use shedder_common::verdict::Verdict;

use super::handover;
use super::networks::Network;
use super::ports::Taken;
use super::unfinished::Ring;
use crate::clock;
use crate::config::{Binding, Config, EndpointSpec};
use crate::engine::{CellId, Engine, Place, Policy};
use crate::kernel::{Kernel, SlotError};
use crate::verdict_row::Rank;

/// Every cell, numbered by its slot.
#[derive(Debug, Default)]
pub(super) struct Cells {
    by_slot: Vec<Option<Cell>>,
    by_key: BTreeMap<EndpointKey, CellId>,
    /// One number for each address, port and network, whoever calls it, and how many cells it has.
    endpoints: BTreeMap<(SocketAddr, u64), (u32, usize)>,
    /// Endpoints there ever were.
    numbered: u32,
    /// Cells there ever were.
    added: u64,
    /// Cells that are listed.
    listed: u32,
    /// By the id of the caller: how many of its cells nobody named.
    found: BTreeMap<u32, usize>,
    /// Whether other cells may have to stand in than before, though no breaker has changed.
    is_reordered: bool,
}

/// One caller's view of one endpoint.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) id: CellId,
    pub(super) key: EndpointKey,
    pub(super) endpoint: SocketAddr,
    /// The name of the network namespace it is in, where the policy tells them apart.
    pub(super) network: Option<String>,
    /// Among those that may stand in for each other, the lowest is the first choice.
    pub(super) rank: Rank,
    /// The policy names it, so that it is kept though nobody calls it.
    pub(super) is_named: bool,
    /// When it was last seen in use.
    pub(super) used: Monotonic,
    /// Index into the configuration.
    pub(super) caller: usize,
    /// Index into the configuration.
    pub(super) service: usize,
    pub(super) policy: Arc<Policy>,
    pub(super) slot: SlotRef,
    /// The counters as last looked at.
    pub(super) seen: SlotCounters,
    pub(super) seen_connect: HistogramRow,
    pub(super) seen_response: HistogramRow,
    pub(super) seen_round_trips: HistogramRow,
    pub(super) ring: Ring,
    pub(super) ports: Taken,
    /// Failures in a row the engine was last shown.
    pub(super) failure_run: u64,
    pub(super) rate: Rate,
    /// Whether it has series of its own among the metrics, from its first moment to its last.
    pub(super) is_listed: bool,
    /// When it left closed by itself, until it is closed again.
    pub(super) tripped: Option<Monotonic>,
    /// Half-open tokens ever taken when the present epoch began.
    pub(super) tokens_before: u64,
    /// What the kernel was last told.
    pub(super) published: Option<Verdict>,
    /// Whether connects to others might be sent here, when this was last asked.
    pub(super) stands_in: bool,
}

impl Cell {
    /// Goes on where an earlier daemon was: what it has counted is no news.
    fn go_on(&mut self, kernel: &Kernel, row: &BreakerRow, now: Monotonic) {
        self.seen = kernel.counters(self.slot);
        self.failure_run = self.seen.failure_run;
        self.seen_connect = kernel.histogram(self.slot, HistogramKind::Connect);
        self.seen_response = kernel.histogram(self.slot, HistogramKind::Response);
        if let Some(round_trips) = kernel.round_trips(self.slot) {
            self.seen_round_trips = round_trips;
        }
        self.ring.forget(&kernel.in_flight(self.slot), now);
        self.tripped = (row.tripped_ns != 0).then(|| Monotonic::from_nanos(row.tripped_ns));
        self.tokens_before = row.tokens_before;
        self.published = Some(kernel.verdict(self.slot));
    }

    /// Of the only network namespace its endpoint is in; nothing where they are not told apart.
    pub(super) fn network_cookie(&self) -> Option<u64> {
        self.network.as_ref().map(|_| self.key.network)
    }
}

/// What is to have a cell.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) endpoint: SocketAddr,
    pub(super) network: Option<Network>,
    pub(super) is_named: bool,
}

impl Target {
    /// An address the policy names, the same in every network namespace.
    pub(super) const fn named(endpoint: SocketAddr) -> Self {
        Self { endpoint, network: None, is_named: true }
    }
}

/// Connects a second, measured over at least a second.
#[derive(Debug)]
pub(super) struct Rate {
    since: Monotonic,
    connects: u64,
    pub(super) per_second: f64,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Cell> {
        self.by_slot.iter().flatten()
    }

    pub(super) fn by_id(&self, id: CellId) -> Option<&Cell> {
        self.by_slot.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn by_id_mut(&mut self, id: CellId) -> Option<&mut Cell> {
        self.by_slot.get_mut(id.0 as usize)?.as_mut()
    }

    /// The cell a slot belongs to, if it still does.
    pub(super) fn by_slot(&self, slot: SlotRef) -> Option<&Cell> {
        self.by_id(CellId(slot.slot)).filter(|cell| cell.slot == slot)
    }

    /// Adds a cell for `target` under a binding; nothing when the caller has one for it already.
    pub(super) fn add(
        &mut self,
        kernel: &mut Kernel,
        engine: &mut Engine,
        config: &Config,
        binding: usize,
        target: Target,
    ) -> Result<Option<&Cell>, SlotError> {
        let Target { endpoint, network, is_named } = target;
        let binding = &config.bindings[binding];
        let key = EndpointKey {
            network: network.as_ref().map_or(0, |network| network.cookie),
            ..EndpointKey::new(caller_id(binding.caller), endpoint)
        };
        if let Some(known) = self.by_key.get(&key).copied() {
            if is_named {
                self.set_named(known, true);
            }
            return Ok(None);
        }
        let now = clock::now();
        let names = handover::names(config, binding.caller, binding.service);
        let left = match kernel.take_left(&key) {
            Some((slot, row)) if row.names == names => Some((slot, row)),
            // The numbers meant others then.
            Some(_) => {
                kernel.remove_slot(&key, now)?;
                None
            }
            None => None,
        };
        let slot = match &left {
            Some((slot, _)) => *slot,
            None if !is_named && !self.may_find(kernel, config, binding.caller, now) => {
                return Err(SlotError::Shared(config.callers[binding.caller].name.clone()));
            }
            None => kernel.add_slot(key, now)?,
        };
        let id = CellId(slot.slot);
        let place = self.place(binding, (endpoint, key.network));
        let policy = Arc::clone(&binding.policy);
        match &left {
            Some((_, row)) => engine.resume(id, place, policy, row, now),
            None => engine.insert(id, place, policy, now),
        }
        self.by_key.insert(key, id);
        if !is_named {
            *self.found.entry(key.caller).or_default() += 1;
        }
        self.added += 1;
        let is_listed = self.listed < config.node.metrics_endpoints;
        self.listed += u32::from(is_listed);
        let is_fallback =
            config.services[binding.service].fallback.contains(&EndpointSpec::Address(endpoint));
        let index = slot.slot as usize;
        if self.by_slot.len() <= index {
            self.by_slot.resize_with(index + 1, || None);
        }
        let mut cell = Cell {
            id,
            key,
            endpoint,
            network: network.map(|network| network.name),
            rank: (is_fallback, self.added),
            is_named,
            used: now,
            caller: binding.caller,
            service: binding.service,
            policy: Arc::clone(&binding.policy),
            slot,
            seen: SlotCounters::CLEAR,
            seen_connect: HistogramRow { buckets: [0; BUCKETS] },
            seen_response: HistogramRow { buckets: [0; BUCKETS] },
            seen_round_trips: HistogramRow { buckets: [0; BUCKETS] },
            ring: Ring::new(),
            ports: Taken::new(),
            failure_run: 0,
            rate: Rate { since: now, connects: 0, per_second: 0.0 },
            is_listed,
            tripped: None,
            tokens_before: 0,
            published: None,
            stands_in: false,
        };
        if let Some((_, row)) = &left {
            cell.go_on(kernel, row, now);
        }
        self.by_slot[index] = Some(cell);
        Ok(self.by_id(id))
    }

    /// Removes a cell, and with it its breaker and its slot.
    pub(super) fn remove(
        &mut self,
        kernel: &mut Kernel,
        engine: &mut Engine,
        id: CellId,
        now: Monotonic,
    ) -> Result<Option<Cell>, SlotError> {
        let Some(cell) = self.by_id(id) else { return Ok(None) };
        let (key, endpoint) = (cell.key, (cell.endpoint, cell.key.network));
        kernel.remove_slot(&key, now)?;
        self.set_named(id, true);
        engine.remove(id);
        self.by_key.remove(&key);
        if let Some((_, cells)) = self.endpoints.get_mut(&endpoint) {
            *cells -= 1;
            if *cells == 0 {
                self.endpoints.remove(&endpoint);
            }
        }
        let removed = self.by_slot.get_mut(id.0 as usize).and_then(Option::take);
        self.listed -= u32::from(removed.as_ref().is_some_and(|cell| cell.is_listed));
        self.is_reordered |= removed.as_ref().is_some_and(|cell| cell.stands_in);
        Ok(removed)
    }

    /// Notes whether the policy names a cell's endpoint.
    pub(super) fn set_named(&mut self, id: CellId, is_named: bool) {
        let Some(cell) = self.by_id_mut(id) else { return };
        let (caller, was_named) = (cell.key.caller, cell.is_named);
        cell.is_named = is_named;
        let found = self.found.entry(caller).or_default();
        *found = *found + usize::from(was_named) - usize::from(is_named);
    }

    /// Whether one more endpoint may be found for a caller: among several, nobody has more of them than
    /// there are slots left, so that however much some call there is room for those who come later.
    pub(super) fn may_find(
        &self,
        kernel: &Kernel,
        config: &Config,
        caller: usize,
        now: Monotonic,
    ) -> bool {
        let found = self.found.get(&caller_id(caller)).copied().unwrap_or(0);
        let free = kernel.free_slots(now);
        // That nothing at all is left is another complaint.
        config.callers.len() == 1 || free == 0 || found < free
    }

    /// Whether other cells may have to stand in than when this was last asked, though no breaker has changed.
    pub(super) fn take_reordered(&mut self) -> bool {
        std::mem::take(&mut self.is_reordered)
    }

    /// Ranks cells anew: those of `named` come in its order, before the others.
    pub(super) fn rank_again(&mut self, config: &Config, named: &[(usize, SocketAddr)]) {
        self.is_reordered = true;
        let key = |(binding, endpoint): &(usize, SocketAddr)| {
            EndpointKey::new(caller_id(config.bindings[*binding].caller), *endpoint)
        };
        let order: BTreeMap<EndpointKey, usize> =
            named.iter().map(key).enumerate().map(|(place, key)| (key, place)).rev().collect();
        let mut all: Vec<(usize, u64, CellId)> = self
            .iter()
            .map(|cell| (order.get(&cell.key).copied().unwrap_or(usize::MAX), cell.rank.1, cell.id))
            .collect();
        all.sort_unstable();
        for (_, _, id) in all {
            self.added += 1;
            let added = self.added;
            let Some(cell) = self.by_id_mut(id) else { continue };
            let fallback = &config.services[cell.service].fallback;
            cell.rank = (fallback.contains(&EndpointSpec::Address(cell.endpoint)), added);
        }
    }

    fn place(&mut self, binding: &Binding, endpoint: (SocketAddr, u64)) -> Place {
        let index = |index: usize| u32::try_from(index).expect("a file has no four billion tables");
        let Self { endpoints, numbered, .. } = self;
        let (number, cells) = endpoints.entry(endpoint).or_insert_with(|| {
            *numbered = numbered.wrapping_add(1);
            (*numbered, 0)
        });
        *cells += 1;
        Place { caller: index(binding.caller), service: index(binding.service), endpoint: *number }
    }
}

impl Rate {
    pub(super) fn update(&mut self, connects: u64, now: Monotonic) {
        let elapsed = now.since(self.since).as_secs_f64();
        if elapsed < 1.0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "connects of about a second")]
        let new = connects.wrapping_sub(self.connects) as f64;
        *self = Self { since: now, connects, per_second: new / elapsed };
    }
}

/// The id by which the kernel knows a caller; zero is nobody.
pub(super) fn caller_id(caller: usize) -> u32 {
    u32::try_from(caller + 1).expect("a file has no four billion callers")
}
