//! Connecting by `io_uring`.
//!
//! Invariant: the address outlives the operation, which has ended or is cancelled with its ring.
#![expect(unsafe_code, reason = "the ring reads the address while the operation runs")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use socket2::{SockAddr, Socket};

use super::report::{Cause, Errno};

/// Connects a socket within `timeout`. Fails where the kernel gives no ring.
pub(super) fn connect(
    socket: &Socket,
    addr: SocketAddr,
    timeout: Duration,
) -> io::Result<Result<(), Cause>> {
    let addr = SockAddr::from(addr);
    let mut ring = IoUring::new(1)?;
    let connect = opcode::Connect::new(Fd(socket.as_raw_fd()), addr.as_ptr().cast(), addr.len());
    // SAFETY: the kernel copies the address when the operation is submitted, and it lives longer.
    unsafe { ring.submission().push(&connect.build()) }.map_err(io::Error::other)?;
    let limit = Timespec::from(timeout);
    ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit))?;
    Ok(match ring.completion().next().map(|completion| completion.result()) {
        Some(0) => Ok(()),
        Some(error) => Err(Cause::Errno(Errno { code: -error })),
        None => Err(Cause::Timeout),
    })
}
