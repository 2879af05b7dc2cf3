//! The kernel's side, where it matters: the verdict of each slot, what it counts, and what sockets
//! remember. It follows the BPF programs step by step.
//!
//! Invariant: a connect is decided and the end of a connection is read by the functions the
//! programs themselves use.

use shedder_common::decision::{Ask, Decision, Shed, decide};
use shedder_common::ending::{self, End, Life, Outcome};
use shedder_common::histogram::bucket;
use shedder_common::time::Monotonic;
use shedder_common::verdict::{MEASURE_CONNECTS_ONLY, Verdict, epoch};

use crate::engine::{Buckets, Sample};

/// One slot: a verdict, and what was counted since the daemon last looked.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) verdict: Verdict,
    /// Until when the daemon stands behind it.
    pub(super) verdict_until: Monotonic,
    /// What was counted.
    pub(super) counted: Sample,
    pub(super) tokens_taken: u64,
    turns: u64,
}

/// A slot as the decision asks for it, at some time.
struct At<'a> {
    slot: &'a mut Slot,
    now: Monotonic,
}

impl Ask for At<'_> {
    fn failure_run(&mut self) -> u64 {
        self.slot.counted.failure_run
    }

    fn is_in_force(&mut self) -> bool {
        self.now < self.slot.verdict_until
    }

    fn take_token(&mut self, limit: u64) -> bool {
        let is_granted = self.slot.tokens_taken < limit;
        self.slot.tokens_taken += u64::from(is_granted);
        is_granted
    }

    fn next_turn(&mut self) -> u64 {
        self.slot.turns += 1;
        self.slot.turns - 1
    }
}

/// What a socket remembers of its connect.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "as the tag of the BPF programs")]
pub(super) struct Tag {
    /// Index of the slot the evidence counts for.
    pub(super) slot: usize,
    generation: u32,
    epoch: u16,
    turn_epoch: u16,
    phase: Phase,
    is_held: bool,
    was_held: bool,
    is_probe: bool,
    is_waiting: bool,
    has_answered: bool,
    has_outcome: bool,
    is_peer_closed: bool,
    started: Monotonic,
    asked: Monotonic,
    turns_to_skip: u16,
    measure: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Admitted,
    Connecting,
    Established,
    Idle,
}

impl Slot {
    pub(super) fn new(generation: u32) -> Self {
        Self {
            verdict: Verdict { generation, ..Verdict::CLEAR },
            verdict_until: Monotonic::default(),
            counted: Sample::default(),
            tokens_taken: 0,
            turns: 0,
        }
    }

    /// Decides a connect and counts it.
    pub(super) fn connect(&mut self, now: Monotonic) -> Decision {
        let verdict = self.verdict;
        let decision = decide(verdict.word, &verdict, FIRST_COHORT, &mut At { slot: self, now });
        let counted = &mut self.counted;
        counted.counts.connects += 1;
        match decision {
            Decision::Probe => counted.probes += 1,
            Decision::Shed(_) => counted.counts.shed += 1,
            Decision::Allow | Decision::AllowExpired | Decision::Observe(_) => {}
        }
        decision
    }

    /// Takes in a connect sent here from a sibling.
    pub(super) const fn take_redirected(&mut self) {
        self.counted.counts.connects += 1;
    }

    /// What was counted since the last look.
    pub(super) fn take(&mut self) -> Sample {
        let failure_run = self.counted.failure_run;
        std::mem::replace(&mut self.counted, Sample { failure_run, ..Sample::default() })
    }

    /// Counts how an attempt or a turn ended; whether the daemon is woken by it.
    fn record(&mut self, tag: &mut Tag, began: u16, outcome: Outcome) -> bool {
        tag.has_outcome = true;
        if began != epoch(self.verdict.word) {
            return false;
        }
        let counts = &mut self.counted.counts;
        match outcome {
            Outcome::Answered(_) | Outcome::IdleClose => counts.successes += 1,
            Outcome::Refused => counts.refused += 1,
            Outcome::TimedOut => counts.timed_out += 1,
            Outcome::Unreachable => counts.unreachable += 1,
            Outcome::Reset | Outcome::HungUp => counts.reset += 1,
            Outcome::Errored => counts.errored += 1,
            Outcome::GaveUp | Outcome::Abandoned => {
                if tag.is_probe && began == tag.epoch {
                    tag.is_probe = false;
                    self.counted.probes_void += 1;
                }
                return false;
            }
        }
        let limit = self.verdict.slow_ns;
        let is_slow = matches!(outcome, Outcome::Answered(took) if limit != 0 && took > limit);
        let is_success = matches!(outcome, Outcome::Answered(_) | Outcome::IdleClose);
        if tag.is_probe && began == tag.epoch {
            tag.is_probe = false;
            if is_success && !is_slow {
                self.counted.probe_successes += 1;
            } else {
                self.counted.probe_failures += 1;
            }
        }
        if is_success {
            self.counted.failure_run = 0;
            return false;
        }
        self.counted.failure_run += 1;
        let is_burst = self.counted.failure_run == u64::from(self.verdict.failure_run_limit);
        self.counted.failure_bursts += u64::from(is_burst);
        is_burst
    }
}

