//! Waiting for the event ring without polling it.
#![expect(unsafe_code, reason = "the ring lends its descriptor as a number")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;

/// Becomes readable when the ring holds an event.
pub(super) fn readable(ring: &RingBuf<MapData>) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the ring owns the descriptor and outlives this borrow.
    let descriptor = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) }.try_clone_to_owned()?;
    crate::readable::readable(descriptor)
}
