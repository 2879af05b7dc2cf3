//! How often the kernel sends the SYN of a socket again before it gives the connect up.
//!
//! Invariant: what is told is the option as the application reads it, which for a socket that never
//! set it is the system's default.
#![expect(unsafe_code, reason = "TCP_SYNCNT has no wrapper")]

use std::io;
use std::os::fd::AsRawFd as _;

use socket2::Socket;

/// The socket's `TCP_SYNCNT`.
pub(super) fn read(socket: &Socket) -> io::Result<u32> {
    let mut count: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&count)).map_err(io::Error::other)?;
    // SAFETY: the buffer is valid for the length given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SYNCNT,
            (&raw mut count).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(count.cast_unsigned()) }
}

/// Sets the socket's `TCP_SYNCNT`, 1 to 127; the kernel refuses others.
pub(super) fn write(socket: &Socket, count: u32) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&count)).map_err(io::Error::other)?;
    // SAFETY: the buffer is valid for the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SYNCNT,
            (&raw const count).cast(),
            length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
