//! The trials: fail until a rule is satisfied, and see when the verdict is in force or who slips through.
//!
//! Invariant: the clock starts when the connect that satisfies the rule has returned, and stops after the
//! verdict was seen, so that what is told is never too short.

use std::net::SocketAddrV4;
use std::num::NonZeroU64;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::set_current_timer_slack;
use serde::{Deserialize, Serialize};
use shedder_common::time::Monotonic;
use shedder_common::verdict::{Action, VerdictWord};
use shedder_user::clock;

use super::super::maps::Word;
use super::attempt::{Attempt, REFUSED, SHED};
use super::stage::Stage;
use super::{Condition, FAILURES, Way};
use crate::interrupt;
use crate::vitals::Turns;

/// One decision, nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[expect(clippy::struct_field_names, reason = "they end with their unit")]
pub(super) struct Trial {
    /// From the return of the connect that satisfied the rule until the verdict was seen.
    pub(super) decided_ns: u64,
    /// How long before that it may have been in force: since the last look that did not see it.
    pub(super) unsure_ns: u64,
    /// How long the loop of the daemon was ready and waited for a CPU meanwhile.
    pub(super) waited_ns: u64,
}

/// Connects after a run was complete, of all trials.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Leaks {
    pub(super) trials: u32,
    /// Connects made after the failure that completed the run.
    pub(super) connects: u64,
    /// Those of them made before the verdict of the daemon was seen.
    pub(super) on_guard: u64,
    /// Each that did not end with the verdict's error.
    pub(super) leaked: Vec<Leak>,
}

/// A connect that was to be shed and was not.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Leak {
    pub(super) trial: u32,
    /// Which of the connects after the run, from zero.
    pub(super) connect: u64,
    /// Connects of this trial that began before the verdict of the daemon was seen.
    pub(super) on_guard: u64,
    /// What it ended with; nothing where it succeeded.
    pub(super) errno: Option<i32>,
}

impl Leak {
    /// Whether it was the last that began before the verdict was seen: the guard gave way to the verdict
    /// while it was under way.
    pub(super) const fn is_at_the_change(&self) -> bool {
        self.connect + 1 == self.on_guard
    }
}

/// Times the decisions of these numbers, each at an endpoint of its own.
pub(super) fn time(stage: &mut Stage<'_>, way: Way, numbers: Range<u32>) -> Result<Vec<Trial>> {
    exact_sleep()?;
    let span = match way {
        Way::Run => SPAN_BETWEEN_RUNS,
        // A decision comes right after a look, so only this makes a failure fall anywhere in a tick.
        Way::Look => stage.tick,
    };
    numbers
        .map(|number| {
            pause(number, span)?;
            decide(stage, way)
        })
        .collect()
}

/// Counts what slips through, in `trials` further trials of at least `connects` connects each.
pub(super) fn leaks(
    stage: &mut Stage<'_>,
    trials: u32,
    connects: u32,
    leaks: &mut Leaks,
) -> Result<()> {
    exact_sleep()?;
    for _ in 0..trials {
        let trial = leaks.trials;
        leaks.trials += 1;
        pause(trial, SPAN_BETWEEN_RUNS)?;
        let (endpoint, word) = stage.fresh()?;
        fail(endpoint, word, Way::Run)?;
        let deadline = clock::now().plus(PATIENCE);
        let (mut made, mut after) = (0, 0);
        let mut leaked = Vec::new();
        // On to the daemon's verdict and then over it, so that the change from guard to verdict is met.
        while made < u64::from(connects) || after < u64::from(connects) {
            let is_in_force = sheds(word.load());
            let attempt = Attempt::make(endpoint)?;
            ensure!(attempt.returned < deadline, "no verdict: {}", told(word.load()));
            if attempt.error != Some(SHED) {
                let errno = attempt.error.map(rustix::io::Errno::raw_os_error);
                leaked.push((made, errno));
            }
            made += 1;
            after += u64::from(is_in_force);
        }
        leaks.connects += made;
        let on_guard = made - after;
        leaks.on_guard += on_guard;
        leaks.leaked.extend(leaked.into_iter().map(|(connect, errno)| Leak {
            trial,
            connect,
            on_guard,
            errno,
        }));
    }
    Ok(())
}