impl Tag {
    /// Marks a socket whose connect slot number `slot` let through.
    pub(super) fn new(index: usize, slot: &Slot, decision: Decision) -> Self {
        let is_held = matches!(decision, Decision::Shed(Shed::Delay(_)));
        let epoch = epoch(slot.verdict.word);
        Self {
            slot: index,
            generation: slot.verdict.generation,
            epoch,
            turn_epoch: epoch,
            phase: Phase::Admitted,
            is_held,
            was_held: is_held,
            is_probe: decision == Decision::Probe,
            is_waiting: false,
            has_answered: false,
            has_outcome: false,
            is_peer_closed: false,
            started: Monotonic::default(),
            asked: Monotonic::default(),
            turns_to_skip: slot.verdict.turns_to_skip,
            measure: slot.verdict.measure,
        }
    }

    /// The caller calls: from here on time counts, even if the SYN is held.
    pub(super) const fn begin(&mut self, now: Monotonic) {
        self.phase = Phase::Connecting;
        self.started = now;
    }

    /// A SYN leaves.
    pub(super) const fn send_syn(&mut self, sent: u32, slot: &mut Slot, now: Monotonic) {
        if self.is_held {
            self.is_held = false;
            self.started = now;
        }
        slot.counted.counts.segments += 1;
        slot.counted.counts.retransmits += (sent > 0) as u64;
    }

    pub(super) fn establish(&mut self, slot: &mut Slot, now: Monotonic) {
        self.phase = Phase::Established;
        if self.is_current(slot, self.epoch) && !self.was_held {
            add(&mut slot.counted.connect, now.since(self.started).as_micros());
        }
        if self.measures_connects_only() {
            self.has_answered = true;
            let began = self.epoch;
            slot.record(self, began, Outcome::IdleClose);
        }
    }

    const fn measures_connects_only(&self) -> bool {
        self.measure & MEASURE_CONNECTS_ONLY != 0
    }

    /// The caller asks.
    pub(super) const fn ask(&mut self, slot: &Slot, now: Monotonic) {
        if self.measures_connects_only() {
            return;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.turn_epoch = epoch(slot.verdict.word);
        }
        self.asked = now;
    }

    /// A segment of the request leaves.
    pub(super) const fn send(sent: u32, slot: &mut Slot) {
        slot.counted.counts.segments += 1;
        slot.counted.counts.retransmits += (sent > 0) as u64;
    }

    /// The first byte of the answer arrives; whether the daemon is woken by it.
    pub(super) fn answer(&mut self, slot: &mut Slot, now: Monotonic) -> bool {
        self.has_answered = true;
        if !self.is_waiting {
            return false;
        }
        self.is_waiting = false;
        if self.turns_to_skip != 0 {
            self.turns_to_skip -= 1;
            return false;
        }
        if slot.verdict.generation != self.generation {
            return false;
        }
        let took = now.since(self.asked);
        if self.is_current(slot, self.turn_epoch) {
            add(&mut slot.counted.response, took.as_micros());
        }
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let began = self.turn_epoch;
        slot.record(self, began, Outcome::Answered(took))
    }

    /// The peer has said that it will send no more, while nothing was asked.
    pub(super) const fn close_peer(&mut self) {
        self.is_peer_closed = true;
    }

