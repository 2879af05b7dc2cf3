//! What a connect or a call came to, as the application saw it.
//!
//! Invariant: an error of the kernel keeps its number; the caller's own time limit is never
//! confused with the kernel's `ETIMEDOUT`.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One connect and close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What `connect(2)` itself returned; none for success. A non-blocking connect on its way
    /// gives `EINPROGRESS`.
    pub returned: Option<Errno>,
    /// Why there was no connection in the end; none when there was.
    pub failure: Option<Cause>,
    /// Microseconds until the result was known.
    pub connect_us: u64,
    /// The peer by `getpeername(2)`, once connected and not yet reset.
    pub peer: Option<SocketAddr>,
    /// The socket's own address, once connected.
    pub local: Option<SocketAddr>,
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Where and why it failed; none when the answer came.
    pub failure: Option<Failure>,
    /// Microseconds `connect(2)` took, failed or not.
    pub connect_us: u64,
    /// Microseconds from the start of `connect(2)` to the answer or the failure.
    pub total_us: u64,
    /// The peer by `getpeername(2)`, once connected and not yet reset.
    pub peer: Option<SocketAddr>,
    /// The socket's own address, once connected.
    pub local: Option<SocketAddr>,
}

/// A failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What the caller was doing.
    pub phase: Phase,
    /// What stopped it.
    pub cause: Cause,
}

/// The parts of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Waiting for the connection.
    Connect,
    /// Sending the request.
    Send,
    /// Waiting for the answer.
    Receive,
}

/// Why something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The kernel said so.
    Errno(Errno),
    /// The caller's own time limit passed.
    Timeout,
    /// The peer ended the connection in good order before its answer was complete.
    Closed,
    /// The answer was not the expected one.
    Garbled,
}

/// An error number of the kernel, printed with its name.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errno {
    /// The raw number, such as `libc::ECONNREFUSED`.
    pub code: i32,
}

impl Attempt {
    /// Whether there was a connection.
    pub fn connected(&self) -> bool {
        self.failure.is_none()
    }

    /// The kernel's final error number, if it gave one.
    pub fn errno(&self) -> Option<i32> {
        self.failure.and_then(Cause::errno)
    }
}

impl Call {
    /// Whether the answer came.
    pub fn answered(&self) -> bool {
        self.failure.is_none()
    }

    /// The kernel's error number in whatever phase, if it gave one.
    pub fn errno(&self) -> Option<i32> {
        self.failure.and_then(|failure| failure.cause.errno())
    }

    /// The error number of `connect(2)`, if that is what failed.
    pub fn connect_errno(&self) -> Option<i32> {
        self.failure
            .filter(|failure| failure.phase == Phase::Connect)
            .and_then(|failure| failure.cause.errno())
    }

    /// Whether the caller's own time limit passed, in whatever phase.
    pub fn timed_out(&self) -> bool {
        self.failure.is_some_and(|failure| failure.cause == Cause::Timeout)
    }
}

impl Cause {
    pub(super) fn errno(self) -> Option<i32> {
        match self {
            Self::Errno(errno) => Some(errno.code),
            Self::Timeout | Self::Closed | Self::Garbled => None,
        }
    }
}

impl Errno {
    /// The kernel's name of the number; `errno` for one the network does not use.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(code, _)| *code == self.code).map_or("errno", |(_, name)| name)
    }

    /// The number in an error of the standard library. One without a number is a mistake in
    /// the arguments, which the kernel calls `EINVAL`.
    pub(super) fn of(error: &io::Error) -> Self {
        Self { code: error.raw_os_error().unwrap_or(libc::EINVAL) }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name(), self.code)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => errno.fmt(formatter),
            Self::Timeout => formatter.write_str("timeout"),
            Self::Closed => formatter.write_str("closed"),
            Self::Garbled => formatter.write_str("garbled"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Receive => "receive",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {}", self.cause, self.phase)
    }
}

const NAMES: [(i32, &str); 19] = [
    (libc::EPERM, "EPERM"),
    (libc::EINTR, "EINTR"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EACCES, "EACCES"),
    (libc::EINVAL, "EINVAL"),
    (libc::EPIPE, "EPIPE"),
    (libc::EPROTO, "EPROTO"),
    (libc::EADDRINUSE, "EADDRINUSE"),
    (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (libc::ENETDOWN, "ENETDOWN"),
    (libc::ENETUNREACH, "ENETUNREACH"),
    (libc::ECONNABORTED, "ECONNABORTED"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::EHOSTDOWN, "EHOSTDOWN"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::EINPROGRESS, "EINPROGRESS"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shown_with_name_and_number() {
        let refused = Errno { code: libc::ECONNREFUSED };
        let failure = Failure { phase: Phase::Connect, cause: Cause::Errno(refused) };
        assert_eq!(failure.to_string(), "ECONNREFUSED (111) at connect");
        assert_eq!(Errno { code: 512 }.to_string(), "errno (512)");
    }
}
