//! Connections that a caller's process keeps from one order to the next.
//!
//! Invariant: a socket stays open until it is closed or handed over, whatever became of its
//! connection.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};

use super::kind::Kind;
use super::protocol::{Order, Reply};
use super::report::{Attempt, Call, Cause, Errno};
use super::{Caller, MIXED_UP, one};

/// A connection kept open by a [`Caller`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// As the caller's process knows it.
    pub(super) const fn number(self) -> u64 {
        self.0
    }
}

impl Caller {
    /// Makes a socket of a kind for `addr` and does not connect it.
    pub fn prepare(&mut self, kind: &Kind, addr: SocketAddr) -> Result<ConnectionId> {
        self.ask_for_connection(&Order::Prepare { addr, kind: kind.clone() })
    }

    /// Makes a socket for `addr` whose cookie is that of a connection and a multiple of `places`, and does not connect
    /// it.
    pub fn prepare_beside(
        &mut self,
        connection: ConnectionId,
        addr: SocketAddr,
        places: u32,
    ) -> Result<ConnectionId> {
        let (connection, places) = (connection.0, places.into());
        self.ask_for_connection(&Order::PrepareBeside { connection, addr, places })
    }

    /// Connects a socket that is kept, as it is, by a `connect(2)` that blocks.
    pub fn connect_with(
        &mut self,
        connection: ConnectionId,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<Attempt> {
        self.ask_for_attempt(&Order::ConnectWith { connection: connection.0, addr, timeout })
    }

    /// Connects and keeps the connection. Fails when the connection does.
    pub fn open(&mut self, addr: SocketAddr, timeout: Duration) -> Result<ConnectionId> {
        self.ask_for_connection(&Order::Open { addr, timeout })
    }

    /// Asks once on an open connection; the connection stays open, whatever the result. The
    /// report's `connect_us` is zero.
    pub fn request(&mut self, connection: ConnectionId, timeout: Duration) -> Result<Call> {
        one(self.ask_for_calls(&Order::Request { connection: connection.0, timeout })?)
    }

    /// As [`Caller::request`], but ends its side (FIN) between the request and the answer.
    pub fn last_request(&mut self, connection: ConnectionId, timeout: Duration) -> Result<Call> {
        one(self.ask_for_calls(&Order::LastRequest { connection: connection.0, timeout })?)
    }

    /// Waits until the peer or the kernel ends an open connection on which nothing is to be read;
    /// what ended it. The socket stays until it is closed.
    pub fn await_end(&mut self, connection: ConnectionId, timeout: Duration) -> Result<Cause> {
        let order = Order::AwaitEnd { connection: connection.0, timeout };
        let Reply::Ended(cause) = self.ask(&order)? else {
            bail!(MIXED_UP);
        };
        Ok(cause)
    }

    /// Begins to connect without waiting and keeps the socket whatever comes of it. Besides it:
    /// what `connect(2)` returned, none for success.
    pub fn start(&mut self, addr: SocketAddr) -> Result<(ConnectionId, Option<Errno>)> {
        let Reply::Started(id, returned) = self.ask(&Order::Start { addr })? else {
            bail!(MIXED_UP);
        };
        Ok((ConnectionId(id), returned))
    }

    /// Connects the socket of a connection elsewhere: first to no address, which ends what there
    /// was, then to `addr`. Later requests on the connection go there.
    pub fn reconnect(
        &mut self,
        connection: ConnectionId,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<Attempt> {
        self.ask_for_attempt(&Order::Reconnect { connection: connection.0, addr, timeout })
    }

    /// Whom the application believes to be connected to, by `getpeername(2)`.
    pub fn peer(&mut self, connection: ConnectionId) -> Result<SocketAddr> {
        let Reply::Peer(peer) = self.ask(&Order::Peer { connection: connection.0 })? else {
            bail!(MIXED_UP);
        };
        Ok(peer)
    }

    /// How often the kernel sends a SYN of this socket again, as the application reads it
    /// (`TCP_SYNCNT`).
    pub fn syn_count(&mut self, connection: ConnectionId) -> Result<u32> {
        let Reply::SynCount(count) = self.ask(&Order::SynCount { connection: connection.0 })?
        else {
            bail!(MIXED_UP);
        };
        Ok(count)
    }

    /// Sets [`Caller::syn_count`], 1 to 127; the kernel refuses others.
    pub fn set_syn_count(&mut self, connection: ConnectionId, count: u32) -> Result<()> {
        self.tell(&Order::SetSynCount { connection: connection.0, count })
    }

    /// Closes an open connection.
    pub fn close(&mut self, connection: ConnectionId) -> Result<()> {
        self.tell(&Order::Close { connection: connection.0 })
    }

    /// Hands the socket of a connection to another process (`SCM_RIGHTS`) and keeps no copy.
    pub fn hand_over(&mut self, connection: ConnectionId, to: &mut Self) -> Result<ConnectionId> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("passage");
        to.tell(&Order::Expect { path: path.clone() })?;
        self.tell(&Order::Give { connection: connection.0, path })?;
        to.ask_for_connection(&Order::Take)
    }

    fn ask_for_connection(&mut self, order: &Order) -> Result<ConnectionId> {
        let Reply::Opened(id) = self.ask(order)? else {
            bail!(MIXED_UP);
        };
        Ok(ConnectionId(id))
    }

    fn tell(&mut self, order: &Order) -> Result<()> {
        let Reply::Done = self.ask(order)? else {
            bail!(MIXED_UP);
        };
        Ok(())
    }
}
