//! One socket for more than one connect, as pools and proxies that keep their descriptors do it.
//!
//! Invariant: the socket stays the same throughout, so whatever the kernel remembers of its
//! earlier connects is still there at its later ones.
#![expect(unsafe_code, reason = "a connect to no address has no wrapper")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use socket2::Socket;

use super::report::{Attempt, Errno};
use super::tcp::{ConnectOptions, connect, new_socket};

/// Begins to connect, does not wait, and keeps the socket whatever comes of it. Besides the socket:
/// what `connect(2)` returned, none for success. Fails only where no socket can be made.
pub(super) fn start(addr: SocketAddr) -> io::Result<(Socket, Option<Errno>)> {
    let socket = new_socket(addr)?;
    socket.set_nonblocking(true)?;
    let returned = socket.connect(&addr.into()).err().map(|error| Errno::of(&error));
    socket.set_nonblocking(false)?;
    Ok((socket, returned))
}

/// Takes the socket back from wherever it was connected, or on its way to, and connects it to
/// `addr`. Fails where the socket cannot be taken back.
pub(super) fn reconnect(
    socket: &Socket,
    addr: SocketAddr,
    timeout: Duration,
) -> io::Result<Attempt> {
    disconnect(socket)?;
    connect_with(socket, addr, timeout)
}

/// A socket for `addr` whose cookie is that of `other` and a multiple of `places`. The kernel gives cookies in turn, by
/// the thousand to each CPU.
pub(super) fn prepare_beside(other: &Socket, addr: SocketAddr, places: u64) -> io::Result<Socket> {
    let wanted = other.cookie()? % places;
    for _ in 0..places * TURNS {
        let socket = new_socket(addr)?;
        if socket.cookie()? % places == wanted {
            return Ok(socket);
        }
    }
    Err(io::Error::other("the kernel does not give cookies in turn"))
}

/// How often cookies may go round without the one that is wanted: the other CPUs may have got it.
const TURNS: u64 = 20;

/// Connects a socket as it is.
pub(super) fn connect_with(
    socket: &Socket,
    addr: SocketAddr,
    timeout: Duration,
) -> io::Result<Attempt> {
    let options = ConnectOptions { timeout: Some(timeout), ..ConnectOptions::default() };
    connect(socket, addr, &options)
}

/// As [`reconnect`], but does not wait for what comes of it. The socket must not block.
pub(super) fn restart(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    disconnect(socket)?;
    socket.connect(&addr.into())
}

fn disconnect(socket: &Socket) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sockaddr, that of the family AF_UNSPEC.
    let nowhere: libc::sockaddr = unsafe { std::mem::zeroed() };
    let length = libc::socklen_t::try_from(size_of_val(&nowhere)).map_err(io::Error::other)?;
    // SAFETY: the address is valid for the length given.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
