//! The one thread of a backend: it accepts, reads, answers in time and obeys orders.
//!
//! Invariant: it never blocks on a connection, so one client cannot delay another, and an
//! answer is counted before it is written.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::port::ReservedPort;
use super::{Behaviour, Counters};
use crate::clock::{now, thread_time};
use crate::readiness::InputWatch;

/// What the owner of a backend asks its thread to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Take on a behaviour and say how that went.
    Behave(Behaviour, Sender<io::Result<()>>),
    /// Accept what waits, then answer.
    Settle(Sender<io::Result<()>>),
    /// Tell how much processor time it has taken.
    TellTime(Sender<Duration>),
    /// End.
    Stop,
}

#[derive(Debug)]
pub(super) struct EventLoop {
    port: ReservedPort,
    /// Whether the port is in the watch: a full accept queue is readable and must not be.
    watching_port: bool,
    watch: InputWatch,
    orders: Receiver<Order>,
    wake: UnixStream,
    behaviour: Behaviour,
    counters: Arc<Counters>,
    connections: BTreeMap<u64, TcpStream>,
    next_connection: u64,
    /// Connections owed an answer, by when it is due.
    due: BTreeMap<(Instant, u64), Due>,
    next_answer: u64,
    /// Until when it is busy with what it answers one by one.
    busy_until: Instant,
    /// Thousandths of a failure carried over from one request to the next.
    failure_debt: u16,
}

/// What a connection is owed.
#[derive(Debug, Clone, Copy)]
struct Due {
    connection: u64,
    /// Its end instead of an answer.
    is_reset: bool,
}

impl EventLoop {
    pub(super) fn new(
        port: ReservedPort,
        orders: Receiver<Order>,
        wake: UnixStream,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let watch = InputWatch::new()?;
        wake.set_nonblocking(true)?;
        watch.add(&wake, WAKE)?;
        Ok(Self {
            port,
            watching_port: false,
            watch,
            orders,
            wake,
            behaviour: Behaviour::Refuse,
            counters,
            connections: BTreeMap::new(),
            next_connection: FIRST_CONNECTION,
            due: BTreeMap::new(),
            next_answer: 0,
            busy_until: now(),
            failure_debt: 0,
        })
    }

