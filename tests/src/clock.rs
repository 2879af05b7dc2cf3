//! The lab's stopwatch.
//!
//! Invariant: the lab measures what an application would see, so it reads the wall's monotonic
//! clock and never the daemon's.

use std::time::{Duration, Instant};

use rustix::time::ClockId;

/// The present moment.
#[expect(clippy::disallowed_methods, reason = "the lab measures wall time, as a client does")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Whole microseconds since `start`.
pub(crate) fn microseconds_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What is left until `deadline`; none when it has passed.
pub(crate) fn remaining(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(now()).filter(|left| !left.is_zero())
}

/// Nanoseconds the calling thread has run. Unlike the time of day it stands still while others have
/// the CPU, so a busy machine spoils less.
pub(crate) fn thread_time() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    let whole = |count| u64::try_from(count).unwrap_or_default();
    whole(time.tv_sec) * 1_000_000_000 + whole(time.tv_nsec)
}
