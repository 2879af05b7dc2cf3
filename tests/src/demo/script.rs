//! What happens on the stage, act by act, and the numbers everything is played with.
//!
//! Invariant: at most one backend is sick in an act, each is sick in at most one, and whatever is
//! sick in an act is well again when the next begins.

use std::time::Duration;

use crate::backend::Behaviour;

/// A stretch of time in which nothing changes.
#[derive(Debug)]
pub(super) struct Act {
    /// In JSON.
    pub(super) name: &'static str,
    /// What is happening, in a heading.
    pub(super) title: &'static str,
    /// What to make of it, in one line.
    pub(super) why: &'static str,
    /// Who is sick, and with what.
    pub(super) sick: Option<Illness>,
}

/// What is wrong with a backend during an act.
#[derive(Clone, Copy, Debug)]
pub(super) struct Illness {
    /// The backend's index.
    pub(super) backend: usize,
    /// What it does.
    pub(super) behaviour: Behaviour,
    /// What it does, in a word or two.
    pub(super) label: &'static str,
    /// What it did, as a heading of the final table.
    pub(super) column: &'static str,
}

/// Backends, known by the letters `A`, `B`, `C`.
pub(super) const LETTERS: [char; 3] = ['A', 'B', 'C'];
/// Processes of each population.
pub(super) const CALLERS: u32 = 10;
/// From the start of one call of a process to the start of its next, if it is over by then.
pub(super) const PERIOD: Duration = Duration::from_millis(66);
/// The whole time a client gives a call.
pub(super) const CLIENT_PATIENCE: Duration = Duration::from_millis(2500);
/// What is answered later than this was slow: the limit in [`RULES`].
pub(super) const SLOW: Duration = Duration::from_millis(500);

/// The policy's rules. Two of the three may be open at once. The error differs from that of a port where nobody listens, so that the
/// clients can tell a verdict from a refusal.
pub(super) const RULES: &str = r#"
mode = "enforce"
caller_timeout = "2s"
trip.consecutive = 5
trip.failure_share = { at_least = 0.5, confidence = 0.95, window = "5s" }
trip.latency = { quantile = 0.9, over = "500ms", min_samples = 5, window = "2s" }
open = { action = "deny", errno = "EHOSTUNREACH", base = "1s", max = "4s", jitter = 0.2 }
half_open = { tokens = 1, successes = 1, deadline = "1s" }
recovery = { ramp = "3s", from = 0.1 }
safety = { max_open_percent = 67 }
"#;

/// Rules for a recording: they never trip, so that nothing is missing in it.
pub(super) const WATCHING: &str = r#"
mode = "observe"
caller_timeout = "2s"
trip = { consecutive = 100000, without = ["failure_share"] }
"#;

/// The error number of a verdict, by [`RULES`].
pub(super) const SHED_ERRNO: i32 = libc::EHOSTUNREACH;

/// Said first.
pub(super) const INTRODUCTION: [&str; 5] = [
    "Two populations of 10 processes call three backends in turn, each process 15",
    "times a second. Shedder guards the cgroup of one population and leaves the other",
    "alone. A client gives up a call after 2.5 s; where it cannot connect, it tries",
    "the next backend; a request once sent is not repeated.",
    "",
];

/// The script.
pub(super) const ACTS: [Act; 5] = [
    Act {
        name: "healthy",
        title: "all three backends are healthy",
        why: "Everybody gets answers; shedder watches and lets everything through.",
        sick: None,
    },
    Act {
        name: "refuses",
        title: "backend A refuses connections",
        why: "Nobody listens there, as after a crash. Failures in a row give it away.",
        sick: Some(Illness {
            backend: 0,
            behaviour: Behaviour::Refuse,
            label: "refuses",
            column: "A refuses",
        }),
    },
    Act {
        name: "slow",
        title: "A is well again, backend B takes 2 s for an answer",
        why: "No call fails, but callers wait. The response times give it away.",
        sick: Some(Illness {
            backend: 1,
            behaviour: Behaviour::Slow(Duration::from_secs(2)),
            label: "takes 2 s",
            column: "B takes 2 s",
        }),
    },
    Act {
        name: "hangs",
        title: "B is well again, backend C hangs",
        why: "It accepts and never answers. Callers that gave up give it away.",
        sick: Some(Illness {
            backend: 2,
            behaviour: Behaviour::Hang,
            label: "hangs",
            column: "C hangs",
        }),
    },
    Act {
        name: "healed",
        title: "C is well again, so all are",
        why: "Shedder probes, then lets a growing share of the calls through.",
        sick: None,
    },
];
