//! Timelines as data: what happens when, and the transitions that must follow.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use shedder_common::errno::Errno;
use shedder_common::histogram::bucket;
use shedder_common::time::Monotonic;

use super::{
    Admission, Buckets, CellId, Counts, Engine, Established, Force, Growth, HalfOpenRule, Limit,
    Lone, Mode, NodeRules, OnFailure, OpenRule, Place, Policy, RampRule, Rule, SafetyRule, Sample,
    ScopeRule, ShedAction, Signal, Span, Strategy, ThrottleRule, TripRule, Unfinished,
};

mod boundaries;
mod brakes;
mod bursts;
mod recovery;
mod replacing;
mod safety;
mod states;
mod strategies;
mod variants;

/// The cell of a line that names none.
pub(super) const CELL: CellId = CellId(0);

/// A policy that only looks at its own breaker: opens for 1 s to 8 s without jitter, 3 tokens of
/// which 2 must succeed, 10 s ramp.
pub(super) fn policy(trip: Vec<Strategy>) -> Policy {
    Policy {
        name: "test".to_owned(),
        generation: 1,
        mode: Mode::Enforce,
        enforce_percent: 100,
        trip: trip.into_iter().map(|strategy| TripRule::opens(Rule::One(strategy))).collect(),
        shed: ShedAction::Deny(Errno::ConnectionRefused),
        delay_jitter_ms: 0,
        established: Established::Keep,
        open: OpenRule {
            base: Duration::from_secs(1),
            max: Duration::from_secs(8),
            growth: Growth::Exponential(2.0),
            jitter_permille: 0,
        },
        half_open: HalfOpenRule {
            admission: Admission::Tokens(3),
            successes: 2,
            on_failure: OnFailure::Reopen,
            refill: None,
            gate: None,
            deadline: Duration::from_secs(5),
        },
        ramp: RampRule {
            duration: Duration::from_secs(10),
            start_permille: 100,
            freeze_permille: 200,
            reopen_permille: 500,
        },
        throttle: ThrottleRule {
            multiplier: 2.0,
            window: Duration::from_secs(30),
            max_shed_permille: 900,
            calm: Duration::from_secs(10),
        },
        safety: SafetyRule {
            max_open_percent: 100,
            lone: Lone::Open,
            panic_percent: None,
            scope: ScopeRule::Cell,
            false_refusals_permille: None,
        },
        caller_timeout: Duration::from_secs(1),
        turns_to_skip: 0,
        answers: true,
    }
}

pub(super) const TEN_SECONDS: Span = Span::Time(Duration::from_secs(10));

pub(super) const fn failure_share(at_least: f64, z: f64, min_attempts: u64) -> Strategy {
    Strategy::FailureShare {
        at_least,
        strictly: false,
        z,
        min_attempts,
        min_failures: 1,
        window: TEN_SECONDS,
        shrunk: None,
    }
}

pub(super) const fn quantile(
    signal: Signal,
    quantile_permille: u16,
    over: Duration,
    min_samples: u64,
) -> Strategy {
    let over = Limit::Fixed(over);
    Strategy::Latency { signal, quantile_permille, over, min_samples, window: TEN_SECONDS }
}

/// Plays a timeline on one breaker.
fn check(policy: &Policy, timeline: &str, expected: &str) {
    Stage::new(policy, &[(0, 0, 0)]).check(timeline, expected);
}

/// An engine with some cells, and the actors of a timeline.
struct Stage {
    engine: Engine,
    /// Failures in a row of each cell, as the kernel counts them.
    runs: Vec<u64>,
    log: String,
}

impl Stage {
    /// Cells numbered from zero, each given by its caller, service and endpoint.
    fn new(policy: &Policy, cells: &[(u32, u32, u32)]) -> Self {
        Self::with_rules(
            policy,
            cells,
            NodeRules { trips_per_minute: 1000, ..NodeRules::default() },
        )
    }

