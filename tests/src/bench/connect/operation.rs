//! The operations that are timed.
//!
//! Invariant: what an operation does and how it is timed does not depend on its arm.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use shedder_common::time::Monotonic;
use shedder_user::clock::now;
use socket2::{Domain, SockAddr, Socket, Type};

use super::crowd::Crowd;
use crate::bench::server::{BULK_BYTES, MESSAGE_BYTES};

/// Something a client does with an endpoint, over and over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) endpoint: SocketAddr,
}

/// What is done, and which part of it is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Connect and close are timed together.
    ConnectAndClose,
    /// The same by a client on each of two CPUs at once.
    ContendedConnect,
    /// The same by one client with the sockets of a crowd, each endpoint of the crowd in turn.
    SpreadConnect,
    /// Connect is timed, close is done.
    Connect,
    /// A message and its answer on a connection kept open.
    RequestResponse,
    /// [`BULK_BYTES`] there and as many back, on a connection kept open.
    Bulk,
    /// Making the socket, the refusal and close are timed together.
    RefusedConnect,
}

/// An operation with what it keeps from one time to the next.
#[derive(Debug)]
pub(super) struct Client<'a> {
    operation: Operation,
    /// The connection of [`Kind::RequestResponse`] and [`Kind::Bulk`].
    stream: Option<TcpStream>,
    /// What is sent and received on it.
    message: Vec<u8>,
    /// The sockets of [`Kind::SpreadConnect`] that are left.
    sockets: Vec<(Socket, SockAddr)>,
    crowd: &'a Crowd<'a>,
}

impl Kind {
    /// How many operations a round has where one of the short ones has `asked`.
    pub(super) const fn operations(self, asked: usize) -> usize {
        if matches!(self, Self::Bulk) { asked.div_ceil(BULK_SHARE) } else { asked }
    }

    /// How many rounds there are where others have `asked`. How fast a bulk stream is depends on its
    /// connection's luck more than on anything else, so there must be many connections.
    pub(super) const fn rounds(self, asked: u32) -> u32 {
        if matches!(self, Self::Bulk) { asked.saturating_mul(5) } else { asked }
    }

    /// Bytes that go either way, where that is what the operation is about.
    pub(super) const fn bytes(self) -> Option<usize> {
        if matches!(self, Self::Bulk) { Some(2 * BULK_BYTES) } else { None }
    }
}

impl<'a> Client<'a> {
    /// Opens the connection that is kept, if there is one.
    pub(super) fn new(operation: &Operation, crowd: &'a Crowd<'a>) -> Result<Self> {
        let length = match operation.kind {
            Kind::RequestResponse => MESSAGE_BYTES,
            Kind::Bulk => BULK_BYTES,
            Kind::ConnectAndClose
            | Kind::ContendedConnect
            | Kind::SpreadConnect
            | Kind::Connect
            | Kind::RefusedConnect => 0,
        };
        let stream = if length > 0 {
            let stream =
                TcpStream::connect(operation.endpoint).context("the server does not accept")?;
            stream.set_nodelay(true)?;
            Some(stream)
        } else {
            None
        };
        let message = vec![0x2a; length];
        Ok(Self { operation: *operation, stream, message, sockets: Vec::new(), crowd })
    }

    /// Does it once; how many nanoseconds that took.
    pub(super) fn once(&mut self) -> Result<u64> {
        match self.operation.kind {
            Kind::ConnectAndClose | Kind::ContendedConnect => {
                connect_and_close(self.socket()?, &self.address())
            }
            Kind::SpreadConnect => self.connect_for_the_next(),
            Kind::Connect => self.connect(),
            Kind::RequestResponse | Kind::Bulk => self.exchange(),
            Kind::RefusedConnect => self.be_refused(),
        }
    }

    fn connect_for_the_next(&mut self) -> Result<u64> {
        if self.sockets.is_empty() {
            self.sockets = self.crowd.sockets()?;
        }
        let (socket, address) = self.sockets.pop().context("the crowd has no sockets")?;
        connect_and_close(socket, &address)
    }

    fn connect(&self) -> Result<u64> {
        let (socket, address) = (self.socket()?, self.address());
        let start = now();
        socket.connect(&address).context(REFUSED)?;
        Ok(since(start))
    }

    fn exchange(&mut self) -> Result<u64> {
        let Some(stream) = &mut self.stream else { bail!("no connection is kept") };
        let start = now();
        stream.write_all(&self.message)?;
        stream.read_exact(&mut self.message).context("the server does not answer")?;
        Ok(since(start))
    }

    fn be_refused(&self) -> Result<u64> {
        let address = self.address();
        let start = now();
        let socket = self.socket()?;
        let result = socket.connect(&address);
        drop(socket);
        let elapsed = since(start);
        let errno = result.err().and_then(|error| error.raw_os_error());
        ensure!(
            errno == Some(libc::ECONNREFUSED),
            "a connect was not refused but ended: {errno:?}"
        );
        Ok(elapsed)
    }

    fn address(&self) -> SockAddr {
        self.operation.endpoint.into()
    }

    fn socket(&self) -> Result<Socket> {
        let domain = Domain::for_address(self.operation.endpoint);
        Socket::new(domain, Type::STREAM, None).context("cannot make a socket")
    }
}

fn connect_and_close(socket: Socket, address: &SockAddr) -> Result<u64> {
    let start = now();
    socket.connect(address).context(REFUSED)?;
    drop(socket);
    Ok(since(start))
}

fn since(start: Monotonic) -> u64 {
    now().as_nanos().saturating_sub(start.as_nanos())
}

const REFUSED: &str = "a connect failed that should have succeeded";
/// One bulk transfer takes about as long as so many of the other operations.
const BULK_SHARE: usize = 50;
