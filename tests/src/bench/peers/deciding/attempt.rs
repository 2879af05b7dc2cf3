//! One connect, and the moment it returned.
//!
//! Invariant: nothing lies between the end of the connect and the reading of the clock.

use std::net::SocketAddrV4;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use shedder_common::time::Monotonic;
use shedder_user::clock;

/// What a connect came to.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench::peers) struct Attempt {
    /// Nothing where it succeeded.
    pub(in crate::bench::peers) error: Option<Errno>,
    /// `CLOCK_MONOTONIC` when it returned.
    pub(in crate::bench::peers) returned: Monotonic,
}

impl Attempt {
    /// Connects and closes.
    pub(in crate::bench::peers) fn make(endpoint: SocketAddrV4) -> Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)
            .context("cannot make a socket")?;
        let outcome = connect(&socket, &endpoint);
        let returned = clock::now();
        Ok(Self { error: outcome.err(), returned })
    }
}

/// What a verdict of the measurement makes a connect fail with; nothing else there does.
pub(in crate::bench::peers) const SHED: Errno = Errno::HOSTUNREACH;
/// What a closed port makes it fail with.
pub(in crate::bench::peers) const REFUSED: Errno = Errno::CONNREFUSED;
