//! Connecting as often as the machine can.
//!
//! Invariant: nothing is sent, and every connection is closed by a reset, so that no port is used
//! up by connections that are timing out.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::report::Errno;
use super::tcp::new_socket;

/// What many connects came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Those that succeeded.
    pub connected: u64,
    /// Those that failed, by error number.
    pub failed: BTreeMap<i32, u64>,
}

impl Tally {
    /// The connects of several processes taken together.
    pub fn sum(tallies: impl IntoIterator<Item = Self>) -> Self {
        tallies.into_iter().fold(Self::default(), |mut sum, tally| {
            sum.connected += tally.connected;
            for (errno, count) in tally.failed {
                *sum.failed.entry(errno).or_default() += count;
            }
            sum
        })
    }
}

/// Connects to each address in turn, `rounds` times over.
pub(super) fn burst(addrs: &[SocketAddr], rounds: u32) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for _ in 0..rounds {
        for addr in addrs {
            let socket = new_socket(*addr)?;
            socket.set_linger(Some(Duration::ZERO))?;
            match socket.connect(&(*addr).into()) {
                Ok(()) => tally.connected += 1,
                Err(error) => *tally.failed.entry(Errno::of(&error).code).or_default() += 1,
            }
        }
    }
    Ok(tally)
}
