//! Connecting and asking, with plain sockets and nothing between them and the kernel.
//!
//! Invariant: a time limit covers the whole of what it is given for, and a blocking connect
//! stays one `connect(2)` call.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::kind::Kind;
use super::report::{Attempt, Call, Cause, Errno, Failure, Phase};
use crate::clock::{microseconds_since, now, remaining};
use crate::readiness::wait_for;

/// How to connect. The default: blocking, without a time limit of its own, closed in good order.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ConnectOptions {
    /// The caller's own time limit; without one the kernel decides.
    pub timeout: Option<Duration>,
    /// Connect without blocking, then wait until the socket is writable.
    pub nonblocking: bool,
    /// Close with RST instead of FIN.
    pub linger0: bool,
    /// Reach an IPv4 address by an IPv6 socket, as `::ffff:a.b.c.d`.
    pub as_mapped_ipv6: bool,
}

/// The IPv6 form `::ffff:a.b.c.d` of an IPv4 address; an IPv6 address stays as it is. Calls to
/// it use an IPv6 socket.
pub fn as_mapped_ipv6(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(addr) => {
            SocketAddrV6::new(addr.ip().to_ipv6_mapped(), addr.port(), 0, 0).into()
        }
        SocketAddr::V6(_) => addr,
    }
}

