//! The model: callers and endpoints, the wire between them, the kernel and the daemon beside them.
//!
//! Invariant: whatever happens is an event of the queue, a tick of the daemon or a deadline of the
//! engine, and they are taken in order of time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::kernel::{Slot, Tag};
use super::luck::Luck;
use super::node::Node;
use super::queue::{Event, Queue};
use super::record::Record;
use super::report::{self, PolicyReport};
use super::scenario::{Scenario, Trouble};
use crate::engine::Policy;

mod calls;
mod wire;

/// A scenario being played under one policy.
#[derive(Debug)]
pub struct Simulation<'a> {
    scenario: &'a Scenario,
    policy: Arc<Policy>,
    luck: Luck,
    now: Monotonic,
    queue: Queue,
    node: Node<'a>,
    slots: Vec<Slot>,
    flows: Vec<Flow>,
    callers: Vec<Caller>,
    servers: Vec<Server>,
    calls: BTreeMap<u64, Call>,
    connections: BTreeMap<u64, Connection>,
    /// Calls and connections begun so far.
    begun: u64,
    /// Cells the kernel wants the daemon to look at.
    urgent: Vec<usize>,
    record: Record,
}

/// One caller calling one service.
#[derive(Debug, Default)]
struct Flow {
    calls: u64,
    /// Which of the single calls is next.
    single: usize,
    /// Idle connections to each endpoint of the service.
    pools: Vec<Vec<u64>>,
}

#[derive(Debug, Default)]
struct Caller {
    /// Calls that have begun and not ended.
    busy: u32,
}

/// An endpoint with so many workers.
#[derive(Debug, Default)]
struct Server {
    busy: u32,
    waiting: VecDeque<(u64, u32)>,
}

#[derive(Clone, Debug)]
struct Call {
    flow: usize,
    /// Calls of the flow before it, by which endpoints take turns.
    number: u64,
    begun: Monotonic,
    luck: Luck,
    /// Tries so far.
    tries: u32,
    tried: Option<Try>,
}

/// The try under way.
#[derive(Clone, Copy, Debug)]
struct Try {
    /// The cell whose verdict let it through.
    cell: usize,
    begun: Monotonic,
    connection: Option<u64>,
}

#[derive(Clone, Debug)]
struct Connection {
    flow: usize,
    /// Where it goes, which after a redirect is not where the caller wanted.
    endpoint: usize,
    /// In whose pool it belongs: the place of the endpoint the caller wanted.
    pool: usize,
    tag: Tag,
    luck: Luck,
    call: Option<u64>,
    /// The turn under way, from one.
    turn: u32,
    /// How much longer than its first byte an answer takes.
    rest: Duration,
}

impl<'a> Simulation<'a> {
    /// The scenario at its beginning, under `policy`, with chance drawn from `seed`.
    pub fn new(scenario: &'a Scenario, policy: Arc<Policy>, seed: u64) -> Self {
        let (node, slots) = Node::new(scenario, Arc::clone(&policy), seed);
        let flow = |flow: &super::scenario::Flow| Flow {
            pools: vec![Vec::new(); scenario.services[flow.service].endpoints.len()],
            ..Flow::default()
        };
        let mut simulation = Self {
            scenario,
            policy,
            luck: Luck::new(seed),
            now: Monotonic::default(),
            queue: Queue::default(),
            node,
            slots,
            flows: scenario.flows.iter().map(flow).collect(),
            callers: scenario.callers.iter().map(|_| Caller::default()).collect(),
            servers: scenario.endpoints.iter().map(|_| Server::default()).collect(),
            calls: BTreeMap::new(),
            connections: BTreeMap::new(),
            begun: 0,
            urgent: Vec::new(),
            record: Record::new(scenario),
        };
        for flow in 0..simulation.flows.len() {
            simulation.plan_arrival(flow);
        }
        simulation
    }

    /// Plays up to `until` after the beginning, or to the end; whether the end was reached.
    pub fn play(&mut self, until: Duration) -> bool {
        let end = self.scenario.end();
        let until = Monotonic::default().plus(until).min(end);
        loop {
            let node_at = self.node.next_at();
            let event_at = self.queue.next_at();
            let next = event_at.map_or(node_at, |event_at| event_at.min(node_at));
            if next > until {
                return until == end;
            }
            self.now = self.now.max(next);
            if event_at.is_some_and(|event_at| event_at <= node_at) {
                if let Some((_, event)) = self.queue.pop() {
                    self.happen(event);
                }
                self.wake_node();
            } else {
                self.show_ages(|_| true);
                self.node.act(&mut self.slots, &mut self.record, self.now);
            }
        }
    }

    /// What came of it.
    pub fn report(&self) -> PolicyReport {
        report::policy(self.scenario, &self.policy.name, &self.record)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { flow } => self.arrive(flow),
            Event::Try { call } => self.try_call(call),
            Event::GiveUp { call, number } => self.give_up(call, number),
            Event::Told { call, number, fate } => self.tell(call, number, fate),
            Event::Syn { connection, sent } => self.send_syn(connection, sent),
            Event::Established { connection } => self.establish(connection),
            Event::Ask { connection } => self.ask(connection),
            Event::Request { connection, sent } => self.send_request(connection, sent),
            Event::Worked { endpoint, connection, turn } => self.worked(endpoint, connection, turn),
            Event::Answer { connection, turn, sent } => self.answer(connection, turn, sent),
            Event::Done { connection, turn } => self.done(connection, turn),
            Event::Ended { connection, turn, end } => self.ended(connection, turn, end),
        }
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.queue.plan(self.now.plus(after), event);
    }

    /// Plans `event` for when a stopped caller goes on, if it is stopped.
    fn is_put_off(&mut self, caller: usize, event: Event) -> bool {
        let until = self.scenario.faults.iter().find_map(|fault| {
            let stops = fault.trouble == Trouble::CallerStopped && fault.callers.contains(&caller);
            fault.active_until(self.now).filter(|_| stops)
        });
        if let Some(until) = until {
            self.queue.plan(until, event);
        }
        until.is_some()
    }

    /// The ring wakes the daemon.
    fn wake_node(&mut self) {
        if self.urgent.is_empty() {
            return;
        }
        let mut urgent = std::mem::take(&mut self.urgent);
        self.show_ages(|cell| urgent.contains(&cell));
        self.node.wake(&mut urgent, &mut self.slots, &mut self.record, self.now);
        self.urgent = urgent;
    }

    /// Lets the kernel show what is unfinished.
    fn show_ages(&mut self, is_looked_at: impl Fn(usize) -> bool) {
        for slot in &mut self.slots {
            slot.counted.unfinished = crate::engine::Unfinished::default();
        }
        for Connection { tag, .. } in self.connections.values() {
            if is_looked_at(tag.slot) {
                tag.add_age(&mut self.slots[tag.slot], self.now);
            }
        }
    }
}
