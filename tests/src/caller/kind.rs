//! The kinds of sockets there are, and the ways to connect them.
//!
//! Invariant: whatever the kind of TCP socket, a call is one connection, one request and one answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use super::report::Cause;
use super::tcp::{REQUEST, cause_of_connect, in_progress};
use super::{ring, tcp_option};
use crate::readiness::wait_for;

/// What kind of socket calls, and by what system call it connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `connect(2)`, which blocks.
    Blocking,
    /// `connect(2)` on a non-blocking socket, and again once it is writable, to learn the result.
    NonBlocking,
    /// `IORING_OP_CONNECT`.
    IoUring,
    /// `sendto(2)` with `MSG_FASTOPEN`: the request leaves with the SYN, if the server has given
    /// this machine a cookie before.
    FastOpenSend,
    /// `TCP_FASTOPEN_CONNECT`: with a cookie `connect(2)` only decides, and the SYN leaves with the
    /// request.
    FastOpenConnect,
    /// Multipath TCP.
    Multipath,
    /// UDP, for [`super::Caller::exchange`].
    Datagram,
    /// UDP-Lite, likewise.
    LightDatagram,
    /// `SO_BINDTODEVICE` to this interface.
    BoundTo(String),
}

impl Kind {
    /// A socket of this kind that can be connected to `addr`.
    pub(super) fn socket(&self, addr: SocketAddr) -> io::Result<Socket> {
        let (kind, protocol) = match self {
            Self::Multipath => (Type::STREAM, Protocol::MPTCP),
            Self::Datagram => (Type::DGRAM, Protocol::UDP),
            Self::LightDatagram => (Type::DGRAM, Protocol::UDPLITE),
            Self::Blocking
            | Self::NonBlocking
            | Self::IoUring
            | Self::FastOpenSend
            | Self::FastOpenConnect
            | Self::BoundTo(_) => (Type::STREAM, Protocol::TCP),
        };
        let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
        if *self == Self::FastOpenConnect {
            tcp_option::write(&socket, libc::TCP_FASTOPEN_CONNECT, 1)?;
        }
        if let Self::BoundTo(device) = self {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        Ok(socket)
    }

    /// Connects a socket of this kind, whose write timeout is `timeout`. Fails only where the
    /// means to connect are missing.
    pub(super) fn connect(
        &self,
        socket: &Socket,
        addr: SocketAddr,
        timeout: Duration,
    ) -> io::Result<Result<(), Cause>> {
        let result = match self {
            Self::IoUring => return ring::connect(socket, addr, timeout),
            Self::NonBlocking => without_blocking(socket, addr, timeout),
            Self::FastOpenSend => send_first(socket, addr),
            Self::Blocking
            | Self::FastOpenConnect
            | Self::Multipath
            | Self::Datagram
            | Self::LightDatagram
            | Self::BoundTo(_) => blocking(socket, addr, timeout),
        };
        Ok(result.map_err(|error| cause_of_connect(&error)))
    }

    /// Whether the request has gone out with the connect.
    pub(super) fn asks_at_once(&self) -> bool {
        *self == Self::FastOpenSend
    }
}

/// What the kernel has to tell a thread, as that a ring of its own has gone, may end the wait; the
/// connect goes on.
fn blocking(socket: &Socket, addr: SocketAddr, timeout: Duration) -> io::Result<()> {
    let result = socket.connect(&addr.into());
    if !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
        return result;
    }
    if !wait_for(socket, libc::POLLOUT, Some(timeout))? {
        return Err(io::Error::from_raw_os_error(libc::EINPROGRESS));
    }
    socket.take_error()?.map_or(Ok(()), Err)
}

/// The second call tells what the first one came to. It is no second connect.
fn without_blocking(socket: &Socket, addr: SocketAddr, timeout: Duration) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut result = socket.connect(&addr.into());
    if result.as_ref().is_err_and(in_progress) && wait_for(socket, libc::POLLOUT, Some(timeout))? {
        result = socket.connect(&addr.into());
    }
    socket.set_nonblocking(false)?;
    result
}

fn send_first(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    let sent = socket.send_to_with_flags(REQUEST, &addr.into(), libc::MSG_FASTOPEN)?;
    if sent == REQUEST.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
