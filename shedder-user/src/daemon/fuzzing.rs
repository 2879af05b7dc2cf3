//! What comes from the kernel: records of the ring, and rows of its arrays, which others may have written
//! over. Each leads to what the daemon does about it, up to the row of the next verdict.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use shedder_common::breaker::BreakerRow;
use shedder_common::counters::SlotCounters;
use shedder_common::decision::{Ask, decide};
use shedder_common::event::Event;
use shedder_common::histogram::{BUCKETS, HistogramRow};
use shedder_common::in_flight::InFlightRow;
use shedder_common::time::Monotonic;
use shedder_common::verdict::VerdictWord;

use super::destinations::binding_of_network;
use super::explain::refused;
use super::refusals::Refusal;
use super::sampler::{difference, new_samples};
use super::unfinished::Ring;
use crate::api::model::BreakerName;
use crate::config::{Config, presets};
use crate::engine::{CellId, Engine, Force, NodeRules, Place, Policy, Sample};
use crate::fuzzing::Input;
use crate::verdict_row::{Candidate, Siblings, Tenant, action, row};

/// The first byte chooses the policy; each step begins with a byte that says what happens.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let policy = Arc::clone(&POLICIES[input.below(POLICIES.len())]);
    let mut node = Node::new(policy);
    while !input.is_empty() {
        node.step(&mut input);
        node.settle();
    }
}

/// As much of a daemon as there is without a kernel.
struct Node {
    engine: Engine,
    policy: Arc<Policy>,
    cells: Vec<Cell>,
    now: Monotonic,
}

/// What the kernel shows of a slot, and what was seen of it.
struct Cell {
    counters: SlotCounters,
    histogram: HistogramRow,
    in_flight: InFlightRow,
    seen: SlotCounters,
    seen_histogram: HistogramRow,
    ring: Ring,
}

impl Node {
    fn new(policy: Arc<Policy>) -> Self {
        let engine = Engine::new(7, NodeRules::default());
        let mut node =
            Self { engine, policy, cells: Vec::new(), now: Monotonic::from_nanos(1 << 40) };
        (0..2).for_each(|_| node.add());
        node
    }

    fn add(&mut self) {
        let cell = id(self.cells.len());
        self.engine.insert(cell, place(cell), Arc::clone(&self.policy), self.now);
        self.cells.push(Cell {
            counters: SlotCounters::CLEAR,
            histogram: HistogramRow { buckets: [0; BUCKETS] },
            in_flight: InFlightRow::CLEAR,
            seen: SlotCounters::CLEAR,
            seen_histogram: HistogramRow { buckets: [0; BUCKETS] },
            ring: Ring::new(),
        });
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let what = input.byte() % 16;
        if what < 3 {
            let length = usize::from(input.byte());
            return self.take(input.take(length));
        }
        let index = input.below(self.cells.len());
        let cell = &mut self.cells[index];
        match what {
            3..=6 => {
                let counters: &mut [u64] =
                    bytemuck::cast_slice_mut(std::slice::from_mut(&mut cell.counters));
                let counter = &mut counters[input.below(counters.len())];
                *counter = counter.wrapping_add(input.amount());
            }
            7 => cell.counters = input.row(),
            8 => {
                let bucket = &mut cell.histogram.buckets[input.below(BUCKETS)];
                *bucket = bucket.wrapping_add(u32::from(input.short()));
            }
            9 => {
                let gauges: &mut [u32] =
                    bytemuck::cast_slice_mut(std::slice::from_mut(&mut cell.in_flight));
                let gauge = &mut gauges[input.below(gauges.len())];
                *gauge = gauge.wrapping_add(u32::from(input.short()));
            }
            10 => cell.in_flight = input.row(),
            11 => self.resume(id(index), &input.row()),
            12 => {
                let force =
                    if input.byte().is_multiple_of(2) { Force::Open } else { Force::Closed };
                let ttl = Duration::from_millis(input.short().into());
                assert!(self.engine.force(id(index), force, ttl, self.now));
            }
            13 => assert!(self.engine.reset(id(index), self.now)),
            _ => {
                let wait = Duration::from_millis(input.short().into());
                self.now = self.now.plus(wait * (1 << (what % 2 * 8)));
            }
        }
        self.look_at(index);
    }

    /// A record of the ring.
    fn take(&mut self, record: &[u8]) {
        match Event::decode(record) {
            Ok(Event::FailureRun { slot, failures: _ }) => {
                let index = slot.slot as usize;
                if index < self.cells.len() {
                    self.look_at(index);
                }
            }
            Ok(Event::Discovered { key, pid: _ }) => {
                let endpoint = key.endpoint().expect("it was decoded");
                let caller = (key.caller as usize).checked_sub(1);
                let binding = caller.and_then(|it| binding_of_network(&NETWORKS, it, endpoint));
                if binding.is_some() && self.cells.len() < MOST_CELLS {
                    self.add();
                }
            }
            Ok(Event::Trouble) => {}
            Ok(Event::Refused(record)) => {
                let refusal = Refusal { record, state: "open", reason: None };
                let name = BreakerName {
                    caller: String::new(),
                    service: String::new(),
                    endpoint: String::new(),
                    network: None,
                };
                serde_json::to_vec(&refused(&refusal, name)).expect("it has only text keys");
            }
            Err(error) => assert!(!error.to_string().contains('\n')),
        }
    }