fn decide(stage: &mut Stage<'_>, way: Way) -> Result<Trial> {
    let (pid, condition) = (stage.daemon.pid(), stage.condition);
    let waited = Turns::of_loop(pid)?.waited;
    let (endpoint, word) = stage.fresh()?;
    let failed = fail(endpoint, word, way)?;
    let mut unseen = failed;
    loop {
        let looking = clock::now();
        if sheds(word.load()) {
            break;
        }
        ensure!(looking < failed.plus(PATIENCE), "no verdict: {}", told(word.load()));
        unseen = looking;
        match condition {
            Condition::Idle => std::hint::spin_loop(),
            Condition::Saturated => thread::sleep(BETWEEN_LOOKS),
        }
    }
    let seen = clock::now();
    Ok(Trial {
        decided_ns: nanoseconds(seen.since(failed)),
        unsure_ns: nanoseconds(seen.since(unseen)),
        waited_ns: nanoseconds(Turns::of_loop(pid)?.waited.saturating_sub(waited)),
    })
}

/// Fails as often as the rule takes; when the last connect returned.
fn fail(endpoint: SocketAddrV4, word: Word<'_>, way: Way) -> Result<Monotonic> {
    let deadline = clock::now().plus(PATIENCE);
    while !is_ready(word.load(), way) {
        ensure!(clock::now() < deadline, "not ready for a trial: {}", told(word.load()));
        thread::sleep(LEAST_PAUSE);
    }
    let mut returned = Monotonic::default();
    for _ in 0..FAILURES {
        let attempt = Attempt::make(endpoint)?;
        ensure!(attempt.error == Some(REFUSED), "{endpoint} should refuse: {attempt:?}");
        returned = attempt.returned;
    }
    Ok(returned)
}

/// Whether a word is that of a closed breaker whose bursts the kernel sheds, or would not need to.
fn is_ready(word: u64, way: Way) -> bool {
    VerdictWord::unpack(word).is_some_and(|word| match way {
        Way::Run => word.on_burst && matches!(word.action, Action::Deny(_)),
        Way::Look => word.action == Action::Allow,
    })
}

/// Whether a word sheds every connect.
fn sheds(word: u64) -> bool {
    VerdictWord::unpack(word).is_some_and(|word| {
        matches!(word.action, Action::Deny(_))
            && !word.on_burst
            && !word.half_open
            && word.admit_permille == 0
    })
}

fn told(word: u64) -> String {
    format!("the verdict says {:?}", VerdictWord::unpack(word))
}

/// Lets the machine come to rest, for a time that differs from trial to trial and is spread evenly.
fn pause(number: u32, span: Duration) -> Result<()> {
    interrupt::check()?;
    thread::sleep(LEAST_PAUSE + span * (number * STEP % PARTS) / PARTS);
    Ok(())
}

/// The kernel otherwise lets a thread sleep 50 µs longer than it asked.
fn exact_sleep() -> Result<()> {
    set_current_timer_slack(NonZeroU64::new(1)).context("cannot ask for exact sleep")
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Between two looks at the verdict while nothing is idle: a thread that only looked would be one more
/// that keeps the daemon waiting.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_micros(50);
const LEAST_PAUSE: Duration = Duration::from_millis(2);
const SPAN_BETWEEN_RUNS: Duration = Duration::from_millis(10);
/// Steps of this many parts meet each part once before they come round.
const STEP: u32 = 619;
const PARTS: u32 = 1000;
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use shedder_common::errno::Errno;

    use super::*;

    #[test]
    fn only_a_verdict_that_sheds_everything_is_in_force() {
        let closed = VerdictWord::allow(1);
        let open = VerdictWord { action: Action::Deny(Errno::HostUnreachable), ..closed };
        let armed = VerdictWord { on_burst: true, ..open };
        assert!(sheds(open.pack()));
        for other in [closed, armed, VerdictWord { half_open: true, ..open }] {
            assert!(!sheds(other.pack()), "{other:?}");
        }
        assert!(is_ready(armed.pack(), Way::Run) && !is_ready(open.pack(), Way::Run));
        assert!(is_ready(closed.pack(), Way::Look) && !is_ready(armed.pack(), Way::Look));
    }

    #[test]
    fn pauses_are_spread_evenly() {
        let mut parts: Vec<u32> = (0..PARTS).map(|number| number * STEP % PARTS).collect();
        parts.sort_unstable();
        assert!(parts.into_iter().eq(0..PARTS));
    }
}
