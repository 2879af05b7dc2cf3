//! Handing a socket to another process (`SCM_RIGHTS`).
//!
//! Invariant: it stays the same socket; whoever gave it away has it no more.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use socket2::Socket;

/// Where the other process is to give its socket.
pub(super) fn expect(path: &Path) -> io::Result<UnixDatagram> {
    UnixDatagram::bind(path)
}

/// Gives a socket to whoever expects it at `path`.
pub(super) fn give(socket: &Socket, path: &Path) -> Result<()> {
    let passage = UnixDatagram::unbound()?;
    passage.connect(path).context("nobody expects a socket")?;
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut message = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket.as_fd()];
    message.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(&passage, &[IoSlice::new(b".")], &mut message, SendFlags::empty())?;
    Ok(())
}

/// Takes the socket that was given.
pub(super) fn take(passage: &UnixDatagram) -> Result<Socket> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0];
    let bytes = &mut [IoSliceMut::new(&mut bytes)];
    recvmsg(passage, bytes, &mut message, RecvFlags::CMSG_CLOEXEC)?;
    let given = message.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    Ok(Socket::from(given.context("what was given is no socket")?))
}

const SPACE: usize = rustix::cmsg_space!(ScmRights(1));
