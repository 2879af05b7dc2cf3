//! Those who record what the engine is shown.
//!
//! Invariant: without any nothing is done, and one that reads too slowly loses seconds and is told
//! how many; the loop never waits for it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use shedder_common::endpoint::SlotRef;
use shedder_common::time::Monotonic;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::info;

use super::cells::Cell;
use super::{Daemon, report};
use crate::api::model::BreakerName;
use crate::clock;
use crate::config::Config;
use crate::engine::{self, Mode, Sample};
use crate::recording::{Change, Frame, HEAD, Name, Second, Start, encode};

/// Everyone who records.
#[derive(Debug, Default)]
pub(super) struct Taps(Vec<Tap>);

/// One who does.
#[derive(Debug)]
struct Tap {
    sender: mpsc::Sender<Bytes>,
    /// Only this service.
    service: Option<String>,
    opened: Monotonic,
    /// The one that is being filled, since it was opened.
    second: u64,
    /// The cells named so far, by slot and tenancy.
    numbers: BTreeMap<(u32, u32), u32>,
    seen: BTreeMap<u32, Second>,
    /// What comes before the present second: the head, names, changes.
    before: Vec<u8>,
    /// Cells named since the start, those forgotten too.
    named: u32,
    lost: u64,
    is_open: bool,
}

impl Daemon {
    /// Lets another one record, of one service or all.
    pub(super) fn tap(&mut self, service: Option<String>) -> Result<mpsc::Receiver<Bytes>, String> {
        let services = self.config.services.iter().map(|service| service.name.as_str());
        if let Some(service) = &service
            && services.clone().all(|known| known != service)
        {
            let known: Vec<&str> = services.collect();
            return Err(format!(
                "no service is called {service:?}; there are {}",
                known.join(", ")
            ));
        }
        self.taps.open(service, self.config.node.tick, clock::now())
    }
}

impl Taps {
    fn open(
        &mut self,
        service: Option<String>,
        tick: Duration,
        now: Monotonic,
    ) -> Result<mpsc::Receiver<Bytes>, String> {
        self.0.retain(|tap| !tap.sender.is_closed());
        if self.0.len() >= MOST_TAPS {
            return Err(format!("{MOST_TAPS} recordings are being made already; end one of them"));
        }
        let (sender, receiver) = mpsc::channel(SECONDS_AHEAD);
        let wall = clock::wall(now).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = Start {
            wall_ms: milliseconds(wall),
            tick_ms: milliseconds(tick),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut head = HEAD.to_vec();
        encode(&Frame::Start(start), &mut head);
        info!(service, "a recording begins");
        self.0.push(Tap {
            sender,
            service,
            opened: now,
            second: 0,
            numbers: BTreeMap::new(),
            seen: BTreeMap::new(),
            before: head,
            named: 0,
            lost: 0,
            is_open: true,
        });
        Ok(receiver)
    }

    /// The engine is shown this.
    pub(super) fn see(&mut self, config: &Config, cell: &Cell, sample: &Sample, now: Monotonic) {
        for tap in self.of(config, cell) {
            tap.advance(now);
            let number = tap.number(config, cell);
            let second = tap.seen.entry(number).or_default();
            second.add(sample, cell.policy.failure_run_limit());
        }
    }

    /// The engine has changed a breaker's state.
    pub(super) fn change(
        &mut self,
        config: &Config,
        cell: &Cell,
        change: &engine::Change,
        now: Monotonic,
    ) {
        for tap in self.of(config, cell) {
            tap.advance(now);
            let frame = Frame::Change(Change {
                cell: tap.number(config, cell),
                at_ms: milliseconds(now.since(tap.opened)),
                from: change.from,
                to: change.to,
                cause: change.cause.name().to_owned(),
                why: change.to_string(),
            });
            tap.put(&frame);
        }
    }

    /// A cell is no more.
    pub(super) fn forget(&mut self, cell: &Cell, now: Monotonic) {
        for tap in &mut self.0 {
            tap.advance(now);
            if let Some(number) = tap.numbers.remove(&key(cell.slot)) {
                tap.put(&Frame::Gone(number));
            }
        }
    }

    /// Whether somebody records.
    pub(super) const fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Hands over the seconds that have passed, and lets those go who have gone.
    pub(super) fn advance(&mut self, now: Monotonic) {
        self.0.retain_mut(|tap| {
            tap.advance(now);
            if !tap.is_open {
                info!(seconds = tap.second, "a recording has ended");
            }
            tap.is_open
        });
    }

    fn of<'a>(&'a mut self, config: &'a Config, cell: &Cell) -> impl Iterator<Item = &'a mut Tap> {
        let service = config.services[cell.service].name.as_str();
        let is_wanted = move |tap: &&mut Tap| tap.service.as_ref().is_none_or(|it| it == service);
        self.0.iter_mut().filter(is_wanted)
    }
}

impl Tap {
    /// Ends the second that is being filled, if it has passed.
    fn advance(&mut self, now: Monotonic) {
        let second = now.since(self.opened).as_secs();
        if second == self.second || !self.is_open {
            return;
        }
        match self.sender.try_reserve() {
            Ok(permit) => {
                let mut bytes = std::mem::take(&mut self.before);
                if self.lost > 0 {
                    encode(&Frame::Lost(self.lost), &mut bytes);
                    self.lost = 0;
                }
                let cells = std::mem::take(&mut self.seen).into_iter().collect();
                encode(&Frame::Second { second: self.second, cells }, &mut bytes);
                permit.send(bytes.into());
            }
            Err(TrySendError::Full(())) => {
                self.seen.clear();
                self.lost += 1;
                self.is_open = self.before.len() < MOST_BEFORE;
            }
            Err(TrySendError::Closed(())) => self.is_open = false,
        }
        self.second = second;
    }

