//! Faults: what goes wrong, for whom and when.

use std::time::Duration;

use shedder_common::time::{Monotonic, nanos};

/// Something that goes wrong for a while.
#[derive(Clone, Debug)]
pub(in crate::simulation) struct Fault {
    /// As people know it.
    pub(in crate::simulation) name: String,
    pub(in crate::simulation) trouble: Trouble,
    /// The share of connections or requests it meets.
    pub(in crate::simulation) share: f64,
    pub(in crate::simulation) from: Monotonic,
    pub(in crate::simulation) to: Monotonic,
    /// It comes and goes: so often, for so long.
    pub(in crate::simulation) pulse: Option<(Duration, Duration)>,
    /// Indexes of the endpoints concerned.
    pub(in crate::simulation) endpoints: Vec<usize>,
    /// Indexes of the callers concerned.
    pub(in crate::simulation) callers: Vec<usize>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Trouble {
    /// The SYN is answered with a reset.
    Refuse,
    /// The process is gone: SYNs and requests are answered with a reset.
    Down,
    /// The network says that the host cannot be reached.
    Unreachable,
    /// Nothing gets through in either direction.
    BlackHole,
    /// Round trips are lost by chance.
    Loss,
    /// Every round trip takes so much longer.
    Latency(Duration),
    /// Accepted, then reset.
    AcceptReset,
    /// The request is answered with a reset.
    Reset,
    /// The request is never answered.
    Hang,
    /// The answer takes so much longer.
    Slow(Duration),
    /// The first byte comes in time, the last one so much later.
    Drip(Duration),
    /// The peer hangs up on an answer that takes longer than this.
    HangUp(Duration),
    /// A pooled connection has been closed by the peer, as the caller could know.
    CloseIdle,
    /// A pooled connection has been forgotten by the peer, which nobody could know.
    ForgetIdle,
    /// The caller has no port left.
    NoPorts,
    /// The caller is stopped.
    CallerStopped,
    /// The daemon is stopped: it looks at nothing and renews nothing.
    DaemonStopped,
    /// The daemon is killed, and begins afresh at the end.
    DaemonKilled,
}

impl Fault {
    /// Whether it acts at `now`.
    pub(in crate::simulation) fn is_active(&self, now: Monotonic) -> bool {
        if now < self.from || now >= self.to {
            return false;
        }
        self.pulse.is_none_or(|(every, lasts)| {
            nanos(now.since(self.from)) % nanos(every).max(1) < nanos(lasts)
        })
    }

    /// When it ends, or pauses, if it acts at `now`.
    pub(in crate::simulation) fn active_until(&self, now: Monotonic) -> Option<Monotonic> {
        if !self.is_active(now) {
            return None;
        }
        Some(self.pulse.map_or(self.to, |(every, lasts)| {
            let began = nanos(now.since(self.from)) / nanos(every).max(1);
            let pause =
                self.from.plus(every.saturating_mul(u32::try_from(began).unwrap_or(u32::MAX)));
            pause.plus(lasts).min(self.to)
        }))
    }

    pub(in crate::simulation) fn concerns(&self, caller: usize, endpoint: usize) -> bool {
        !self.trouble.is_daemons()
            && self.callers.contains(&caller)
            && self.endpoints.contains(&endpoint)
    }
}

impl Trouble {
    pub(in crate::simulation) const fn is_daemons(self) -> bool {
        matches!(self, Self::DaemonStopped | Self::DaemonKilled)
    }
}
