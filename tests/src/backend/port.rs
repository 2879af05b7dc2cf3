//! A port that is held throughout, while it listens, refuses or swallows connections.
//!
//! Invariant: one socket is bound to the port from start to end. `shutdown` takes a socket out
//! of listening without unbinding it, as long as its port was asked for by number.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::readiness::wait_for;

#[derive(Debug)]
pub(super) struct ReservedPort {
    socket: Socket,
    address: SocketAddr,
    state: State,
    /// The connection that fills the accept queue and its own address, until it is accepted.
    filler: Option<(Socket, SocketAddr)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Refusing,
    Listening,
    Full,
}

impl ReservedPort {
    /// Binds a port of `ip` that the kernel chooses; it refuses until opened.
    pub(super) fn reserve(ip: IpAddr) -> io::Result<Self> {
        // A port the kernel chose for a socket is given up when that socket stops listening, so
        // a second socket asks for the same port by number while the first one holds it.
        let chooser = bound(SocketAddr::new(ip, 0))?;
        Self::at(own_address(&chooser)?)
    }

    /// Binds an address with a port; it refuses until opened.
    pub(super) fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = bound(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, state: State::Refusing, filler: None })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether there can be connections to accept.
    pub(super) fn is_listening(&self) -> bool {
        self.state == State::Listening
    }

    /// Accepts connections, the ones that wait in a full queue too.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        self.socket.listen(BACKLOG)?;
        self.state = State::Listening;
        Ok(())
    }

    /// Stops listening: the kernel resets what waits in the accept queue and refuses new ones.
    pub(super) fn refuse(&mut self) -> io::Result<()> {
        if self.state != State::Refusing {
            self.socket.shutdown(Shutdown::Both)?;
            self.state = State::Refusing;
            self.filler = None;
        }
        Ok(())
    }

    /// Fills the accept queue so that the kernel drops SYNs without an answer.
    pub(super) fn swallow(&mut self) -> io::Result<()> {
        if self.state == State::Full {
            return Ok(());
        }
        // The queue is filled before its limit is taken to zero: below a limit of zero the
        // kernel would answer even the first SYN with a cookie, and log a flood.
        self.socket.listen(1)?;
        let filler = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        filler.set_nonblocking(true)?;
        match filler.connect(&self.address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if !wait_for(&self.socket, libc::POLLIN, Some(FILL_LIMIT))? {
            return Err(io::Error::other("its accept queue does not fill"));
        }
        self.socket.listen(0)?;
        let filler_address = own_address(&filler)?;
        self.filler = Some((filler, filler_address));
        self.state = State::Full;
        Ok(())
    }

    /// The next waiting connection, non-blocking; none when the queue is empty.
    pub(super) fn accept(&mut self) -> Option<TcpStream> {
        loop {
            // Whatever else accept reports (a connection that died in the queue, no descriptors
            // left) concerns that one connection.
            let (socket, peer) = self.socket.accept().ok()?;
            if self.filler.take_if(|(_, filler)| peer.as_socket() == Some(*filler)).is_some() {
                continue;
            }
            let stream = TcpStream::from(socket);
            stream.set_nonblocking(true).ok()?;
            return Some(stream);
        }
    }
}

impl AsFd for ReservedPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Lets the port listen again beside old connections that are timing out. Other programs
    // ask for SO_REUSEADDR, which does not match and so does not let them in.
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn own_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a socket without an address"))
}

const BACKLOG: libc::c_int = 4096;
const FILL_LIMIT: Duration = Duration::from_secs(2);