    /// The number of a cell, which is named if it has none.
    fn number(&mut self, config: &Config, cell: &Cell) -> u32 {
        if let Some(number) = self.numbers.get(&key(cell.slot)) {
            return *number;
        }
        let BreakerName { caller, service, network, .. } = report::name(config, cell);
        let name = Name {
            caller,
            service,
            endpoint: cell.endpoint,
            network,
            policy: cell.policy.name.clone(),
            observes: cell.policy.mode == Mode::Observe,
        };
        self.put(&Frame::Cell(name));
        let number = self.named;
        self.named += 1;
        self.numbers.insert(key(cell.slot), number);
        number
    }

    fn put(&mut self, frame: &Frame) {
        encode(frame, &mut self.before);
    }
}

const fn key(slot: SlotRef) -> (u32, u32) {
    (slot.slot, slot.generation)
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Few enough that nobody notices.
const MOST_TAPS: usize = 4;
/// Seconds that wait for a slow reader before some are lost.
const SECONDS_AHEAD: usize = 30;
/// Bytes of names and changes that wait for one; then it is let go.
const MOST_BEFORE: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Reader;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000)
    }

    fn frames(receiver: &mut mpsc::Receiver<Bytes>) -> Vec<Frame> {
        let mut bytes = Vec::new();
        while let Ok(more) = receiver.try_recv() {
            bytes.extend_from_slice(&more);
        }
        let mut reader = Reader::new(&bytes[..]).expect("it is one");
        std::iter::from_fn(|| reader.read().expect("it is sound")).collect()
    }

    #[test]
    fn one_that_reads_too_slowly_is_told_what_it_lost() {
        let mut taps = Taps::default();
        let tick = Duration::from_millis(100);
        let mut receiver = taps.open(None, tick, at(100)).expect("there is room");
        let ahead = u64::try_from(SECONDS_AHEAD).expect("a few");
        (101..=100 + ahead + 6).for_each(|second| taps.advance(at(second)));
        let seconds = |frames: &[Frame]| {
            frames.iter().filter(|frame| matches!(frame, Frame::Second { .. })).count() as u64
        };
        let mut told = frames(&mut receiver);
        assert_eq!(seconds(&told), ahead);
        taps.advance(at(200));
        while let Ok(bytes) = receiver.try_recv() {
            let mut rest = &bytes[..];
            while let Ok(Some((frame, length))) = crate::recording::split(rest) {
                told.push(frame);
                rest = &rest[length..];
            }
        }
        let [.., lost, last] = &told[..] else { unreachable!("there are more") };
        assert_eq!(*lost, Frame::Lost(6));
        assert_eq!(*last, Frame::Second { second: ahead + 6, cells: Vec::new() });
    }

    #[test]
    fn one_that_has_gone_is_let_go() {
        let mut taps = Taps::default();
        let tick = Duration::from_millis(100);
        drop(taps.open(None, tick, at(0)).expect("there is room"));
        taps.advance(at(1));
        assert!(taps.0.is_empty());
    }
}
