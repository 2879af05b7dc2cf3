//! Asking the kernel's table of TCP sockets in one network namespace (`NETLINK_SOCK_DIAG`).
//!
//! Invariant: questions are numbered, and only answers with the number of the last one are heard.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{DecodeError, NetlinkMessage, NetlinkSerializable};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6};
use netlink_packet_sock_diag::inet::InetResponse;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

mod message;

pub(super) use self::message::Socket;

use self::message::Answer;
use crate::kernel::network;

/// The TCP sockets of the namespace in which this was opened.
#[derive(Debug)]
pub(super) struct Diag {
    network: Option<u64>,
    netlink: OwnedFd,
    sequence: u32,
    buffer: Box<[u8]>,
}

/// What the kernel said instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    /// It refused, or did not answer.
    #[error("the kernel's table of sockets cannot be used: {0}")]
    Refused(#[from] io::Error),
    /// It answered something else.
    #[error("what the kernel says of its sockets cannot be understood: {0}")]
    Garbled(#[from] DecodeError),
}

impl Diag {
    /// For the namespace of the calling thread, which it then keeps alive.
    pub(super) fn open() -> io::Result<Self> {
        let netlink = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(SOCK_DIAG),
        )?;
        // From here on nobody but the kernel is heard.
        connect(&netlink, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&netlink, Timeout::Recv, Some(PATIENCE))?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let network = network::cookie(&netlink).ok();
        Ok(Self { network, netlink, sequence: 0, buffer })
    }

    /// The cookie of the namespace; nothing before Linux 5.14.
    pub(super) const fn network(&self) -> Option<u64> {
        self.network
    }

    /// The established connections to an endpoint, whoever's they are.
    pub(super) fn towards(&mut self, endpoint: SocketAddr) -> Result<Vec<Socket>, DiagError> {
        let endpoint = SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port());
        // An IPv4 endpoint is reached by IPv6 sockets too.
        let families: &[u8] = match endpoint.ip() {
            IpAddr::V4(_) => &[AF_INET, AF_INET6],
            IpAddr::V6(_) => &[AF_INET6],
        };
        let mut sockets = Vec::new();
        for family in families {
            self.ask(message::dump(*family, endpoint), |response| {
                sockets.push(Socket::new(response)?);
                Ok(())
            })?;
        }
        // Whatever became of the filter.
        sockets.retain(|socket| socket.peer() == endpoint);
        Ok(sockets)
    }

    /// Strikes out the cookies of sockets that have not ended.
    pub(super) fn strike_out_living(
        &mut self,
        cookies: &mut BTreeSet<u64>,
    ) -> Result<(), DiagError> {
        for family in [AF_INET, AF_INET6] {
            self.ask(message::dump_living(family), |response| {
                cookies.remove(&u64::from_ne_bytes(response.header.socket_id.cookie));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Ends a connection; false when it had ended already.
    pub(super) fn destroy(&mut self, socket: &Socket) -> Result<bool, DiagError> {
        match self.ask(message::destroy(socket), |_| Ok(())) {
            Ok(()) => Ok(true),
            Err(DiagError::Refused(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn ask<I: NetlinkSerializable>(
        &mut self,
        mut question: NetlinkMessage<I>,
        mut take: impl FnMut(&InetResponse) -> Result<(), DecodeError>,
    ) -> Result<(), DiagError> {
        self.sequence = self.sequence.wrapping_add(1);
        let question = message::bytes(&mut question, self.sequence);
        retry_on_intr(|| send(&self.netlink, &question, SendFlags::empty()))
            .map_err(io::Error::from)?;
        loop {
            let (_, length) =
                retry_on_intr(|| recv(&self.netlink, &mut *self.buffer, RecvFlags::TRUNC))
                    .map_err(io::Error::from)?;
            let datagram = self.buffer.get(..length).ok_or(Errno::MSGSIZE);
            let datagram = datagram.map_err(io::Error::from)?;
            if message::read(datagram, self.sequence, &mut take)? == Answer::Complete {
                return Ok(());
            }
        }
    }
}

/// The kernel answers while it is asked; this is for a kernel that does not.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel never sends more at once than 32 KiB, and no less than fits.
const BUFFER: usize = 64 * 1024;
