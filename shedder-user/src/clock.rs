//! The one place that reads a clock.

use std::time::{Duration, SystemTime};

use shedder_common::time::Monotonic;

/// The present time of `CLOCK_MONOTONIC`, the clock the programs in the kernel read.
pub fn now() -> Monotonic {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
    Monotonic::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// The wall-clock time of a monotonic one, for people and logs; correct to within any clock step
/// made since.
pub fn wall(at: Monotonic) -> SystemTime {
    let (now, wall) = (now(), SystemTime::now());
    let past: Duration = now.since(at);
    let future: Duration = at.since(now);
    wall.checked_sub(past).unwrap_or(SystemTime::UNIX_EPOCH) + future
}
