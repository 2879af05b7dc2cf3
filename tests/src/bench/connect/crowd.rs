//! Many callers, each in a cgroup of its own, and many endpoints that all of them call.
//!
//! Invariant: this process goes back to its cgroup before the crowd's are removed, since removing one
//! ends whoever is inside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::bench::server::ACCEPTING_PORT;
use crate::cgroup::Cgroup;

/// The cgroups, and the one this process is in.
#[derive(Debug)]
pub(super) struct Crowd<'a> {
    cgroups: Vec<Cgroup>,
    home: &'a Cgroup,
}

impl<'a> Crowd<'a> {
    /// Makes the cgroups. `home` is where this process is.
    pub(super) fn gather(home: &'a Cgroup) -> Result<Self> {
        let cgroups = (0..CALLERS).map(|_| Cgroup::new("crowd")).collect::<Result<_>>()?;
        Ok(Self { cgroups, home })
    }

    /// Each caller and its cgroup's name.
    pub(super) fn callers(&self) -> impl Iterator<Item = (u32, &str)> {
        (FIRST_CALLER..).zip(self.cgroups.iter().map(Cgroup::name))
    }

    /// Makes a socket for each endpoint in each caller's cgroup, to which it belongs from then on. In
    /// the order they come, each has another caller and another endpoint than the one before.
    pub(super) fn sockets(&self) -> Result<Vec<(Socket, SockAddr)>> {
        let made: Result<Vec<_>> = self.cgroups.iter().enumerate().map(sockets_of).collect();
        self.home.admit(std::process::id())?;
        let mut of_callers: Vec<_> = made?.into_iter().map(Vec::into_iter).collect();
        Ok((0..ENDPOINTS)
            .flat_map(|_| of_callers.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>())
            .collect())
    }
}

/// The endpoints, which accept.
pub(super) fn endpoints() -> impl Iterator<Item = SocketAddr> + Clone {
    (1..=ENDPOINTS)
        .map(|last| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, 1, last)), ACCEPTING_PORT))
}

/// One for each endpoint, each caller beginning with another one.
fn sockets_of((caller, cgroup): (usize, &Cgroup)) -> Result<Vec<(Socket, SockAddr)>> {
    cgroup.admit(std::process::id())?;
    endpoints()
        .cycle()
        .skip(caller)
        .take(ENDPOINTS.into())
        .map(|endpoint| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None);
            Ok((socket.context("cannot make a socket")?, SockAddr::from(endpoint)))
        })
        .collect()
}

const CALLERS: usize = 8;
const ENDPOINTS: u8 = 50;
/// After the one caller of the other comparisons.
const FIRST_CALLER: u32 = 2;
