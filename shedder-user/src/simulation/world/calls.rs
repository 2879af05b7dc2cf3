//! The callers: when they call, whom they choose, how long they wait and how often they try again.

use std::time::Duration;

use shedder_common::decision::{Decision, Shed};
use shedder_common::ending::End;
use shedder_common::time::Monotonic;

use super::super::fate::{Handshake, Path, Pooled};
use super::super::kernel::Tag;
use super::super::luck::Luck;
use super::super::queue::Event;
use super::super::record::{CallFate, TryFate};
use super::super::scenario::{Choose, Flow};
use super::{Call, Connection, Simulation, Try};

impl Simulation<'_> {
    /// Plans the next call of a flow.
    pub(super) fn plan_arrival(&mut self, flow: usize) {
        let arrivals = &self.scenario.caller(flow).arrivals;
        let state = &self.flows[flow];
        let luck = self.luck_of(flow, state.calls).of(ARRIVAL);
        let single = arrivals.calls.get(state.single).copied();
        let by_rate = next_by_rate(&arrivals.rates, arrivals.evenly, luck, self.now);
        let next = match (single, by_rate) {
            (Some(single), Some(by_rate)) if by_rate < single => by_rate,
            (Some(single), _) => {
                self.flows[flow].single += 1;
                single
            }
            (None, Some(by_rate)) => by_rate,
            (None, None) => return,
        };
        self.queue.plan(next, Event::Arrive { flow });
    }

    pub(super) fn arrive(&mut self, flow: usize) {
        let Flow { caller, .. } = self.scenario.flows[flow];
        if self.is_put_off(caller, Event::Arrive { flow }) {
            return;
        }
        let number = self.flows[flow].calls;
        self.flows[flow].calls += 1;
        self.plan_arrival(flow);
        if self.scenario.callers[caller]
            .concurrency
            .is_some_and(|most| self.callers[caller].busy >= most)
        {
            self.record.call(flow, self.now, CallFate::Busy);
            return;
        }
        self.callers[caller].busy += 1;
        self.begun += 1;
        let luck = self.luck_of(flow, number);
        let call = Call { flow, number, begun: self.now, luck, tries: 0, tried: None };
        self.calls.insert(self.begun, call);
        self.try_call(self.begun);
    }

    /// Tries (again): over a pooled connection if there is one, else with a connect.
    pub(super) fn try_call(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id) else { return };
        let Flow { caller, service } = self.scenario.flows[call.flow];
        if self.is_put_off(caller, Event::Try { call: id }) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.tries += 1;
        let (flow, number, luck) = (call.flow, call.tries, call.luck.of(call.tries.into()));
        let endpoints = &self.scenario.services[service].endpoints;
        // A further try goes to the next endpoint.
        let first = match self.scenario.callers[caller].choose {
            Choose::RoundRobin => call.number,
            Choose::Random => call.luck.of(CHOICE).bits() >> 1,
            Choose::First => 0,
        };
        let pool = place(first + u64::from(number - 1), endpoints.len());
        let endpoint = endpoints[pool];
        let cell = self.scenario.cell_of(caller, endpoint);
        self.record.tried(flow, self.now);
        call_mut(&mut self.calls, id).tried = Some(Try { cell, begun: self.now, connection: None });
        let timeout = self.scenario.callers[caller].timeout;
        self.plan(timeout, Event::GiveUp { call: id, number });
        if let Some(connection) = self.flows[flow].pools[pool].pop() {
            self.reuse(id, connection, luck);
        } else {
            self.connect(id, cell, pool, luck);
        }
        let in_flight = u64::try_from(self.calls.len()).unwrap_or(u64::MAX);
        self.record.most_in_flight = self.record.most_in_flight.max(in_flight);
    }

    /// Asks once more over a connection that was kept.
    fn reuse(&mut self, call: u64, id: u64, luck: Luck) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.call = Some(call);
        connection.luck = luck;
        connection.turn += 1;
        let turn = connection.turn;
        let path = path(self.scenario, connection);
        let fate = path.pooled(luck, self.now);
        if fate == Pooled::Closed {
            connection.tag.close_peer();
        }
        if let Some(Try { connection, .. }) = &mut call_mut(&mut self.calls, call).tried {
            *connection = Some(id);
        }
        if fate == Pooled::Alive {
            self.plan(Duration::ZERO, Event::Ask { connection: id });
            return;
        }
        let back = path.round_trip(luck, self.now);
        connection.tag.ask(&self.slots[connection.tag.slot], self.now);
        self.plan(back, Event::Ended { connection: id, turn, end: End::Reset });
    }

    /// Connects, if the verdict lets it.
    fn connect(&mut self, call: u64, cell: usize, pool: usize, luck: Luck) {
        let flow = self.calls[&call].flow;
        let mut endpoint = self.scenario.cells[cell].endpoint;
        let decision = self.slots[cell].connect(self.now);
        let mut slot = cell;
        let mut hold = Duration::ZERO;
        match decision {
            Decision::Allow | Decision::AllowExpired | Decision::Probe | Decision::Observe(_) => {}
            Decision::Shed(Shed::Deny(_)) => {
                self.note_shed(flow, cell, luck);
                self.tell_now(call, TryFate::Shed);
                return;
            }
            Decision::Shed(Shed::Delay(milliseconds)) => {
                self.note_shed(flow, cell, luck);
                hold = Duration::from_millis(milliseconds.into());
            }
            Decision::Shed(Shed::Redirect(target)) => {
                self.note_shed(flow, cell, luck);
                slot = target.into();
                endpoint = self.scenario.cells[slot].endpoint;
                self.slots[slot].take_redirected();
            }
        }
        let is_redirected = slot != cell;
        let decision = if is_redirected { Decision::Allow } else { decision };
        let tag = Tag::new(slot, &self.slots[slot], decision);
        self.begun += 1;
        let id = self.begun;
        let connection = Connection {
            flow,
            endpoint,
            pool,
            tag,
            luck,
            call: Some(call),
            turn: 1,
            rest: Duration::ZERO,
        };
        let is_stuck =
            path(self.scenario, &connection).handshake(luck, 0, self.now) == Handshake::NoPort;
        if is_stuck {
            // The connect fails before the kernel has a connection: nobody's failure.
            self.tell_now(call, TryFate::Local);
            return;
        }
        self.connections.insert(id, connection);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.tag.begin(self.now);
        }
        if let Some(tried) = &mut call_mut(&mut self.calls, call).tried {
            tried.connection = Some(id);
            tried.cell = slot;
        }
        self.plan(hold, Event::Syn { connection: id, sent: 0 });
    }

    /// The caller has waited long enough.
    pub(super) fn give_up(&mut self, id: u64, number: u32) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(tried) = call.tried.filter(|_| call.tries == number) else { return };
        let Flow { caller, .. } = self.scenario.flows[call.flow];
        if self.is_put_off(caller, Event::GiveUp { call: id, number }) {
            return;
        }
        if let Some(connection) = tried.connection {
            self.close(connection, End::Closed);
        }
        self.tell(id, number, TryFate::Failed);
    }

    /// The caller learns at once what became of its try.
    pub(super) fn tell_now(&mut self, call: u64, fate: TryFate) {
        if let Some(number) = self.calls.get(&call).map(|call| call.tries) {
            self.tell(call, number, fate);
        }
    }

    /// The caller learns what became of a try, unless it has given up on it.
    pub(super) fn tell(&mut self, id: u64, number: u32, fate: TryFate) {
        let Some(call) = self.calls.get(&id).filter(|call| call.tries == number) else { return };
        let (flow, begun) = (call.flow, call.begun);
        let Flow { caller, service } = self.scenario.flows[flow];
        if self.is_put_off(caller, Event::Told { call: id, number, fate }) {
            return;
        }
        let Some(tried) = call_mut(&mut self.calls, id).tried.take() else { return };
        let rules = &self.scenario.callers[caller];
        let is_slow = self.now.since(tried.begun) > rules.slow_after;
        if fate == TryFate::Failed || fate == TryFate::Served && is_slow {
            self.record.leaked(self.scenario, tried.cell, tried.begun, self.now);
        }
        let endpoints =
            u32::try_from(self.scenario.services[service].endpoints.len()).unwrap_or(u32::MAX);
        let alternatives = if rules.choose == Choose::First { endpoints } else { 1 };
        if fate != TryFate::Served && number < alternatives.saturating_add(rules.retries) {
            let is_failover = number < alternatives;
            let pause = if is_failover { Duration::ZERO } else { rules.retry_after };
            self.plan(pause, Event::Try { call: id });
            return;
        }
        let is_late = self.now.since(begun) > rules.slow_after;
        let fate = match fate {
            TryFate::Served if is_late => CallFate::Slow,
            TryFate::Served => CallFate::Served,
            TryFate::Failed | TryFate::Local => CallFate::Failed,
            TryFate::Shed => CallFate::Shed,
        };
        self.record.call(flow, begun, fate);
        self.callers[caller].busy = self.callers[caller].busy.saturating_sub(1);
        self.calls.remove(&id);
    }

    fn note_shed(&mut self, flow: usize, cell: usize, luck: Luck) {
        let super::super::scenario::Cell { caller, endpoint, .. } = self.scenario.cells[cell];
        let rules = &self.scenario.callers[caller];
        let server = &self.servers[endpoint];
        let queued = self.scenario.endpoints[endpoint].workers.map_or(Duration::ZERO, |workers| {
            let waiting = u32::try_from(server.waiting.len()).unwrap_or(u32::MAX);
            self.scenario.endpoints[endpoint].response * waiting / workers
        });
        let within = rules.slow_after.min(rules.timeout);
        let path = Path { scenario: self.scenario, caller, endpoint };
        let falsely = path.would_serve(luck, queued, within, self.now);
        self.record.shed(self.scenario, flow, cell, falsely, self.now);
    }

    fn luck_of(&self, flow: usize, call: u64) -> Luck {
        self.luck.of(u64::try_from(flow).unwrap_or(u64::MAX)).of(call)
    }
}

