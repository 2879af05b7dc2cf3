//! Datagrams: one out, and what comes back.
//!
//! Invariant: whose answer it was is what the kernel told the application.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::kept::ConnectionId;
use super::protocol::{Order, Reply};
use super::report::{Cause, Failure, Phase};
use super::tcp::{REQUEST, cause_of};
use super::{Caller, MIXED_UP};

/// One datagram and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Where and why it failed; none when an answer came.
    pub failure: Option<Failure>,
    /// Who answered, by `recvfrom(2)`.
    pub from: Option<SocketAddr>,
}

impl Exchange {
    /// The error number of sending, if that is what failed.
    pub fn send_errno(&self) -> Option<i32> {
        self.failure
            .filter(|failure| failure.phase == Phase::Send)
            .and_then(|failure| failure.cause.errno())
    }
}

impl Caller {
    /// Sends a datagram and waits for one: to `to` by `sendto(2)`, or by `send(2)` to where the socket
    /// is connected.
    pub fn exchange(
        &mut self,
        socket: ConnectionId,
        to: Option<SocketAddr>,
        timeout: Duration,
    ) -> Result<Exchange> {
        let Reply::Exchange(exchange) =
            self.ask(&Order::Exchange { connection: socket.number(), to, timeout })?
        else {
            bail!(MIXED_UP);
        };
        Ok(exchange)
    }
}

/// Fails only where the socket cannot be set up.
pub(super) fn exchange(
    socket: &Socket,
    to: Option<SocketAddr>,
    timeout: Duration,
) -> io::Result<Exchange> {
    socket.set_read_timeout(Some(timeout))?;
    let sent = match to {
        Some(addr) => socket.send_to(REQUEST, &addr.into()),
        None => socket.send(REQUEST),
    };
    let failed = |phase, cause| Exchange { failure: Some(Failure { phase, cause }), from: None };
    if let Err(error) = sent {
        return Ok(failed(Phase::Send, cause_of(&error)));
    }
    let mut answer = [MaybeUninit::uninit(); REQUEST.len()];
    Ok(match socket.recv_from(&mut answer) {
        Ok((length, from)) if length == REQUEST.len() => {
            Exchange { failure: None, from: from.as_socket() }
        }
        Ok(_) => failed(Phase::Receive, Cause::Garbled),
        Err(error) => failed(Phase::Receive, cause_of(&error)),
    })
}
