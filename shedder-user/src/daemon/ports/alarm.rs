//! When to tell of ports that run short.
//!
//! Invariant: who was warned hears when it is over, and in between once a minute.

use std::time::Duration;

use shedder_common::time::Monotonic;

/// Whether people were told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    /// When they last were, while it lasts.
    told: Option<Monotonic>,
}

impl Alarm {
    pub(super) const fn new() -> Self {
        Self { told: None }
    }

    pub(super) const fn is_on(self) -> bool {
        self.told.is_some()
    }

    /// Looks at how many ports are taken; whether to tell.
    pub(super) fn look(&mut self, taken: u64, available: u64, now: Monotonic) -> bool {
        let is_above =
            |percent: u64| taken.saturating_mul(100) >= available.saturating_mul(percent);
        let should_tell = match self.told {
            None => is_above(PRESSING_PERCENT),
            Some(told) => !is_above(OVER_PERCENT) || now.since(told) >= AGAIN,
        };
        if should_tell {
            self.told = is_above(OVER_PERCENT).then_some(now);
        }
        should_tell
    }
}

const PRESSING_PERCENT: u64 = 80;
/// Apart from the other, so that it does not come and go.
const OVER_PERCENT: u64 = 70;
const AGAIN: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn it_is_told_once_and_again_each_minute() {
        let mut alarm = Alarm::new();
        assert!(!alarm.look(159, 200, at(0)));
        assert!(alarm.look(160, 200, at(1)));
        assert!(!alarm.look(200, 200, at(60)));
        assert!(alarm.look(145, 200, at(61)));
        assert!(!alarm.look(145, 200, at(62)));
        assert!(alarm.is_on());
    }

    #[test]
    fn the_end_is_told_once() {
        let mut alarm = Alarm::new();
        assert!(alarm.look(160, 200, at(0)));
        assert!(alarm.look(139, 200, at(1)));
        assert!(!alarm.is_on());
        assert!(!alarm.look(139, 200, at(100)));
        assert!(!alarm.look(159, 200, at(101)));
    }
}
