//! What the kernel counts. Every counter only grows, unless it says otherwise, and the daemon
//! works with differences.

use bytemuck::{Pod, Zeroable};

/// One row of the counter array: everything counted for one slot.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SlotCounters {
    /// Connects that found this slot.
    pub connects: u64,
    /// Connects let through, probes included.
    pub allowed: u64,
    /// Connects refused.
    pub denied: u64,
    /// Connects whose SYN was held.
    pub delayed: u64,
    /// Connects sent to a sibling.
    pub redirected: u64,
    /// Connects let through although the verdict sheds, because it does not act for their cgroup.
    pub spared: u64,
    /// Connects let through because the verdict was no longer renewed.
    pub expired: u64,
    /// Connects admitted as half-open probes.
    pub probes: u64,
    /// Probes of the current epoch that ended well.
    pub probe_successes: u64,
    /// Probes of the current epoch that ended badly.
    pub probe_failures: u64,
    /// Probes of the current epoch that say nothing, because their callers ended them early.
    pub probes_void: u64,
    /// Connections established.
    pub established: u64,
    /// Outcome: the SYN was answered with a reset.
    pub refused: u64,
    /// Outcome: no answer, to the SYN or to a request.
    pub timed_out: u64,
    /// Outcome: the network said the host or network cannot be reached.
    pub unreachable: u64,
    /// Outcome: the peer reset the connection where an answer was due.
    pub reset: u64,
    /// Outcome: the peer closed the connection where an answer was due, without a byte of one.
    pub hung_up: u64,
    /// Outcome: an answer arrived.
    pub responses: u64,
    /// Outcome: established and closed in good order without a request.
    pub idle_closes: u64,
    /// Answers slower than [`crate::verdict::Verdict::slow_ns`].
    pub slow: u64,
    /// The caller gave up waiting early; says nothing of the endpoint.
    pub gave_up: u64,
    /// Ended for a reason of the caller's own; says nothing of the endpoint.
    pub abandoned: u64,
    /// Outcomes of sockets from an earlier epoch; they decide nothing.
    pub stale: u64,
    /// SYNs sent again by the network stack.
    pub syn_retransmits: u64,
    /// Half-open tokens ever taken.
    pub tokens_taken: u64,
    /// Connects that reached the admitted share.
    pub turns: u64,
    /// Failures since the last success. Not monotone: a success sets it to zero.
    pub failure_run: u64,
    /// How often the failure run reached its limit.
    pub failure_bursts: u64,
    /// Requests begun: the first byte out after an answer, or after the handshake.
    pub requests: u64,
    /// Established connections that have ended.
    pub ended: u64,
    /// Segments with data sent; counted with a segment sent again and when a connection ends.
    pub segments: u64,
    /// Segments with data sent again.
    pub retransmits: u64,
    /// Bytes the endpoint acknowledged; counted when a connection ends. Its end is one of them.
    pub bytes_out: u64,
    /// Bytes received from it; counted when a connection ends. Its end is one of them.
    pub bytes_in: u64,
    /// Connections whose port stays taken for a minute, because this side closed first.
    pub time_waits: u64,
    /// Connects shed on a burst before the daemon knew of the run of failures.
    pub burst_shed: u64,
    /// When a refusal was last told, and the epoch of its verdict plus one.
    pub told_ns: u64,
    /// As [`SlotCounters::told_ns`].
    pub told_epoch: u64,
    /// Datagrams that found this slot where its service asks for UDP: connects of UDP sockets, and what
    /// is sent without one. Nothing else here counts them.
    pub datagrams: u64,
    /// Datagrams refused.
    pub datagrams_denied: u64,
    /// Datagrams sent to a sibling.
    pub datagrams_redirected: u64,
    /// Datagrams let through although the verdict sheds, because it does not act for their cgroup.
    pub datagrams_spared: u64,
    /// Outcome: an answer arrived that says that the endpoint failed; not among the responses.
    pub errored: u64,
    /// Connects to this endpoint that were redirected and then established, wherever.
    pub fallbacks: u64,
    /// How long those took, together, from SYN to connection.
    pub fallback_ns: u64,
    /// Zero.
    pub reserved: [u64; 3],
}

