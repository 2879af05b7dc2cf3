//! What the loop does by itself, and one timer of the kernel for all of it.
//!
//! A daemon with nothing to do costs what waking up costs. So what is due within half a tick is done with the tick,
//! and the timer is the kernel's: the runtime's own wakes once more on the way to each time that is
//! more than 64 ms ahead.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use shedder_common::time::Monotonic;
use tokio::io::unix::AsyncFd;

use crate::readable::readable;

/// When each thing is due next.
#[derive(Debug)]
pub(super) struct Schedule {
    look: Monotonic,
    rescan: Monotonic,
    watch: Monotonic,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// A look that is not for the engine alone.
    pub(super) look: bool,
    pub(super) rescan: bool,
    pub(super) watch: bool,
}

impl Schedule {
    /// Everything is due at once.
    pub(super) const fn new(now: Monotonic) -> Self {
        Self { look: now, rescan: now, watch: now }
    }

    /// When to wake up, if the engine has something to do at `engine`.
    pub(super) fn next(&self, engine: Option<Monotonic>) -> Monotonic {
        engine.map_or(self.look, |engine| engine.min(self.look))
    }

    /// A look has begun: what else is to be done with it. The next one comes a `tick` after this one was due, and
    /// what was missed is not made up for.
    pub(super) fn take(&mut self, now: Monotonic, tick: Duration, rescan: Duration) -> Due {
        if now < self.look {
            // For the engine alone.
            return Due { look: false, rescan: false, watch: false };
        }
        let next = self.look.plus(tick);
        self.look = if now < next { next } else { now.plus(tick) };
        let soon = now.plus(tick / 2);
        let is_due = |at: &mut Monotonic, period: Duration| {
            let is_due = *at <= soon;
            if is_due {
                *at = now.plus(period);
            }
            is_due
        };
        let (rescan, watch) = (is_due(&mut self.rescan, rescan), is_due(&mut self.watch, WATCH));
        Due { look: true, rescan, watch }
    }

    /// The next look may come so much later.
    pub(super) fn put_off(&mut self, by: Duration) {
        self.look = self.look.plus(by);
    }

    /// The next look comes at `at`, unless it comes earlier.
    pub(super) fn hurry(&mut self, at: Monotonic) {
        self.look = self.look.min(at);
    }
}

/// A timer that wakes the loop. It goes on by itself, tick after tick: only who wants it otherwise sets it.
#[derive(Debug)]
pub(super) struct Timer {
    descriptor: AsyncFd<OwnedFd>,
    /// When it wakes next, and how long after that again.
    set_to: Option<(Monotonic, Duration)>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { descriptor: readable(descriptor)?, set_to: None })
    }

    /// Waits until `at`, after which it wakes each `tick`, more than nothing. May be given up and begun anew with
    /// other times.
    pub(super) async fn wait_until(&mut self, at: Monotonic, tick: Duration) -> io::Result<()> {
        if self.set_to != Some((at, tick)) {
            // Zero would stop it.
            let first = Duration::from_nanos(at.as_nanos().max(1));
            let spec = Itimerspec { it_interval: timespec(tick), it_value: timespec(first) };
            timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
            self.set_to = Some((at, tick));
        }
        loop {
            let mut ready = self.descriptor.readable().await?;
            let mut count = [0; 8];
            let outcome = rustix::io::read(self.descriptor.get_ref(), &mut count);
            // Nothing is left, and a time that comes after the reading is told anew.
            ready.clear_ready();
            match outcome {
                Ok(_) => {
                    let times = u32::try_from(u64::from_ne_bytes(count)).unwrap_or(u32::MAX);
                    self.set_to = Some((at.plus(tick.saturating_mul(times)), tick));
                    return Ok(());
                }
                // Of a time it was set to before.
                Err(rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn timespec(length: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: length.subsec_nanos().into(),
    }
}

/// A change of the policy file is taken up when two readings find the same.
const WATCH: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);
    const NOTHING: Due = Due { look: true, rescan: false, watch: false };
    const BOTH: Due = Due { look: true, rescan: true, watch: true };

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn what_is_due_soon_is_done_with_a_look() {
        let mut schedule = Schedule::new(at(1000));
        let mut take = |now| schedule.take(at(now), TICK, Duration::from_millis(500));
        assert_eq!(take(1000), BOTH);
        // Each look is a little late, and the fifth comes a little before half a second has passed since.
        for look in [1100, 1201, 1301, 1402] {
            assert_eq!(take(look), NOTHING, "{look}");
        }
        assert_eq!(take(1502), BOTH);
        assert_eq!(take(1602), NOTHING);
        // After a long sleep nothing is made up for.
        assert_eq!(take(60_000), BOTH);
        assert_eq!(take(60_100), NOTHING);
    }

    #[test]
    fn the_engine_may_be_earlier_and_moves_nothing() {
        let mut schedule = Schedule::new(at(1000));
        let rescan = Duration::from_millis(500);
        assert_eq!(schedule.next(None), at(1000));
        schedule.take(at(1000), TICK, rescan);
        assert_eq!(schedule.next(Some(at(1500))), at(1100));
        assert_eq!(schedule.next(Some(at(1030))), at(1030));
        assert_eq!(schedule.take(at(1030), TICK, rescan), Due { look: false, ..NOTHING });
        assert_eq!(schedule.next(None), at(1100));
    }

    #[test]
    fn a_look_may_be_put_off_and_brought_forward() {
        let mut schedule = Schedule::new(at(1000));
        schedule.take(at(1000), TICK, TICK);
        schedule.put_off(4 * TICK);
        assert_eq!(schedule.next(None), at(1500));
        schedule.hurry(at(1230));
        assert_eq!(schedule.next(None), at(1230));
        schedule.hurry(at(1300));
        assert_eq!(schedule.next(None), at(1230));
    }

    #[tokio::test]
    async fn a_timer_may_be_set_anew() {
        let mut timer = Timer::new().expect("there are timers");
        let start = crate::clock::now();
        let soon = start.plus(Duration::from_millis(20));
        tokio::select! {
            biased;
            waited = timer.wait_until(start.plus(Duration::from_hours(1)), TICK) => panic!("{waited:?}"),
            () = tokio::task::yield_now() => {}
        }
        timer.wait_until(soon, TICK).await.expect("it can");
        assert!(crate::clock::now() >= soon);
        // The past is at once.
        timer.wait_until(start, TICK).await.expect("it can");
        timer.wait_until(start, TICK).await.expect("it can");
    }

    #[tokio::test]
    async fn a_timer_goes_on_by_itself() {
        let mut timer = Timer::new().expect("there are timers");
        let tick = Duration::from_millis(10);
        let mut at = crate::clock::now();
        for _ in 0..5 {
            at = at.plus(tick);
            timer.wait_until(at, tick).await.expect("it can");
            assert!(crate::clock::now() >= at);
            let (next, _) = timer.set_to.expect("it is set");
            assert!(next >= at.plus(tick), "what has passed is not waited for: {next:?} {at:?}");
        }
        // As after a loop that was held up: those that were missed come at once, and as one.
        std::thread::sleep(3 * tick);
        timer.wait_until(at.plus(tick), tick).await.expect("it can");
        let (next, _) = timer.set_to.expect("it is set");
        assert!(next >= at.plus(4 * tick), "{next:?} {at:?}");
    }
}
