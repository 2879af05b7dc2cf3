//! A TCP server on a loopback address whose misbehaviour is chosen and changed at run time.
//!
//! Invariant: the port belongs to the backend from start to drop, whatever its behaviour, and
//! when [`Backend::set`] returns the new behaviour holds.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

mod event_loop;
mod port;

use event_loop::{EventLoop, Order};
use port::ReservedPort;

/// What a backend does with connections and with each request line (`ping\n`) on them.
///
/// A connection made under one behaviour lives on under the next, and its next request is
/// handled by the next; only `Refuse` resets the connections there are. A request line `poison\n`
/// resets its connection (RST) whatever the behaviour: the caller's own fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers each request with `pong\n`.
    Healthy,
    /// The port is bound but nobody listens: the kernel answers a SYN with RST.
    Refuse,
    /// Answers each request with these bytes, each piece in a segment of its own.
    Answer(&'static [&'static [u8]]),
    /// Answers each request this long after reading it.
    Slow(Duration),
    /// Answers one request after the other and takes this long for each, as a server does that is cold.
    OneByOne(Duration),
    /// This long after reading it, resets the connection (RST) of this share of the requests, in
    /// thousandths, evenly spread; answers the others.
    SlowAndFlaky {
        /// How long each takes.
        delay: Duration,
        /// How many of 1,000 requests fail: 0 to 1,000.
        permille: u16,
    },
    /// Accepts, reads a request, and resets the connection (RST).
    ResetAfterAccept,
    /// Accepts and resets the connection (RST) at once.
    ResetOnAccept,
    /// Accepts and reads, and never answers.
    Hang,
    /// The accept queue is full: SYNs are dropped without an answer. Making it so costs one
    /// connection of the backend to itself. Requests on older connections are not answered.
    Blackhole,
    /// Accepts and ends its side (FIN) without sending a byte.
    CloseAfterAccept,
    /// Resets the connection (RST) after this share of the requests, in thousandths, evenly
    /// spread and always in the same order; answers the others.
    Flaky {
        /// How many of 1,000 requests fail: 0 to 1,000.
        permille: u16,
    },
}

/// A running server, one thread for all its connections; ended by its drop.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    counters: Arc<Counters>,
    orders: Sender<Order>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Starts a server on a port of `ip` that the kernel chooses. Made inside
    /// [`crate::netns::NetNs::enter`], it stays in that namespace.
    pub fn start(ip: IpAddr, behaviour: Behaviour) -> Result<Self> {
        let port = ReservedPort::reserve(ip)
            .with_context(|| format!("cannot reserve a port of {ip} for a backend"))?;
        Self::serve(port, behaviour)
    }

    /// Starts a server at an address with a port. Only in a network namespace of the test's own is
    /// such a port sure to be free.
    pub fn start_at(address: SocketAddr, behaviour: Behaviour) -> Result<Self> {
        let port = ReservedPort::at(address)
            .with_context(|| format!("cannot reserve {address} for a backend"))?;
        Self::serve(port, behaviour)
    }

    fn serve(port: ReservedPort, behaviour: Behaviour) -> Result<Self> {
        let address = port.address();
        let counters = Arc::new(Counters::default());
        let (orders, received) = channel();
        let (wake, woken) = UnixStream::pair().context("cannot make the backend's wake-up")?;
        let event_loop = EventLoop::new(port, received, woken, Arc::clone(&counters))
            .context("cannot prepare the backend's event loop")?;
        let thread = std::thread::Builder::new()
            .name(format!("backend-{}", address.port()))
            .stack_size(STACK_BYTES)
            .spawn(move || event_loop.run())
            .context("cannot start the backend's thread")?;
        let backend = Self { address, counters, orders, wake, thread: Some(thread) };
        backend.set(behaviour)?;
        Ok(backend)
    }

    /// Where the server is, the same for its whole life.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Changes the behaviour; it holds when this returns. Connections waiting to be accepted are
    /// accepted first. Fails for a share above 1,000 ‰.
    pub fn set(&self, behaviour: Behaviour) -> Result<()> {
        if let Behaviour::Flaky { permille } | Behaviour::SlowAndFlaky { permille, .. } = behaviour
        {
            ensure!(permille <= 1000, "a flaky share of {permille} ‰: use 0 to 1000");
        }
        let (done, result) = channel();
        self.order(Order::Behave(behaviour, done))?;
        result
            .recv()
            .context("the backend's thread has ended")?
            .with_context(|| format!("the backend at {} cannot become {behaviour:?}", self.address))
    }

    /// Connections accepted so far, those still waiting in the accept queue included. The
    /// connections of a `Blackhole` are never accepted.
    pub fn accepted(&self) -> u64 {
        let (done, settled) = channel();
        // A thread that has ended has no connections left to count.
        if self.order(Order::Settle(done)).is_ok() {
            drop(settled.recv());
        }
        self.counters.accepted.load(Ordering::Acquire)
    }

    /// Requests answered so far; an answer is counted before its client can see it.
    pub fn answered(&self) -> u64 {
        self.counters.answered.load(Ordering::Acquire)
    }

    /// Processor time its thread has taken so far.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let (done, told) = channel();
        self.order(Order::TellTime(done))?;
        told.recv().context("the backend's thread has ended")
    }

    /// Sets both counters to zero.
    pub fn reset_counters(&self) {
        self.accepted();
        self.counters.accepted.store(0, Ordering::Release);
        self.counters.answered.store(0, Ordering::Release);
    }

    fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).context("the backend's thread has ended")?;
        (&self.wake).write_all(b"!").context("cannot wake the backend's thread")
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let asked = self.order(Order::Stop);
        if let (Ok(()), Some(thread)) = (asked, self.thread.take()) {
            // A panic of the thread has already been printed by the thread.
            drop(thread.join());
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    answered: AtomicU64,
}

const STACK_BYTES: usize = 256 * 1024;
