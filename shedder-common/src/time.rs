//! The single timebase.

use core::time::Duration;

/// A point in time: nanoseconds of `CLOCK_MONOTONIC` since boot, suspend not counted.
///
/// Arithmetic saturates, so a clock that seems to go backwards shortens a wait instead of
/// producing an enormous one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The time `nanoseconds` after boot.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This time moved `duration` later, at most to the end of time.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// This time moved `duration` earlier, at most to boot.
    #[must_use]
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// `duration` in whole nanoseconds, saturating after 584 years.
pub const fn nanos(duration: Duration) -> u64 {
    let nanoseconds = duration.as_nanos();
    if nanoseconds > u64::MAX as u128 {
        return u64::MAX;
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared with the maximum above")]
    let nanoseconds = nanoseconds as u64;
    nanoseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let start = Monotonic::from_nanos(5);
        assert_eq!(start.minus(Duration::from_secs(1)), Monotonic::default());
        assert_eq!(start.since(Monotonic::from_nanos(9)), Duration::ZERO);
        assert_eq!(start.plus(Duration::MAX).as_nanos(), u64::MAX);
    }
}