    fn with_rules(policy: &Policy, cells: &[(u32, u32, u32)], rules: NodeRules) -> Self {
        let policy = Arc::new(policy.clone().try_new().expect("a valid policy"));
        let mut engine = Engine::new(1, rules);
        for (index, (caller, service, endpoint)) in (0..).zip(cells.iter().copied()) {
            let place = Place { caller, service, endpoint };
            engine.insert(CellId(index), place, Arc::clone(&policy), at(0));
        }
        Self { engine, runs: vec![0; cells.len()], log: String::new() }
    }

    fn check(mut self, timeline: &str, expected: &str) {
        self.play(timeline);
        self.expect(expected);
    }

    /// Compares the transitions since the last look, indentation aside.
    fn expect(&mut self, expected: &str) {
        let lines = expected.lines().map(str::trim).filter(|line| !line.is_empty());
        let expected: String = lines.flat_map(|line| [line, "\n"]).collect();
        assert_eq!(std::mem::take(&mut self.log), expected);
    }

    /// Plays lines of `TIME [cCELL] EVENT`. Times are milliseconds, or `FROM..TO/STEP` for an event
    /// that comes again and again. The events are in [`Stage::act`].
    fn play(&mut self, timeline: &str) {
        let mut script: Vec<(u64, usize, Vec<&str>)> = Vec::new();
        for line in timeline.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split_whitespace().peekable();
            let times = words.next().expect("a time");
            let cell =
                words.next_if(|word| word.starts_with('c') && word[1..].parse::<u8>().is_ok());
            let cell = cell.map_or(0, |cell| cell[1..].parse().expect("a number"));
            let event: Vec<&str> = words.collect();
            for time in moments(times) {
                script.push((time, cell, event.clone()));
            }
        }
        script.sort_by_key(|(time, ..)| *time);
        for (time, cell, event) in script {
            let now = at(time);
            while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= now) {
                self.engine.handle_timeout(due);
            }
            self.note();
            self.act(cell, &event, now);
            self.engine.handle_timeout(now);
            self.note();
        }
    }

    /// `ok N`, `fail N` (refused), `mixed OK FAIL`, `late N` (timed out), `slow MS N` and `connect MS N` and `rtt MS
    /// N` (latencies), `segments N AGAIN`, `waiting MS N` (unfinished requests),
    /// `connecting MS N` (unfinished handshakes), `stalled MS N` (unfinished handshakes that stall), `in-flight N`,
    /// `asked N SHED` (connects), `burst` (five failures and a success unseen between two looks),
    /// `probe ADMITTED OK FAILED`, `void N` (probes that say nothing), `open MS`, `hold MS`, `reset`, or `.` for the passage of time.
    fn act(&mut self, cell: usize, event: &[&str], now: Monotonic) {
        let id = CellId(u32::try_from(cell).expect("a small number"));
        let numbers: Vec<u64> =
            event[1..].iter().map(|word| word.parse().expect("a number")).collect();
        let run = &mut self.runs[cell];
        let mut sample = Sample::default();
        match (event[0], &numbers[..]) {
            ("ok", [count]) => {
                *run = 0;
                sample.counts = Counts { successes: *count, connects: *count, ..Counts::default() };
            }
            // With a success last.
            ("mixed", [successes, refused]) => {
                *run = 0;
                sample.counts = Counts {
                    successes: *successes,
                    refused: *refused,
                    connects: successes + refused,
                    ..Counts::default()
                };
            }
            ("fail", [count]) => {
                *run += count;
                sample.counts = Counts { refused: *count, connects: *count, ..Counts::default() };
            }
            ("late", [count]) => {
                *run += count;
                sample.counts = Counts { timed_out: *count, connects: *count, ..Counts::default() };
            }
            ("slow", [milliseconds, count]) => {
                *run = 0;
                sample.counts = Counts { successes: *count, connects: *count, ..Counts::default() };
                sample.response = latencies(*milliseconds, *count);
            }
            ("connect", [milliseconds, count]) => sample.connect = latencies(*milliseconds, *count),
            ("rtt", [milliseconds, count]) => sample.rtt = latencies(*milliseconds, *count),
            ("segments", [segments, retransmits]) => {
                sample.counts.segments = *segments;
                sample.counts.retransmits = *retransmits;
            }
            ("waiting", [milliseconds, count]) => {
                let waiting = latencies(*milliseconds, *count);
                sample.unfinished = Unfinished { waiting, ..Unfinished::default() };
            }
            ("connecting" | "stalled", [milliseconds, count]) => {
                sample.unfinished = Unfinished {
                    connecting: latencies(*milliseconds, *count),
                    stalled_connecting: if event[0] == "stalled" { *count } else { 0 },
                    ..Unfinished::default()
                };
            }
            ("in-flight", [count]) => sample.unfinished.in_flight = *count,
            ("asked", [connects, shed]) => {
                sample.counts.connects = *connects;
                sample.counts.shed = *shed;
            }
            ("burst", []) => {
                sample.counts = Counts { refused: 5, successes: 1, ..Counts::default() };
                sample.failure_bursts = 1;
            }
            ("probe", [probes, successes, failures]) => {
                sample.probes = *probes;
                sample.probe_successes = *successes;
                sample.probe_failures = *failures;
            }
            ("void", [probes]) => sample.probes_void = *probes,
            ("open", [ttl]) => {
                assert!(self.engine.force(id, Force::Open, Duration::from_millis(*ttl), now));
                return;
            }
            ("hold", [ttl]) => {
                assert!(self.engine.force(id, Force::Closed, Duration::from_millis(*ttl), now));
                return;
            }
            ("reset", []) => {
                assert!(self.engine.reset(id, now));
                return;
            }
            (".", []) => return,
            other => panic!("not an event: {other:?}"),
        }
        sample.failure_run = *run;
        self.engine.observe(id, &sample, now);
    }

    /// Logs what has happened: cell zero's lines without a name.
    fn note(&mut self) {
        while let Some(transition) = self.engine.poll_transition() {
            let change = &transition.change;
            let time = change.at.as_nanos() / 1_000_000;
            let cell = transition.cell.0;
            // The kernel counts afresh in each state.
            self.runs[cell as usize] = 0;
            let name = if cell == 0 { String::new() } else { format!("c{cell} ") };
            write!(
                self.log,
                "{time} {name}{} -> {}, level {}: {}",
                change.from, change.to, change.level, change.cause
            )
            .expect("to a string");
            for reach in [
                change.scope.map(|scope| scope.to_string()),
                change.restraint.map(|restraint| restraint.to_string()),
            ] {
                let reach = reach.filter(|reach| !reach.is_empty());
                write!(
                    self.log,
                    "{}",
                    reach.map_or_else(String::new, |reach| format!("; {reach}"))
                )
                .expect("to a string");
            }
            self.log.push('\n');
        }
        while let Some(notice) = self.engine.poll_notice() {
            writeln!(self.log, "notice: {notice}").expect("to a string");
        }
    }

    /// The share let through now, in thousandths.
    fn admitted(&self, cell: u32, time: u64) -> u16 {
        let directive = self.engine.directive(CellId(cell), at(time)).expect("it exists");
        if directive.sheds() { directive.admit_permille } else { 1000 }
    }
}

fn moments(times: &str) -> Vec<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a time");
    match times.split_once("..") {
        None => vec![number(times)],
        Some((from, rest)) => {
            let (to, step) = rest.split_once('/').expect("a step");
            let step = usize::try_from(number(step)).expect("small");
            (number(from)..=number(to)).step_by(step).collect()
        }
    }
}

fn latencies(milliseconds: u64, count: u64) -> Buckets {
    let bucket = u8::try_from(bucket(milliseconds * 1000)).expect("a bucket");
    vec![(bucket, u32::try_from(count).expect("small"))]
}

pub(super) fn at(milliseconds: u64) -> Monotonic {
    Monotonic::from_nanos(milliseconds * 1_000_000)
}
