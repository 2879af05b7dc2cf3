//! Waiting until the kernel has something to say about a descriptor.
//!
//! Invariant: a wait ends at the event or at its time limit, and is never a guess by sleeping.
#![expect(unsafe_code, reason = "poll and epoll have no wrapper in the standard library")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Waits for one of `events` (`libc::POLLIN`, …) on one descriptor; false when `timeout` passes
/// first. No timeout waits for ever.
pub(crate) fn wait_for(
    descriptor: impl AsFd,
    events: libc::c_short,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events, revents: 0 };
    let limit = timeout.map(timespec);
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: one valid pollfd, a null or valid timespec, and no signal mask.
    let found = unsafe { libc::ppoll(&raw mut entry, 1, limit, std::ptr::null()) };
    if found < 0 { Err(io::Error::last_os_error()) } else { Ok(found > 0) }
}

/// A set of descriptors watched for input, each known by a number.
#[derive(Debug)]
pub(crate) struct InputWatch {
    epoll: OwnedFd,
}

impl InputWatch {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor and nobody else owns it.
        Ok(Self { epoll: unsafe { OwnedFd::from_raw_fd(epoll) } })
    }

    /// Watches a descriptor until it is closed or removed.
    pub(crate) fn add(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, &descriptor, number, libc::EPOLLIN | libc::EPOLLRDHUP)
    }

    /// Watches a descriptor for anything new: that it can be written, read, or has ended. What stays as
    /// it is, is told once.
    pub(crate) fn add_for_changes(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        let changes = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        self.control(libc::EPOLL_CTL_ADD, &descriptor, number, changes)
    }

    /// Stops watching a descriptor that stays open.
    pub(crate) fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, &descriptor, 0, 0)
    }

    /// The numbers of the descriptors with input, in `ready`; empty when `timeout` passes first.
    pub(crate) fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_WAIT];
        let room = libc::c_int::try_from(events.len()).map_err(io::Error::other)?;
        let limit = timeout.map(timespec);
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the array has room for the events asked for, the timespec is null or valid,
        // and no signal mask is given.
        let found = unsafe {
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                room,
                limit,
                std::ptr::null(),
            )
        };
        let Ok(found) = usize::try_from(found) else {
            let error = io::Error::last_os_error();
            let interrupted = error.kind() == io::ErrorKind::Interrupted;
            return if interrupted { Ok(()) } else { Err(error) };
        };
        ready.extend(events.iter().take(found).map(|event| event.u64));
        Ok(())
    }

    fn control(
        &self,
        what: libc::c_int,
        descriptor: &impl AsFd,
        number: u64,
        interest: libc::c_int,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.cast_unsigned(), u64: number };
        let descriptor = descriptor.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open for the whole call and the event is valid.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, descriptor, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos().cast_signed()),
    }
}

const EVENTS_PER_WAIT: usize = 256;
