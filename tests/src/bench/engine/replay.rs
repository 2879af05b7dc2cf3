//! Playing a trace to a breaker.
//!
//! Invariant: what is noted of a call is noted by the trace's times, so that a thread that wakes late
//! moves no figure by itself.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::libraries::Pace;
use super::score::{Referee, Score};
use super::trace::Trace;
use crate::clock;

/// A breaker that is asked before each call and told of each outcome. Times are nanoseconds from the
/// beginning of the trace.
pub(super) trait Subject {
    /// What it wants to be handed back with the outcome.
    type Ticket;

    /// Asks for a call; nothing when it is refused.
    fn ask(&mut self, at_ns: u64) -> Option<Self::Ticket>;

    /// Tells how a call ended.
    fn tell(&mut self, ticket: Self::Ticket, ended: &Ended);

    /// Whether it would refuse a call now, or part of the calls. Asking changes nothing.
    fn is_shedding(&mut self, at_ns: u64) -> bool {
        // A call that is dropped before it ends counts for nothing in any of the libraries.
        self.ask(at_ns).is_none()
    }

    /// When it wants to be woken next; one that reads the clock itself does not.
    fn due_ns(&self) -> Option<u64> {
        None
    }

    /// Wakes it.
    fn wake(&mut self, _at_ns: u64) {}
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) at_ns: u64,
    pub(super) latency_ns: u64,
    pub(super) is_ok: bool,
}

/// Plays a trace: at a pace where the breaker reads a clock, without waiting where it does not.
pub(super) fn play<S: Subject>(trace: &Trace, subject: &mut S, pace: Option<Pace>) -> Score {
    let wall = pace.map(|pace| Wall { start: clock::now(), pace });
    let mut referee = Referee::new(trace);
    let mut tickets: Vec<Option<S::Ticket>> = trace.calls.iter().map(|_| None).collect();
    // Calls under way, by when they end.
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut next = 0;
    while next < trace.calls.len() || !ends.is_empty() {
        let begins = trace.calls.get(next).map_or(u64::MAX, |call| call.at_ns);
        let end = ends.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let at_ns = begins.min(end);
        if let Some(due) = subject.due_ns().filter(|due| *due <= at_ns) {
            subject.wake(due);
            if referee.is_waiting_for_detection(due) && subject.is_shedding(due) {
                referee.detected(due);
            }
            continue;
        }
        if let Some(wall) = &wall {
            referee.late(wall.wait_until(at_ns));
        }
        if end <= begins {
            let Some(Reverse((_, index))) = ends.pop() else { continue };
            let call = trace.calls[index];
            if let Some(ticket) = tickets[index].take() {
                let ended = Ended { at_ns, latency_ns: call.latency_ns, is_ok: call.is_ok };
                subject.tell(ticket, &ended);
                if referee.is_waiting_for_detection(at_ns) && subject.is_shedding(at_ns) {
                    referee.detected(at_ns);
                }
            }
        } else {
            tickets[next] = subject.ask(at_ns);
            let is_admitted = tickets[next].is_some();
            referee.see(&trace.calls[next], is_admitted);
            if is_admitted {
                ends.push(Reverse((at_ns + trace.calls[next].latency_ns, next)));
            }
            next += 1;
        }
    }
    referee.score()
}

struct Wall {
    start: Instant,
    pace: Pace,
}

impl Wall {
    /// Waits for a time of the trace; how late it is by then, in the trace's time.
    fn wait_until(&self, at_ns: u64) -> Duration {
        let due = self.start + self.pace.of(Duration::from_nanos(at_ns));
        if let Some(wait) = clock::remaining(due) {
            std::thread::sleep(wait);
        }
        clock::now().saturating_duration_since(due) * self.pace.0
    }
}