const _: () = assert!(size_of::<SlotCounters>() == 384);

impl SlotCounters {
    /// The row of a slot in which nothing has happened.
    pub const CLEAR: Self = Self {
        connects: 0,
        allowed: 0,
        denied: 0,
        delayed: 0,
        redirected: 0,
        spared: 0,
        expired: 0,
        probes: 0,
        probe_successes: 0,
        probe_failures: 0,
        probes_void: 0,
        established: 0,
        refused: 0,
        timed_out: 0,
        unreachable: 0,
        reset: 0,
        hung_up: 0,
        responses: 0,
        idle_closes: 0,
        slow: 0,
        gave_up: 0,
        abandoned: 0,
        stale: 0,
        syn_retransmits: 0,
        tokens_taken: 0,
        turns: 0,
        failure_run: 0,
        failure_bursts: 0,
        requests: 0,
        ended: 0,
        segments: 0,
        retransmits: 0,
        bytes_out: 0,
        bytes_in: 0,
        time_waits: 0,
        burst_shed: 0,
        told_ns: 0,
        told_epoch: 0,
        datagrams: 0,
        datagrams_denied: 0,
        datagrams_redirected: 0,
        datagrams_spared: 0,
        errored: 0,
        fallbacks: 0,
        fallback_ns: 0,
        reserved: [0; 3],
    };

    /// Connects that were refused, held or sent elsewhere. Sums of counters saturate: whatever the memory
    /// holds, it brings no daemon down.
    pub const fn shed(&self) -> u64 {
        self.denied.saturating_add(self.delayed).saturating_add(self.redirected)
    }

    /// Connects that a verdict which acts for every cgroup would have shed: the same number whatever
    /// share it acts for.
    pub const fn would_shed(&self) -> u64 {
        self.shed().saturating_add(self.spared)
    }

    /// The same of datagrams.
    pub const fn datagrams_would_shed(&self) -> u64 {
        self.datagrams_denied
            .saturating_add(self.datagrams_redirected)
            .saturating_add(self.datagrams_spared)
    }
}

/// The one row about the node as a whole.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct NodeRow {
    /// Written by the daemon: until when its verdicts count. Renewed as long as it lives, so that
    /// nothing is shed by one that does not.
    pub verdicts_until_ns: u64,
    /// Written by the daemon: networks the policy covers. At zero no destination is looked up.
    pub networks: u64,
    /// Written by the daemon: connects that may be held at once. At zero no policy holds any, and no
    /// socket is asked.
    pub max_held: u64,
    /// Written by the daemon: nanoseconds in a jiffy, where connects are held.
    pub jiffy_ns: u64,
    /// One while the daemon takes a rest: whoever counts a failure or a slow answer then sets it to zero and wakes it.
    pub is_calm: u64,
    /// Zero. What follows is written by the programs, in a cache line of its own.
    pub reserved: [u64; 3],
    /// Events the ring had no room for.
    pub events_lost: u64,
    /// Destinations announced to the daemon.
    pub discoveries: u64,
    /// Sockets that could not be tagged; their connects went through unmeasured.
    pub untagged: u64,
    /// Redirects to an unusable target; the connects went through unchanged.
    pub redirects_failed: u64,
    /// Holds that could not be set up; the connects went through at once.
    pub holds_failed: u64,
    /// Holds that were not begun because too many connects were held; these went through at once.
    pub holds_over: u64,
    /// Connects held now. Not monotone.
    pub held: u64,
    /// Tags kept with their sockets, because their places were taken.
    pub stored_tags: u64,
}

const _: () = assert!(size_of::<NodeRow>() == 128);
