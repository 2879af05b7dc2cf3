//! What the kernel counted of one breaker's connections.
//!
//! Invariant: as all of the model, a contract: fields are added, never renamed or removed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How attempts and turns ended, by class, as counted by the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// An answer arrived, and did not say that the endpoint failed.
    pub answered: u64,
    /// Established and closed in good order without a request.
    pub idle_closed: u64,
    /// Failure: the SYN was answered with a reset.
    pub refused: u64,
    /// Failure: no answer, to the SYN or to a request.
    pub timed_out: u64,
    /// Failure: the network said that the host cannot be reached.
    pub unreachable: u64,
    /// Failure: reset by the peer where an answer was due.
    pub reset: u64,
    /// Failure: closed by the peer where an answer was due, without a byte of one.
    #[serde(default)]
    pub hung_up: u64,
    /// Failure: an answer that says that the endpoint failed, where the protocol of the service is named.
    #[serde(default)]
    pub errored: u64,
    /// Says nothing: the caller gave up waiting early.
    #[serde(default)]
    pub gave_up: u64,
    /// Says nothing: ended for a local reason.
    pub abandoned: u64,
    /// Says nothing: began before the breaker's last change of state.
    pub stale: u64,
    /// SYNs sent again because no answer came; the attempt's outcome is counted apart from them.
    pub syn_retransmits: u64,
}

/// What has begun and not ended, as counted by the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Handshakes.
    pub connecting: u64,
    /// Requests without an answer.
    pub waiting: u64,
    /// Those of both that stall: nothing was heard while the retransmission timer ran out twice.
    pub stalled: u64,
    /// Established connections.
    pub connections: u64,
}

/// What connections have carried, as counted by the kernel. Bytes and segments are counted when a
/// connection ends, segments also when one is sent again. The end of a connection is a byte as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections established.
    pub connections: u64,
    /// Requests begun on them; more than connections where connections are used again.
    pub requests: u64,
    /// Bytes the endpoint acknowledged.
    pub bytes_out: u64,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Segments with data sent.
    pub segments: u64,
    /// Segments with data sent again.
    pub retransmits: u64,
}

/// What became of datagrams to the same address and port. The connect of a UDP socket is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagrams {
    /// All there were.
    pub seen: u64,
    /// Refused.
    pub refused: u64,
    /// Sent to a sibling.
    pub redirected: u64,
    /// What enforcing for every cgroup would have refused or sent elsewhere, whatever the mode.
    pub would_shed: u64,
}

/// The caller's local ports towards the endpoint. The side that closes first keeps the port of a
/// connection taken for a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// Taken, as far as counted: the two below.
    pub taken: u64,
    /// By connections, and handshakes on their way.
    pub in_use: u64,
    /// By connections that the caller closed.
    pub closed: u64,
    /// There are; nothing as long as so few are taken that nobody asked.
    pub available: Option<u64>,
    /// Whether so many are taken that connects may soon fail for want of one.
    pub pressing: bool,
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, in_use, closed, available, pressing } = self;
        match available {
            Some(available) => write!(f, "{taken} of {available} local ports are taken")?,
            None => write!(f, "{taken} local ports are taken")?,
        }
        if *pressing {
            write!(
                f,
                ", {in_use} in use and {closed} for a minute after closing; without one connects fail with EADDRNOTAVAIL: reuse connections, or widen net.ipv4.ip_local_port_range"
            )
        } else {
            f.write_str(", which is far enough from all")
        }
    }
}
