//! One connection of the generator, and what it is doing.
//!
//! Invariant: it never blocks; a connection is one to send on when the kernel takes the request.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// A socket with its place in the order of targets.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    pub(super) target: usize,
    /// Bytes of the request that have left.
    sent: usize,
    is_connected: bool,
}

/// What came of going on with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The kernel will say more.
    Wait,
    /// There is no connection, for this reason.
    NotConnected(i32),
    /// The connection failed.
    Lost(i32),
    /// The connection was ended.
    Ended,
    /// The answer is there.
    Answered,
}

impl Connection {
    /// Begins to connect; an error is one of `connect` itself.
    pub(super) fn open(address: SocketAddr, target: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { socket, target, sent: 0, is_connected: false })
    }

    /// To be watched.
    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether there is a connection, as far as is known.
    pub(super) const fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Goes on with a call as far as the kernel lets it.
    pub(super) fn go_on(&mut self, request: &[u8]) -> Step {
        while let Some(rest) = request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match (&self.socket).write(rest) {
                Ok(sent) => {
                    self.sent += sent;
                    self.is_connected = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Wait,
                Err(error) if self.is_connected => return Step::Lost(number(&error)),
                Err(error) => return Step::NotConnected(number(&error)),
            }
        }
        let mut bytes = [0; 256];
        match (&self.socket).read(&mut bytes) {
            Ok(0) => Step::Ended,
            Ok(read) if bytes[..read].ends_with(b"\n") => Step::Answered,
            Ok(_) => Step::Wait,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Step::Wait,
            Err(error) => Step::Lost(number(&error)),
        }
    }

    /// The next call begins on it.
    pub(super) const fn begin(&mut self) {
        self.sent = 0;
    }

    /// Whether nothing has come on it since the last answer, not even its end.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = (&self.socket).read(&mut byte);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_default()
}
