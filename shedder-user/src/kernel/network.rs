//! Network namespaces: the cookie by which the programs tell them apart, and the number people see.
#![expect(unsafe_code, reason = "no safe wrapper reads this socket option")]

use std::fs::{self, File};
use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::outpost;

/// A network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// As the programs know it; no other namespace of the node ever has it.
    pub cookie: u64,
    /// As in `/proc/PID/ns/net`; another namespace may have it later.
    pub inode: u64,
}

/// The network namespace of a process, looked up by a thread that goes there.
pub fn of_process(pid: u32) -> io::Result<Network> {
    let visit = move || {
        let file = File::open(format!("/proc/{pid}/ns/net"))?;
        let inode = file.metadata()?.ino();
        let own = fs::metadata("/proc/thread-self/ns/net")?.ino();
        if own != inode {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        }
        Ok(Network { cookie: here()?, inode })
    };
    outpost::spawn("namespace", visit)?.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// The cookie of the calling thread's network namespace.
pub(super) fn here() -> io::Result<u64> {
    cookie(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?)
}

/// The cookie of the network namespace a socket is in. Minimum kernel version: 5.14.
pub(super) fn cookie(socket: impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes to `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_where_its_sockets_are() {
        let here = of_process(std::process::id()).unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(cookie(&socket).unwrap(), here.cookie);
        assert_eq!(fs::metadata("/proc/self/ns/net").unwrap().ino(), here.inode);
        assert_eq!(of_process(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