    /// As `sampler::sample` does.
    fn look_at(&mut self, index: usize) {
        let cell = &mut self.cells[index];
        let mut sample: Sample = difference(&cell.counters, &cell.seen);
        sample.unfinished = cell.ring.update(&cell.in_flight, self.now);
        sample.unfinished.in_flight = cell.counters.established.saturating_sub(cell.counters.ended);
        let latencies = new_samples(&cell.histogram, &cell.seen_histogram);
        assert!(latencies.is_sorted_by(|one, next| one.0 < next.0));
        (sample.connect, sample.response) = (latencies.clone(), latencies);
        (cell.seen, cell.seen_histogram) = (cell.counters, cell.histogram);
        self.engine.observe(id(index), &sample, self.now);
    }

    /// A breaker goes on from a row of an earlier daemon.
    fn resume(&mut self, cell: CellId, left: &BreakerRow) {
        let _sentence = left.cause();
        self.engine.resume(cell, place(cell), Arc::clone(&self.policy), left, self.now);
        let first = self.engine.hand_on(cell).expect("it is there");
        self.engine.resume(cell, place(cell), Arc::clone(&self.policy), &first, self.now);
        let second = self.engine.hand_on(cell).expect("it is there");
        assert_eq!(stable(&first), stable(&second), "handing on changes something");
    }

    /// As `Daemon::settle` does.
    fn settle(&mut self) {
        let Self { engine, policy, cells, now } = self;
        engine.handle_timeout(*now);
        assert!(engine.poll_timeout().is_none_or(|due| due > *now), "it would be late for ever");
        let candidate = |index| Candidate {
            cell: id(index),
            group: (0, 0, true, 0),
            rank: (false, index as u64),
            policy,
        };
        let siblings = Siblings::find((0..cells.len()).map(candidate), engine);
        for (index, cell) in cells.iter().enumerate() {
            let directive = engine.directive(id(index), *now).expect("it is there");
            let action = action(directive.shed, siblings.of(id(index), (0, 0, true, 0)));
            let tenant = Tenant {
                policy,
                protocol: 0,
                generation: 1,
                jiffies_per_second: Some(1000),
                udp: false,
            };
            let verdict = row(&tenant, &directive, action, 3);
            let word = VerdictWord::unpack(verdict.word).expect("it is one of ours");
            assert_eq!(word.epoch, directive.epoch);
            let _decision = decide(verdict.word, &verdict, 7, &mut Slot(&cell.counters));
            let view = engine.view(id(index), *now).expect("it is there");
            assert!(view.next.is_none_or(|next| next.at >= *now), "{view:?}");
        }
        while let Some(transition) = engine.poll_transition() {
            assert!(!transition.change.to_string().contains('\n'));
        }
        while let Some(notice) = engine.poll_notice() {
            assert!(!notice.to_string().contains('\n'));
        }
    }
}

/// A slot whose daemon lives.
struct Slot<'a>(&'a SlotCounters);

impl Ask for Slot<'_> {
    fn failure_run(&mut self) -> u64 {
        self.0.failure_run
    }

    fn is_in_force(&mut self) -> bool {
        true
    }

    fn take_token(&mut self, limit: u64) -> bool {
        self.0.tokens_taken < limit
    }

    fn next_turn(&mut self) -> u64 {
        self.0.turns
    }
}

/// Without the sentence, which says of itself where it comes from.
fn stable(row: &BreakerRow) -> BreakerRow {
    BreakerRow { cause: BreakerRow::CLEAR.cause, cause_len: 0, ..*row }
}

fn place(cell: CellId) -> Place {
    Place { caller: 0, service: 0, endpoint: cell.0 }
}

fn id(index: usize) -> CellId {
    CellId(u32::try_from(index).expect("there are few"))
}

static POLICIES: LazyLock<Vec<Arc<Policy>>> =
    LazyLock::new(|| presets().iter().map(|preset| Arc::new(preset.policy())).collect());
static NETWORKS: LazyLock<Config> =
    LazyLock::new(|| Config::parse("fuzz.toml", POLICY).expect("it is good"));
const POLICY: &str = "
[[caller]]
name = \"web\"
unit = \"web.service\"

[[service]]
name = \"db\"
endpoints = [\"10.0.0.0/8:5432\", \"[2001:db8::/32]:5432\"]

[[policy]]
caller = \"web\"
service = \"db\"
";
const MOST_CELLS: usize = 6;
