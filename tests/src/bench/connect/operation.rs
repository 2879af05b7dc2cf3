//! The operations that are timed.
//!
//! Invariant: what an operation does and how it is timed does not depend on its arm.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use shedder_common::time::Monotonic;
use shedder_user::clock::now;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::bench::server::MESSAGE_BYTES;

/// Something a client does with an endpoint, over and over.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Operation {
    pub(in crate::bench) kind: Kind,
    pub(in crate::bench) endpoint: SocketAddr,
}

/// What is done, and which part of it is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Kind {
    /// Connect and close are timed together.
    ConnectAndClose,
    /// Connect is timed, close is done.
    Connect,
    /// A message and its answer on a connection kept open.
    RequestResponse,
    /// Making the socket, the refusal and close are timed together.
    RefusedConnect,
}

/// An operation with what it keeps from one time to the next.
#[derive(Debug)]
pub(super) struct Client {
    kind: Kind,
    address: SockAddr,
    domain: Domain,
    /// The connection of [`Kind::RequestResponse`].
    stream: Option<TcpStream>,
}

impl Client {
    /// Opens the connection that is kept, if there is one.
    pub(super) fn new(operation: &Operation) -> Result<Self> {
        let Operation { kind, endpoint } = *operation;
        let stream = if kind == Kind::RequestResponse {
            let stream = TcpStream::connect(endpoint).context("the server does not accept")?;
            stream.set_nodelay(true)?;
            Some(stream)
        } else {
            None
        };
        Ok(Self { kind, address: endpoint.into(), domain: Domain::for_address(endpoint), stream })
    }

    /// Does it once; how many nanoseconds that took.
    pub(super) fn once(&mut self) -> Result<u64> {
        match self.kind {
            Kind::ConnectAndClose => self.connect_and_close(),
            Kind::Connect => self.connect(),
            Kind::RequestResponse => self.request(),
            Kind::RefusedConnect => self.be_refused(),
        }
    }

    fn connect_and_close(&self) -> Result<u64> {
        let socket = self.socket()?;
        let start = now();
        socket.connect(&self.address).context(REFUSED)?;
        drop(socket);
        Ok(since(start))
    }

    fn connect(&self) -> Result<u64> {
        let socket = self.socket()?;
        let start = now();
        socket.connect(&self.address).context(REFUSED)?;
        Ok(since(start))
    }

    fn request(&mut self) -> Result<u64> {
        let Some(stream) = &mut self.stream else { bail!("no connection is kept") };
        let mut message = [0x2a; MESSAGE_BYTES];
        let start = now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message).context("the server does not answer")?;
        Ok(since(start))
    }

    fn be_refused(&self) -> Result<u64> {
        let start = now();
        let socket = self.socket()?;
        let result = socket.connect(&self.address);
        drop(socket);
        let elapsed = since(start);
        let errno = result.err().and_then(|error| error.raw_os_error());
        ensure!(
            errno == Some(libc::ECONNREFUSED),
            "a connect was not refused but ended: {errno:?}"
        );
        Ok(elapsed)
    }

    fn socket(&self) -> Result<Socket> {
        Socket::new(self.domain, Type::STREAM, None).context("cannot make a socket")
    }
}

fn since(start: Monotonic) -> u64 {
    now().as_nanos().saturating_sub(start.as_nanos())
}

const REFUSED: &str = "a connect failed that should have succeeded";