/// Connects and closes. Fails only where no socket can be made.
pub(super) fn attempt(addr: SocketAddr, options: &ConnectOptions) -> io::Result<Attempt> {
    let addr = if options.as_mapped_ipv6 { as_mapped_ipv6(addr) } else { addr };
    let socket = new_socket(addr)?;
    if options.linger0 {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    if options.nonblocking {
        socket.set_nonblocking(true)?;
    }
    connect(&socket, addr, options)
}

/// Connects a socket that is set up as `options` say.
pub(super) fn connect(
    socket: &Socket,
    addr: SocketAddr,
    options: &ConnectOptions,
) -> io::Result<Attempt> {
    socket.set_write_timeout(options.timeout)?;
    let start = now();
    let result = socket.connect(&addr.into());
    let failure = match &result {
        Ok(()) => None,
        Err(error) if options.nonblocking && in_progress(error) => {
            outcome_of_pending(socket, options.timeout)?
        }
        Err(error) => Some(cause_of_connect(error)),
    };
    let connect_us = microseconds_since(start);
    let (peer, local) = addresses(socket, failure.is_none());
    Ok(Attempt { returned: result.err().map(|e| Errno::of(&e)), failure, connect_us, peer, local })
}

/// Connects, asks, reads the answer and closes. Fails only where no socket can be made.
pub(super) fn call(addr: SocketAddr, kind: &Kind, timeout: Duration) -> io::Result<Call> {
    let socket = kind.socket(addr)?;
    socket.set_write_timeout(Some(timeout))?;
    let start = now();
    let connected = kind.connect(&socket, addr, timeout)?;
    let connect_us = microseconds_since(start);
    let (peer, local) = addresses(&socket, connected.is_ok());
    let result = match connected {
        Ok(()) if kind.asks_at_once() => answer(&socket, start + timeout),
        Ok(()) => turn(&socket, start + timeout),
        Err(cause) => Err(Failure { phase: Phase::Connect, cause }),
    };
    let total_us = microseconds_since(start);
    Ok(Call { failure: result.err(), connect_us, total_us, peer, local })
}

/// Connects and keeps the connection.
pub(super) fn open(addr: SocketAddr, timeout: Duration) -> io::Result<Result<Socket, Cause>> {
    let socket = new_socket(addr)?;
    socket.set_write_timeout(Some(timeout))?;
    let result = socket.connect(&addr.into());
    Ok(result.map(|()| socket).map_err(|error| cause_of_connect(&error)))
}

/// Asks once on a connection that there is already.
pub(super) fn request(socket: &Socket, timeout: Duration) -> Call {
    report(socket, timeout, turn)
}

/// As [`request`], but says before the answer that no more will be asked.
pub(super) fn last_request(socket: &Socket, timeout: Duration) -> Call {
    report(socket, timeout, last_turn)
}

/// Waits until the connection ends, by the peer or by the kernel; what ended it.
pub(super) fn await_end(mut socket: &Socket, timeout: Duration) -> Cause {
    match socket.set_read_timeout(Some(timeout)).and_then(|()| socket.read(&mut [0])) {
        Ok(0) => Cause::Closed,
        Ok(_) => Cause::Garbled,
        Err(error) => cause_of(&error),
    }
}

pub(super) fn new_socket(addr: SocketAddr) -> io::Result<Socket> {
    Kind::Blocking.socket(addr)
}

fn report(
    socket: &Socket,
    timeout: Duration,
    turn: impl FnOnce(&Socket, Instant) -> Result<(), Failure>,
) -> Call {
    let start = now();
    let (peer, local) = addresses(socket, true);
    let failure = turn(socket, start + timeout).err();
    Call { failure, connect_us: 0, total_us: microseconds_since(start), peer, local }
}

/// One request and its answer.
fn turn(socket: &Socket, deadline: Instant) -> Result<(), Failure> {
    send(socket, deadline).map_err(|cause| Failure { phase: Phase::Send, cause })?;
    answer(socket, deadline)
}

/// One request, the end of sending, and the answer.
fn last_turn(socket: &Socket, deadline: Instant) -> Result<(), Failure> {
    send(socket, deadline)
        .and_then(|()| socket.shutdown(Shutdown::Write).map_err(|error| cause_of(&error)))
        .map_err(|cause| Failure { phase: Phase::Send, cause })?;
    answer(socket, deadline)
}

/// The answer to what was asked.
fn answer(socket: &Socket, deadline: Instant) -> Result<(), Failure> {
    receive(socket, deadline).map_err(|cause| Failure { phase: Phase::Receive, cause })
}

fn send(mut socket: &Socket, deadline: Instant) -> Result<(), Cause> {
    let left = remaining(deadline).ok_or(Cause::Timeout)?;
    socket.set_write_timeout(Some(left)).map_err(|error| cause_of(&error))?;
    socket.write_all(REQUEST).map_err(|error| cause_of(&error))
}

fn receive(mut socket: &Socket, deadline: Instant) -> Result<(), Cause> {
    let mut bytes = [0; ANSWER.len()];
    let mut filled = 0;
    while filled < bytes.len() {
        let left = remaining(deadline).ok_or(Cause::Timeout)?;
        socket.set_read_timeout(Some(left)).map_err(|error| cause_of(&error))?;
        let space = bytes.get_mut(filled..).unwrap_or_default();
        match socket.read(space) {
            Ok(0) => return Err(Cause::Closed),
            Ok(read) => filled += read,
            // What a ring leaves behind when it is taken apart interrupts the next wait.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(cause_of(&error)),
        }
    }
    if bytes == *ANSWER { Ok(()) } else { Err(Cause::Garbled) }
}

fn outcome_of_pending(socket: &Socket, timeout: Option<Duration>) -> io::Result<Option<Cause>> {
    if !wait_for(socket, libc::POLLOUT, timeout)? {
        return Ok(Some(Cause::Timeout));
    }
    Ok(socket.take_error()?.map(|error| cause_of(&error)))
}

/// A blocking connect whose send timeout passes returns `EINPROGRESS`.
pub(super) fn cause_of_connect(error: &io::Error) -> Cause {
    if in_progress(error) { Cause::Timeout } else { Cause::Errno(Errno::of(error)) }
}

/// A blocking read or write whose timeout passes returns `EAGAIN`.
pub(super) fn cause_of(error: &io::Error) -> Cause {
    if error.kind() == ErrorKind::WouldBlock {
        Cause::Timeout
    } else {
        Cause::Errno(Errno::of(error))
    }
}

pub(super) fn in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
}

/// The peer's and the socket's own address.
fn addresses(socket: &Socket, connected: bool) -> (Option<SocketAddr>, Option<SocketAddr>) {
    if !connected {
        return (None, None);
    }
    let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
    let local = socket.local_addr().ok().and_then(|address| address.as_socket());
    (peer, local)
}

pub(super) const REQUEST: &[u8; 5] = b"ping\n";
const ANSWER: &[u8; 5] = b"pong\n";
