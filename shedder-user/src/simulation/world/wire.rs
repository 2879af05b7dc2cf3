//! The wire and the endpoints: what becomes of a SYN, a request and an answer.

use std::time::Duration;

use shedder_common::ending::End;

use super::super::fate::{ANSWER, Handshake, REQUEST, SYNS, Service, data_timer, syn_timer};
use super::super::kernel::Tag;
use super::super::queue::Event;
use super::super::record::TryFate;
use super::calls::path;
use super::{Connection, Simulation};

impl Simulation<'_> {
    pub(super) fn send_syn(&mut self, id: u64, sent: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let luck = connection.luck;
        let slot = &mut self.slots[connection.tag.slot];
        connection.tag.send_syn(sent, slot, self.now);
        let path = path(self.scenario, connection);
        let turn = connection.turn;
        let back = path.round_trip(luck, self.now);
        let ended = |end| Event::Ended { connection: id, turn, end };
        match path.handshake(luck, sent, self.now) {
            Handshake::Lost if sent + 1 >= SYNS => {
                self.plan(syn_timer(sent), ended(End::TimedOut));
            }
            Handshake::Lost => {
                self.plan(syn_timer(sent), Event::Syn { connection: id, sent: sent + 1 });
            }
            Handshake::Refused => self.plan(back, ended(End::Refused)),
            Handshake::NoPort | Handshake::Unreachable => {
                self.plan(back, ended(End::Unreachable));
            }
            Handshake::Accepted => self.plan(back, Event::Established { connection: id }),
        }
    }

    pub(super) fn establish(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.tag.establish(&mut self.slots[connection.tag.slot], self.now);
        if path(self.scenario, connection).is_reset_at_once(connection.luck, self.now) {
            let event = Event::Ended { connection: id, turn: connection.turn, end: End::Reset };
            self.plan(Duration::ZERO, event);
        } else {
            self.ask(id);
        }
    }

    /// The caller sends its request.
    pub(super) fn ask(&mut self, id: u64) {
        let Some(connection) = self.connections.get(&id) else { return };
        let caller = self.scenario.flows[connection.flow].caller;
        if self.is_put_off(caller, Event::Ask { connection: id }) {
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.tag.ask(&self.slots[connection.tag.slot], self.now);
        }
        self.send_request(id, 0);
    }

    pub(super) fn send_request(&mut self, id: u64, sent: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (luck, turn, endpoint) = (connection.luck, connection.turn, connection.endpoint);
        Tag::send(sent, &mut self.slots[connection.tag.slot]);
        let path = path(self.scenario, connection);
        if path.is_cut(luck, REQUEST, sent, self.now) {
            self.plan(data_timer(sent), Event::Request { connection: id, sent: sent + 1 });
            return;
        }
        let back = path.round_trip(luck, self.now);
        match path.service(luck, self.now) {
            Service::Silent => {}
            Service::Reset => {
                self.plan(back, Event::Ended { connection: id, turn, end: End::Reset });
            }
            Service::HangsUp(after) => {
                let event = Event::Ended { connection: id, turn, end: End::HungUp };
                self.plan(back + after, event);
            }
            Service::Answers { work, rest } => {
                connection.rest = rest;
                let Some(workers) = self.scenario.endpoints[endpoint].workers else {
                    let answer = Event::Answer { connection: id, turn, sent: 0 };
                    self.plan(back + work, answer);
                    return;
                };
                let server = &mut self.servers[endpoint];
                if server.busy < workers {
                    server.busy += 1;
                    self.plan(work, Event::Worked { endpoint, connection: id, turn });
                } else {
                    server.waiting.push_back((id, turn));
                }
            }
        }
    }

    /// A worker is done and takes the next request. It does not know who still waits.
    pub(super) fn worked(&mut self, endpoint: usize, id: u64, turn: u32) {
        if let Some(connection) = self.connections.get(&id) {
            let back = path(self.scenario, connection).round_trip(connection.luck, self.now);
            self.plan(back, Event::Answer { connection: id, turn, sent: 0 });
        }
        let Some((next, turn)) = self.servers[endpoint].waiting.pop_front() else {
            self.servers[endpoint].busy -= 1;
            return;
        };
        let mean = self.scenario.endpoints[endpoint].response;
        let work = self.connections.get(&next).map_or(mean, |connection| {
            match path(self.scenario, connection).service(connection.luck, self.now) {
                Service::Answers { work, .. } => work,
                Service::Silent | Service::Reset | Service::HangsUp(_) => mean,
            }
        });
        self.plan(work, Event::Worked { endpoint, connection: next, turn });
    }

    /// The first byte of an answer arrives.
    pub(super) fn answer(&mut self, id: u64, turn: u32, sent: u32) {
        let Some(connection) = current(&mut self.connections, id, turn) else { return };
        if path(self.scenario, connection).is_cut(connection.luck, ANSWER, sent, self.now) {
            let again = Event::Answer { connection: id, turn, sent: sent + 1 };
            self.plan(data_timer(sent), again);
            return;
        }
        let cell = connection.tag.slot;
        let rest = connection.rest;
        if connection.tag.answer(&mut self.slots[cell], self.now) {
            self.urgent.push(cell);
        }
        if rest.is_zero() {
            self.done(id, turn);
        } else {
            self.plan(rest, Event::Done { connection: id, turn });
        }
    }

    /// The caller has the whole answer: it keeps the connection or closes it.
    pub(super) fn done(&mut self, id: u64, turn: u32) {
        let Some(connection) = current(&mut self.connections, id, turn) else { return };
        let (flow, pool) = (connection.flow, connection.pool);
        let call = connection.call.take();
        if turn < self.scenario.caller(flow).turns {
            self.flows[flow].pools[pool].push(id);
        } else {
            self.close(id, End::Closed);
        }
        if let Some(call) = call {
            self.tell_now(call, TryFate::Served);
        }
    }

    /// The network or the peer ends the connection.
    pub(super) fn ended(&mut self, id: u64, turn: u32, end: End) {
        let Some(connection) = current(&mut self.connections, id, turn) else { return };
        let call = connection.call;
        self.close(id, end);
        if let Some(call) = call {
            self.tell_now(call, TryFate::Failed);
        }
    }

    /// The connection is gone, and the kernel reads its end.
    pub(super) fn close(&mut self, id: u64, end: End) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        let cell = connection.tag.slot;
        if connection.tag.finish(&mut self.slots[cell], end, self.now) {
            self.urgent.push(cell);
        }
    }
}

/// A connection that is still in this turn.
fn current(
    connections: &mut std::collections::BTreeMap<u64, Connection>,
    id: u64,
    turn: u32,
) -> Option<&mut Connection> {
    connections
        .get_mut(&id)
        .filter(|connection| connection.turn == turn && connection.call.is_some())
}
