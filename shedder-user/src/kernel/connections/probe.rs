//! Can this kernel end connections? It is asked to end one of our own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::diag::{Diag, DiagError};

/// Why connections cannot be ended.
#[derive(Debug, thiserror::Error)]
pub enum Unsupported {
    /// There is none to try it with.
    #[error("it cannot be tried: a connection over loopback cannot be made: {0}")]
    Loopback(io::Error),
    /// The kernel refuses.
    #[error("{0}; it takes CONFIG_INET_DIAG_DESTROY and CAP_NET_ADMIN")]
    Diag(#[from] DiagError),
    /// The connection is not in the table.
    #[error("the kernel does not show a connection that there is")]
    NotShown,
    /// Whose connection it is cannot be told.
    #[error("the kernel does not say to which cgroup a socket belongs (Linux 5.8)")]
    NoCgroup,
    /// The connection was there and could not be found again.
    #[error("the kernel does not find the connection it has shown")]
    NotFound,
}

/// Makes a connection to ourselves and has it ended.
pub(in crate::kernel) fn probe() -> Result<(), Unsupported> {
    let (_listener, connection) = connect().map_err(Unsupported::Loopback)?;
    let address = |result: io::Result<SocketAddr>| result.map_err(Unsupported::Loopback);
    let (peer, own) = (address(connection.peer_addr())?, address(connection.local_addr())?);
    let mut diag = Diag::open().map_err(DiagError::from)?;
    let sockets = diag.towards(peer)?;
    let socket = sockets.iter().find(|socket| socket.port() == own.port());
    let socket = socket.ok_or(Unsupported::NotShown)?;
    if socket.cgroup.is_none() {
        return Err(Unsupported::NoCgroup);
    }
    if diag.destroy(socket)? { Ok(()) } else { Err(Unsupported::NotFound) }
}

fn connect() -> io::Result<(TcpListener, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let connection = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    Ok((listener, connection))
}

/// For a loopback interface whose packets are dropped.
const PATIENCE: Duration = Duration::from_secs(1);