    /// Serves until told to stop.
    pub(super) fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            self.watch
                .wait(self.until_next_answer(), &mut ready)
                .expect("the watch and its arguments are valid for the whole loop");
            for number in &ready {
                match *number {
                    WAKE => {
                        if self.obey() == Next::Stop {
                            return;
                        }
                    }
                    PORT => self.accept_waiting(),
                    connection => self.read(connection),
                }
            }
            self.answer_due();
        }
    }

    fn until_next_answer(&self) -> Option<Duration> {
        let ((moment, _), _) = self.due.first_key_value()?;
        Some(moment.saturating_duration_since(now()))
    }

    fn obey(&mut self) -> Next {
        let mut signals = [0; 64];
        // The signals carry nothing: the orders are in the channel.
        if self.wake.read(&mut signals).is_ok_and(|read| read == 0) {
            return Next::Stop;
        }
        while let Ok(order) = self.orders.try_recv() {
            // Whoever gave an order may have gone without waiting for its answer.
            match order {
                Order::Behave(behaviour, done) => drop(done.send(self.behave(behaviour))),
                Order::Settle(done) => {
                    self.accept_waiting();
                    drop(done.send(Ok(())));
                }
                Order::TellTime(done) => {
                    done.send(Duration::from_nanos(thread_time())).unwrap_or_default();
                }
                Order::Stop => return Next::Stop,
            }
        }
        Next::Continue
    }

    fn behave(&mut self, behaviour: Behaviour) -> io::Result<()> {
        self.accept_waiting();
        match behaviour {
            Behaviour::Refuse => {
                self.watch_port(false)?;
                self.port.refuse()?;
                self.reset_all();
            }
            Behaviour::Blackhole => {
                self.watch_port(false)?;
                self.port.swallow()?;
            }
            Behaviour::Healthy
            | Behaviour::Answer(_)
            | Behaviour::Slow(_)
            | Behaviour::OneByOne(_)
            | Behaviour::SlowAndFlaky { .. }
            | Behaviour::ResetAfterAccept
            | Behaviour::ResetOnAccept
            | Behaviour::Hang
            | Behaviour::CloseAfterAccept
            | Behaviour::Flaky { .. } => {
                if !self.port.is_listening() {
                    self.port.listen()?;
                }
                self.watch_port(true)?;
            }
        }
        self.behaviour = behaviour;
        self.busy_until = now();
        self.failure_debt = 0;
        Ok(())
    }

    fn watch_port(&mut self, wanted: bool) -> io::Result<()> {
        if wanted && !self.watching_port {
            self.watch.add(&self.port, PORT)?;
        }
        if !wanted && self.watching_port {
            self.watch.remove(&self.port)?;
        }
        self.watching_port = wanted;
        Ok(())
    }

    fn accept_waiting(&mut self) {
        if !self.port.is_listening() {
            return;
        }
        while let Some(stream) = self.port.accept() {
            self.counters.accepted.fetch_add(1, Ordering::AcqRel);
            if self.behaviour == Behaviour::ResetOnAccept {
                reset(&stream);
                continue;
            }
            if self.behaviour == Behaviour::CloseAfterAccept {
                finish(&stream);
            }
            if self.watch.add(&stream, self.next_connection).is_ok() {
                self.connections.insert(self.next_connection, stream);
                self.next_connection += 1;
            }
        }
    }

    fn read(&mut self, connection: u64) {
        let Some(mut stream) = self.connections.get(&connection) else {
            return;
        };
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => drop(self.connections.remove(&connection)),
            Ok(read) if bytes[..read].ends_with(POISON) => self.reset(connection),
            Ok(read) => {
                let requests = bytes.iter().take(read).filter(|byte| **byte == b'\n').count();
                for _ in 0..requests {
                    self.serve(connection);
                }
            }
        }
    }

    /// Handles one request line.
    fn serve(&mut self, connection: u64) {
        match self.behaviour {
            Behaviour::Healthy => self.answer(connection, &[ANSWER]),
            Behaviour::Answer(pieces) => self.answer(connection, pieces),
            Behaviour::Slow(delay) => self.owe(connection, now() + delay, false),
            Behaviour::OneByOne(time) => {
                self.busy_until = self.busy_until.max(now()) + time;
                self.owe(connection, self.busy_until, false);
            }
            Behaviour::SlowAndFlaky { delay, permille } => {
                let is_reset = self.fails(permille);
                self.owe(connection, now() + delay, is_reset);
            }
            Behaviour::Refuse | Behaviour::ResetAfterAccept | Behaviour::ResetOnAccept => {
                self.reset(connection);
            }
            Behaviour::Hang | Behaviour::Blackhole => {}
            Behaviour::CloseAfterAccept => {
                if let Some(stream) = self.connections.get(&connection) {
                    finish(stream);
                }
            }
            Behaviour::Flaky { permille } => {
                if self.fails(permille) {
                    self.reset(connection);
                } else {
                    self.answer(connection, &[ANSWER]);
                }
            }
        }
    }

    /// Whether the next request is among those that fail.
    fn fails(&mut self, permille: u16) -> bool {
        self.failure_debt += permille;
        let fails = self.failure_debt >= 1000;
        if fails {
            self.failure_debt -= 1000;
        }
        fails
    }

    fn owe(&mut self, connection: u64, at: Instant, is_reset: bool) {
        self.due.insert((at, self.next_answer), Due { connection, is_reset });
        self.next_answer += 1;
    }

    fn answer_due(&mut self) {
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now() {
                return;
            }
            let Due { connection, is_reset } = entry.remove();
            if is_reset {
                self.reset(connection);
            } else {
                self.answer(connection, &[ANSWER]);
            }
        }
    }

    fn answer(&mut self, connection: u64, pieces: &[&[u8]]) {
        let Some(mut stream) = self.connections.get(&connection) else {
            return;
        };
        self.counters.answered.fetch_add(1, Ordering::AcqRel);
        // The first leaves at once, because nothing is under way, and the others after it.
        if pieces.iter().any(|piece| stream.write_all(piece).is_err()) {
            self.counters.answered.fetch_sub(1, Ordering::AcqRel);
            self.connections.remove(&connection);
        }
    }

    fn reset(&mut self, connection: u64) {
        if let Some(stream) = self.connections.remove(&connection) {
            reset(&stream);
        }
    }

    fn reset_all(&mut self) {
        while let Some((_, stream)) = self.connections.pop_first() {
            reset(&stream);
        }
        self.due.clear();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Stop,
}

/// Makes the coming close send RST. A connection already reset by its peer needs no more.
fn reset(stream: &TcpStream) {
    drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
}

/// Sends FIN and keeps reading, so that later data of the peer does not turn it into a reset.
fn finish(stream: &TcpStream) {
    drop(stream.shutdown(Shutdown::Write));
}

/// A request that is its caller's own fault.
const POISON: &[u8] = b"poison\n";
const ANSWER: &[u8] = b"pong\n";
const WAKE: u64 = 0;
const PORT: u64 = 1;
const FIRST_CONNECTION: u64 = 2;
