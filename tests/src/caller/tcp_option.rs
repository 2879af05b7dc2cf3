//! Options of TCP sockets that have no wrapper.
//!
//! Invariant: what is told is the option as the application reads it.
#![expect(unsafe_code, reason = "these options have no wrapper")]

use std::io;
use std::os::fd::AsRawFd as _;

use socket2::Socket;

/// An option that is an integer, such as `TCP_SYNCNT`. What the application never set reads as the
/// system's default.
pub(super) fn read(socket: &Socket, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the buffer is valid for the length given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Sets such an option.
pub(super) fn write(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the buffer is valid for the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