/// Where a connection goes.
pub(super) fn path<'a>(
    scenario: &'a super::super::scenario::Scenario,
    connection: &Connection,
) -> Path<'a> {
    let caller = scenario.flows[connection.flow].caller;
    Path { scenario, caller, endpoint: connection.endpoint }
}

fn call_mut(calls: &mut std::collections::BTreeMap<u64, Call>, id: u64) -> &mut Call {
    calls.get_mut(&id).expect("a call is forgotten only when it has ended")
}

fn place(number: u64, count: usize) -> usize {
    let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
    usize::try_from(number % count).expect("less than a count of things in memory")
}

/// When the next call begins. Where the rate changes before, chance starts afresh.
fn next_by_rate(
    rates: &[(Monotonic, f64)],
    evenly: bool,
    luck: Luck,
    now: Monotonic,
) -> Option<Monotonic> {
    let mut from = now;
    for (step, (_, rate)) in rates.iter().enumerate() {
        let until = rates.get(step + 1).map(|(at, _)| *at);
        if until.is_some_and(|until| until <= from) {
            continue;
        }
        if *rate > 0.0 {
            let part = u64::try_from(step).unwrap_or(u64::MAX);
            let waits = if evenly { 1.0 } else { luck.of(part).exponential() };
            let next = from.plus(Duration::from_secs_f64(waits / rate));
            if until.is_none_or(|until| next < until) {
                return Some(next);
            }
        }
        from = until?;
    }
    None
}

// What rolls of a call are for; tries are numbered from one.
const ARRIVAL: u64 = 1 << 40;
const CHOICE: u64 = 2 << 40;
