//! What is going to happen, in order of time; of equals in the order in which it was planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shedder_common::ending::End;
use shedder_common::time::Monotonic;

use super::record::TryFate;

/// Something that happens at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// The next call of a flow begins.
    Arrive { flow: usize },
    /// A call tries (again).
    Try { call: u64 },
    /// A caller loses patience with a try.
    GiveUp { call: u64, number: u32 },
    /// A caller that was stopped learns what became of a try.
    Told { call: u64, number: u32, fate: TryFate },
    /// A SYN leaves, after `sent` others.
    Syn { connection: u64, sent: u32 },
    /// The handshake is complete.
    Established { connection: u64 },
    /// The caller sends its request.
    Ask { connection: u64 },
    /// The request leaves, after `sent` copies that were lost.
    Request { connection: u64, sent: u32 },
    /// A worker of an endpoint has finished with a request.
    Worked { endpoint: usize, connection: u64, turn: u32 },
    /// The first byte of the answer arrives, after `sent` copies that were lost.
    Answer { connection: u64, turn: u32, sent: u32 },
    /// The caller has the whole answer.
    Done { connection: u64, turn: u32 },
    /// The network or the peer ends the connection.
    Ended { connection: u64, turn: u32, end: End },
}

/// Events to come.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry {
    at: Monotonic,
    order: u64,
    event: Event,
}

impl Queue {
    pub(super) fn plan(&mut self, at: Monotonic, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse(Entry { at, order: self.planned, event }));
    }

    /// When the next event is due.
    pub(super) fn next_at(&self) -> Option<Monotonic> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<(Monotonic, Event)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
