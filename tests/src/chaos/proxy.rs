//! A fault in front of a real server: answers late, drips them, or hangs up, where the server cannot.
//!
//! Invariant: without a fault it passes on what it is given; a connection keeps the fault it began with.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::chance::Chance;
use crate::clock::{now, remaining};
use crate::netns::NetNs;

/// What it does to connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The first answer comes this much later, on so many of a thousand connections.
    Late { by: Duration, permille: u64 },
    /// Answers come byte by byte, this long from one to the next.
    Drip(Duration),
    /// No answer comes, and after so long the connection is closed in good order.
    HangUp(Duration),
}

/// Listens at one address and passes on to another.
#[derive(Debug)]
pub(super) struct Proxy {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    fault: Mutex<Fault>,
    is_over: AtomicBool,
    connections: AtomicU64,
}

impl Proxy {
    /// Starts one in a namespace.
    pub(super) fn start(
        namespace: &NetNs,
        address: SocketAddr,
        upstream: SocketAddr,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            upstream,
            fault: Mutex::new(Fault::None),
            is_over: AtomicBool::new(false),
            connections: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        let thread = namespace.enter(|| -> Result<_> {
            let listener = TcpListener::bind(address)
                .with_context(|| format!("cannot listen at {address}"))?;
            listener.set_nonblocking(true)?;
            Ok(small_thread("proxy").spawn(move || serving.accept(&listener))?)
        })??;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// From now on new connections have this fault.
    pub(super) fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Whoever waits for a connection is told by its end.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while !self.is_over() {
            match listener.accept() {
                Ok((stream, _)) => {
                    let shared = Arc::clone(self);
                    // Without a thread for it a connection is closed.
                    drop(small_thread("proxied").spawn(move || shared.serve(&stream)));
                }
                Err(_none) => thread::sleep(STEP / 20),
            }
        }
    }

    fn serve(self: &Arc<Self>, client: &TcpStream) -> Option<()> {
        let fault = *self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        client.set_nonblocking(false).ok()?;
        if let Fault::HangUp(after) = fault {
            self.wait(after);
            return client.shutdown(Shutdown::Both).ok();
        }
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let server = TcpStream::connect_timeout(&self.upstream, STEP * 20).ok()?;
        let back = (server.try_clone().ok()?, client.try_clone().ok()?);
        let shared = Arc::clone(self);
        let answers = small_thread("answers").spawn(move || {
            shared.pass(&back.0, &back.1, fault, number);
            drop(back.1.shutdown(Shutdown::Both));
        });
        self.pass(client, &server, Fault::None, number);
        drop(server.shutdown(Shutdown::Write));
        answers.ok()?.join().ok()
    }

    /// Passes on until either end is reached.
    fn pass(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        fault: Fault,
        number: u64,
    ) -> Option<()> {
        from.set_read_timeout(Some(STEP)).ok()?;
        let mut bytes = [0; 4096];
        let mut is_first = true;
        while !self.is_over() {
            let read = match from.read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => bytes.get(..read)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_ended) => return None,
            };
            match fault {
                Fault::Late { by, permille } if is_first => {
                    if Chance::of_part(1, number).below(1000) < permille {
                        self.wait(by);
                    }
                    to.write_all(read).ok()?;
                }
                Fault::Drip(pause) => {
                    for byte in read.chunks(1) {
                        to.write_all(byte).ok()?;
                        self.wait(pause);
                    }
                }
                Fault::None | Fault::Late { .. } | Fault::HangUp(_) => to.write_all(read).ok()?,
            }
            is_first = false;
        }
        None
    }

    fn wait(&self, time: Duration) {
        let until = now() + time;
        while let Some(left) = remaining(until).filter(|_| !self.is_over()) {
            thread::sleep(left.min(STEP));
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

fn small_thread(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned()).stack_size(64 * 1024)
}

const STEP: Duration = Duration::from_millis(100);
