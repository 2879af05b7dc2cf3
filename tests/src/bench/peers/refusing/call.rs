//! One call that is refused, as an application makes it.
//!
//! Invariant: it is timed from making the socket until the refusal is seen and the socket closed, whoever
//! refuses.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use shedder_user::clock::now;
use socket2::{Domain, Socket, Type};

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) took_ns: u64,
    pub(super) seen: Seen,
}

/// How an application learns that it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// By this error number of what it did.
    Error(Step, i32),
    /// It is connected and reads the end of the connection.
    End,
}

/// What it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Nothing was sent.
    Connect,
    Write,
    Read,
}

impl Call {
    /// Makes one. Fails where it is answered.
    pub(super) fn make(target: SocketAddr) -> Result<Self> {
        let start = now();
        let outcome = attempt(target);
        let took_ns = now().as_nanos().saturating_sub(start.as_nanos());
        match outcome {
            Outcome::Refused(seen) => Ok(Self { took_ns, seen }),
            Outcome::Answered => bail!("a call to {target} was not refused but answered"),
            Outcome::Unable(error) => bail!("a call to {target} cannot be made: {error}"),
        }
    }
}

#[derive(Debug)]
enum Outcome {
    Refused(Seen),
    Answered,
    Unable(io::Error),
}

/// The socket is closed when this returns.
fn attempt(target: SocketAddr) -> Outcome {
    let refused = |step, error: io::Error| match error.raw_os_error() {
        // Ports are ours to run out of, and nobody refuses by them.
        Some(number) if number != libc::EADDRNOTAVAIL => {
            Outcome::Refused(Seen::Error(step, number))
        }
        _ => Outcome::Unable(error),
    };
    let mut socket = match Socket::new(Domain::for_address(target), Type::STREAM, None) {
        Ok(socket) => socket,
        Err(error) => return Outcome::Unable(error),
    };
    if let Err(error) = socket.connect(&target.into()) {
        return refused(Step::Connect, error);
    }
    if let Err(error) = socket.set_read_timeout(Some(PATIENCE)) {
        return Outcome::Unable(error);
    }
    if let Err(error) = socket.write_all(b"ping\n") {
        return refused(Step::Write, error);
    }
    match socket.read(&mut [0; 16]) {
        Ok(0) => Outcome::Refused(Seen::End),
        Ok(_) => Outcome::Answered,
        Err(error) => refused(Step::Read, error),
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Error(step, number) = self else {
            return formatter.write_str("end of stream when it reads");
        };
        match *number {
            libc::ECONNREFUSED => formatter.write_str("`ECONNREFUSED`")?,
            libc::ECONNRESET => formatter.write_str("`ECONNRESET`")?,
            libc::EHOSTUNREACH => formatter.write_str("`EHOSTUNREACH`")?,
            libc::EPIPE => formatter.write_str("`EPIPE`")?,
            libc::EAGAIN => formatter.write_str("nothing for 5 s")?,
            number => write!(formatter, "error {number}")?,
        }
        formatter.write_str(match step {
            Step::Connect => " when it connects",
            Step::Write => " when it writes",
            Step::Read => " when it reads",
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_refusal_is_told_by_what_was_done() {
        let closed = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let call = Call::make(closed.expect("a free port")).expect("nobody listens");
        assert_eq!(call.seen, Seen::Error(Step::Connect, libc::ECONNREFUSED));
        assert_eq!(call.seen.to_string(), "`ECONNREFUSED` when it connects");
    }
}
