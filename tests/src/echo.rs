//! A UDP server that sends every datagram back to where it came from.
//!
//! Invariant: what was received is counted before it is answered, and its drop ends the thread.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// A running server.
#[derive(Debug)]
pub struct Echo {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    received: AtomicU64,
    is_ended: AtomicBool,
}

impl Echo {
    /// Starts a server; at port 0 the kernel chooses one.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(address)?);
        let address = socket.local_addr()?;
        let state = Arc::new(State::default());
        let thread = thread::spawn({
            let (socket, state) = (Arc::clone(&socket), Arc::clone(&state));
            move || serve(&socket, &state)
        });
        Ok(Self { socket, address, state, thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Datagrams that have come.
    pub fn received(&self) -> u64 {
        self.state.received.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.state.is_ended.store(true, Ordering::Relaxed);
        // Wakes the thread, which then looks whether it is to end.
        if self.socket.send_to(&[], self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            drop(thread.join());
        }
    }
}

fn serve(socket: &UdpSocket, state: &State) {
    let mut bytes = [0; 64];
    loop {
        let received = socket.recv_from(&mut bytes);
        if state.is_ended.load(Ordering::Relaxed) {
            return;
        }
        // An error is what became of an earlier answer, whose caller has gone.
        let Ok((length, from)) = received else { continue };
        state.received.fetch_add(1, Ordering::Relaxed);
        drop(socket.send_to(bytes.get(..length).unwrap_or_default(), from));
    }
}