    /// The connection ends; whether the daemon is woken by it.
    pub(super) fn finish(&mut self, slot: &mut Slot, end: End, now: Monotonic) -> bool {
        if !matches!(self.phase, Phase::Connecting | Phase::Established) {
            return false;
        }
        let is_turn = self.is_waiting;
        let waited = now.since(if is_turn { self.asked } else { self.started });
        let life = Life {
            is_connecting: self.phase == Phase::Connecting,
            is_held: self.is_held,
            is_waiting: is_turn,
            has_answered: self.has_answered,
            has_outcome: self.has_outcome,
            is_peer_closed: self.is_peer_closed,
            waited_ns: u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX),
        };
        self.phase = Phase::Idle;
        if slot.verdict.generation != self.generation {
            return false;
        }
        let Some(outcome) = ending::outcome(&life, end, slot.verdict.caller_timeout_ns) else {
            return false;
        };
        let began = if is_turn { self.turn_epoch } else { self.epoch };
        let is_late = is_turn && outcome == Outcome::TimedOut && self.turns_to_skip == 0;
        if is_late && self.is_current(slot, began) {
            add(&mut slot.counted.response, waited.as_micros());
        }
        slot.record(self, began, outcome)
    }

    /// Adds what is unfinished, by its age, to what is counted.
    pub(super) fn add_age(&self, slot: &mut Slot, now: Monotonic) {
        let unfinished = &mut slot.counted.unfinished;
        if self.phase == Phase::Established {
            unfinished.in_flight += 1;
        }
        if self.phase == Phase::Connecting && !self.is_held && self.is_current(slot, self.epoch) {
            add(&mut slot.counted.unfinished.connecting, now.since(self.started).as_micros());
        } else if self.is_waiting && self.is_current(slot, self.turn_epoch) {
            add(&mut slot.counted.unfinished.waiting, now.since(self.asked).as_micros());
        }
    }

    /// Whether what began in an epoch of this tenancy still counts.
    const fn is_current(&self, slot: &Slot, began: u16) -> bool {
        slot.verdict.generation == self.generation && began == epoch(slot.verdict.word)
    }
}

/// Adds a latency to a histogram.
fn add(buckets: &mut Buckets, microseconds: u128) {
    let microseconds = u64::try_from(microseconds).unwrap_or(u64::MAX);
    let bucket = u8::try_from(bucket(microseconds)).expect("there are fewer than 256 buckets");
    match buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
        Ok(at) => buckets[at].1 += 1,
        Err(at) => buckets.insert(at, (bucket, 1)),
    }
}

/// Every caller is one that a verdict acts for.
const FIRST_COHORT: u16 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_nanos(milliseconds * 1_000_000)
    }

    fn admitted(slot: &mut Slot, now: Monotonic) -> Tag {
        let decision = slot.connect(now);
        let mut tag = Tag::new(0, slot, decision);
        tag.begin(now);
        tag
    }

    #[test]
    fn an_outcome_of_another_epoch_says_nothing() {
        let mut slot = Slot::new(1);
        let mut tag = admitted(&mut slot, at(0));
        slot.verdict.word = shedder_common::verdict::VerdictWord::allow(9).pack();
        assert!(!tag.finish(&mut slot, End::Refused, at(1)));
        assert_eq!((slot.counted.counts.connects, slot.counted.counts.refused), (1, 0));
    }

    #[test]
    fn the_daemon_is_woken_when_the_run_reaches_its_limit() {
        let mut slot = Slot::new(1);
        slot.verdict.failure_run_limit = 3;
        let woken: Vec<bool> = (0..4)
            .map(|time| admitted(&mut slot, at(time)).finish(&mut slot, End::Refused, at(time)))
            .collect();
        assert_eq!(woken, [false, false, true, false]);
        assert_eq!(slot.take().failure_bursts, 1);
        assert_eq!(slot.counted.failure_run, 4);
    }

    #[test]
    fn what_waits_is_shown_by_its_age() {
        let mut slot = Slot::new(1);
        let mut tag = admitted(&mut slot, at(0));
        tag.add_age(&mut slot, at(300));
        let age = |buckets: &Buckets| {
            assert_eq!(buckets.len(), 1);
            shedder_common::histogram::midpoint(buckets[0].0.into()) / 1000
        };
        assert!((280..320).contains(&age(&slot.take().unfinished.connecting)));
        tag.establish(&mut slot, at(400));
        tag.ask(&slot, at(400));
        tag.add_age(&mut slot, at(500));
        let unfinished = slot.take().unfinished;
        assert!((90..110).contains(&age(&unfinished.waiting)));
        assert_eq!((unfinished.in_flight, unfinished.connecting.len()), (1, 0));
    }
}
