//! When spans are sent: gathered into batches, tried again, kept while the collector is away.
//!
//! Invariant: no clock and no socket; what is kept is bounded by its encoded size, the oldest goes
//! first, and whatever came in is taken, dropped and counted, or still here.

use std::collections::VecDeque;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use shedder_common::time::Monotonic;

use super::retries::{LONGEST_ASKED, Retries, jittered};
use crate::engine::Chance;
use crate::metrics::Fate;

/// The spans on their way to a collector.
#[derive(Debug)]
pub struct Courier {
    /// Oldest first.
    queue: VecDeque<Span>,
    /// Of the queue, as encoded.
    bytes: usize,
    /// When the first of the next batch came.
    since: Option<Monotonic>,
    stage: Stage,
    /// Nothing begins before this: the collector is away.
    paused_until: Option<Monotonic>,
    is_closing: bool,
    fate: Fate,
    chance: Chance,
}

#[derive(Debug)]
enum Stage {
    Idle,
    /// A batch is on its way.
    Sent(Batch),
    /// It is to go again.
    Waiting(Batch, Monotonic),
}

#[derive(Debug, Default)]
struct Batch {
    spans: Vec<Span>,
    retries: Retries,
}

/// What a collector said to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken, except for so many spans that are refused for good.
    Taken {
        /// How many are refused.
        refused: u64,
    },
    /// Not now; perhaps after this time.
    Later(Option<Duration>),
    /// It never will be.
    Refused,
}

impl Courier {
    /// Nothing to send yet. `seed` spreads the tries of many nodes.
    pub fn new(seed: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            since: None,
            stage: Stage::Idle,
            paused_until: None,
            is_closing: false,
            fate: Fate::default(),
            chance: Chance::new(seed),
        }
    }

    /// Takes in a span.
    pub fn push(&mut self, span: Span, now: Monotonic) {
        self.since.get_or_insert(now);
        self.bytes += span.encoded_len();
        self.queue.push_back(span);
        self.drop_oldest();
    }

    /// The batch to send now, if there is one. It counts as on its way until [`Courier::judge`].
    pub fn next(&mut self, now: Monotonic) -> Option<&[Span]> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        let batch = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Waiting(batch, _) => batch,
            Stage::Idle | Stage::Sent(_) => self.gather(now),
        };
        self.stage = Stage::Sent(batch);
        match &self.stage {
            Stage::Sent(batch) => Some(&batch.spans),
            Stage::Idle | Stage::Waiting(..) => None,
        }
    }

    /// When [`Courier::next`] has something; nothing while a batch is on its way or there is none.
    pub fn due(&self) -> Option<Monotonic> {
        let since = match &self.stage {
            Stage::Sent(_) => return None,
            Stage::Waiting(_, until) => return Some(*until),
            Stage::Idle => self.since?,
        };
        let is_full = self.queue.len() >= BATCH || self.bytes > FLUSH_BYTES;
        let due = if is_full || self.is_closing { since } else { since.plus(LINGER) };
        Some(self.paused_until.map_or(due, |paused| paused.max(due)))
    }

    /// Hears what became of the batch on its way. When the collector is found to be away, that is
    /// after the last retry, how many spans are kept for it.
    pub fn judge(&mut self, verdict: Verdict, now: Monotonic) -> Option<usize> {
        let Stage::Sent(mut batch) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return None;
        };
        let count = batch.spans.len() as u64;
        match verdict {
            Verdict::Taken { refused } => {
                let refused = refused.min(count);
                self.fate.taken += count - refused;
                self.fate.refused += refused;
                self.paused_until = None;
            }
            Verdict::Refused => {
                self.fate.refused += count;
                self.paused_until = None;
            }
            Verdict::Later(asked) => match batch.retries.next(asked, &mut self.chance) {
                Some(wait) => self.stage = Stage::Waiting(batch, now.plus(wait)),
                None if self.is_closing => self.fate.late += count,
                None => {
                    let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
                    let pause = jittered(PAUSE, &mut self.chance).max(asked);
                    self.paused_until = Some(now.plus(pause));
                    self.give_back(batch, now);
                    return Some(self.queue.len());
                }
            },
        }
        None
    }

    /// Nothing more comes: what is here goes now or never.
    pub fn close(&mut self, now: Monotonic) {
        self.is_closing = true;
        self.paused_until = None;
        if let Stage::Waiting(_, until) = &mut self.stage {
            *until = now;
        }
    }

    /// How many spans are neither taken nor dropped.
    pub fn kept(&self) -> usize {
        let batch = match &self.stage {
            Stage::Idle => 0,
            Stage::Sent(batch) | Stage::Waiting(batch, _) => batch.spans.len(),
        };
        self.queue.len() + batch
    }

    /// What became of the others.
    pub const fn fate(&self) -> Fate {
        self.fate
    }

    fn gather(&mut self, now: Monotonic) -> Batch {
        let spans: Vec<Span> = self.queue.drain(..BATCH.min(self.queue.len())).collect();
        self.bytes -= spans.iter().map(Span::encoded_len).sum::<usize>();
        self.since = (!self.queue.is_empty()).then_some(now);
        Batch { spans, retries: Retries::default() }
    }

    /// Keeps a batch for later, before all others.
    fn give_back(&mut self, batch: Batch, now: Monotonic) {
        for span in batch.spans.into_iter().rev() {
            self.bytes += span.encoded_len();
            self.queue.push_front(span);
        }
        self.since.get_or_insert(now);
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        while self.bytes > CAPACITY_BYTES
            && let Some(span) = self.queue.pop_front()
        {
            self.bytes -= span.encoded_len();
            self.fate.full += 1;
        }
    }
}

/// Spans in a request at most, and enough to send one at once.
const BATCH: usize = 100;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_millis(500);
/// What the queue holds, encoded: some 2000 spans. In memory they take about three times that.
const CAPACITY_BYTES: usize = 2 * 1024 * 1024;
/// Four fifths of it are enough to send at once.
const FLUSH_BYTES: usize = CAPACITY_BYTES / 5 * 4;
/// Between two rounds of tries while the collector is away.
const PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
