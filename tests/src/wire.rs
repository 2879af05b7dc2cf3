//! Counting the SYNs that really leave through the loopback interface.
//!
//! Invariant: each transmitted SYN counts once, however late or seldom the count is read, since
//! the kernel does the counting.
#![expect(unsafe_code, reason = "packet sockets have no wrapper")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

mod syn_filter;

use syn_filter::syn_filter;

/// Counts TCP SYNs without ACK, IPv4 and IPv6, to one port of the loopback interface of the
/// network namespace it was made in. Needs root. Repeated SYNs of one connection count each.
#[derive(Debug)]
pub struct SynCounter {
    socket: OwnedFd,
    seen: AtomicU64,
}

impl SynCounter {
    /// Starts counting.
    pub fn on_loopback(port: u16) -> Result<Self> {
        let socket = open(port).context("cannot count SYNs on the loopback: run as root")?;
        Ok(Self { socket, seen: AtomicU64::new(0) })
    }

    /// The SYNs so far. When a connect has returned, its SYN is counted.
    pub fn count(&self) -> Result<u64> {
        let new = matched_since_last_time(&self.socket).context("cannot read the SYN count")?;
        Ok(self.seen.fetch_add(new, Ordering::AcqRel) + new)
    }
}

fn open(port: u16) -> io::Result<OwnedFd> {
    // No protocol yet: nothing is received before the filter is in place.
    // SAFETY: no pointer is passed.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    filter(&socket, port)?;
    bind_to_loopback(&socket)?;
    Ok(socket)
}

fn filter(socket: &OwnedFd, port: u16) -> io::Result<()> {
    let mut program = syn_filter(port);
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program points to as many instructions as it says and the kernel copies them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_as::<libc::sock_fprog>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn bind_to_loopback(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: the name is a C string.
    let interface = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
    // SAFETY: all zeroes is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be();
    address.sll_ifindex = interface.cast_signed();
    // SAFETY: the address is valid for the size given.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_as::<libc::sockaddr_ll>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many packets the filter let through since the last question, whether or not the socket
/// had room for them. They are never read.
fn matched_since_last_time(socket: &OwnedFd) -> io::Result<u64> {
    let mut statistics = PacketStatistics::default();
    let mut size = size_of_as::<PacketStatistics>();
    // SAFETY: the buffer is valid for the size given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut size,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::from(statistics.packets)) }
}

/// The kernel's `struct tpacket_stats`; the drops are among the packets.
#[derive(Default)]
#[repr(C)]
struct PacketStatistics {
    packets: u32,
    drops: u32,
}

fn size_of_as<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("a small structure")
}

const PACKET_STATISTICS: libc::c_int = 6;
