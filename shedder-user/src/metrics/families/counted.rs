//! The families that are the kernel's counters, one or several series for each endpoint.
//!
//! Invariant: a case adds nothing up, so that each counter of the kernel is in one series only.

use shedder_common::counters::SlotCounters;

use super::{Family, counter};

/// A family that the kernel's counters of each endpoint make up.
#[derive(Debug)]
pub(in crate::metrics) struct Counted {
    pub(in crate::metrics) family: Family,
    /// The label that tells the cases apart; empty where there is one.
    pub(in crate::metrics) label: &'static str,
    pub(in crate::metrics) cases: &'static [(&'static str, Count)],
}

type Count = fn(&SlotCounters) -> u64;

pub(in crate::metrics) const FAILURES: [(&str, Count); 6] = [
    ("refused", |row| row.refused),
    ("timed_out", |row| row.timed_out),
    ("unreachable", |row| row.unreachable),
    ("reset", |row| row.reset),
    ("hung_up", |row| row.hung_up),
    ("errored", |row| row.errored),
];

pub(in crate::metrics) static COUNTED: [Counted; 14] = [
    Counted {
        family: counter(
            "shedder_connects_total",
            "caller, service, endpoint, action",
            "Connects by what became of them: allow (probes too), deny, delay, redirect.",
        ),
        label: "action",
        cases: &[
            ("allow", |row| row.allowed),
            ("deny", |row| row.denied),
            ("delay", |row| row.delayed),
            ("redirect", |row| row.redirected),
        ],
    },
    Counted {
        family: counter(
            "shedder_outcomes_total",
            "caller, service, endpoint, outcome",
            "How attempts and requests ended: answered and idle_closed are successes; gave_up, abandoned and stale say nothing; all others are failures.",
        ),
        label: "outcome",
        cases: &[
            ("answered", |row| row.responses),
            ("idle_closed", |row| row.idle_closes),
            FAILURES[0],
            FAILURES[1],
            FAILURES[2],
            FAILURES[3],
            FAILURES[4],
            FAILURES[5],
            ("gave_up", |row| row.gave_up),
            ("abandoned", |row| row.abandoned),
            ("stale", |row| row.stale),
        ],
    },
    one(
        counter(
            "shedder_would_shed_total",
            "caller, service, endpoint",
            "Connects that enforcing for every cgroup would have shed, whatever the mode: those shed, and those let through because the policy observes or does not act for their cgroup.",
        ),
        &[("", SlotCounters::would_shed)],
    ),
    one(
        counter(
            "shedder_burst_shed_total",
            "caller, service, endpoint",
            "Connects shed by the kernel on a run of failures, before the daemon knew of it.",
        ),
        &[("", |row| row.burst_shed)],
    ),
    one(
        counter(
            "shedder_verdict_stale_total",
            "caller, service, endpoint",
            "Connects let through because the verdict was no longer renewed.",
        ),
        &[("", |row| row.expired)],
    ),
    one(
        counter(
            "shedder_probes_admitted_total",
            "caller, service, endpoint",
            "Connects admitted as half-open probes.",
        ),
        &[("", |row| row.probes)],
    ),
    Counted {
        family: counter(
            "shedder_probes_total",
            "caller, service, endpoint, result",
            "Half-open probes by result: success, failure, or void where the caller ended it early.",
        ),
        label: "result",
        cases: &[
            ("success", |row| row.probe_successes),
            ("failure", |row| row.probe_failures),
            ("void", |row| row.probes_void),
        ],
    },
    one(
        counter(
            "shedder_connections_total",
            "caller, service, endpoint",
            "Connections established.",
        ),
        &[("", |row| row.established)],
    ),
    one(
        counter("shedder_requests_total", "caller, service, endpoint", "Requests begun on them."),
        &[("", |row| row.requests)],
    ),
    one(
        counter(
            "shedder_syn_retransmits_total",
            "caller, service, endpoint",
            "SYNs sent again because no answer came.",
        ),
        &[("", |row| row.syn_retransmits)],
    ),
    one(
        counter(
            "shedder_segments_total",
            "caller, service, endpoint",
            "Segments with data sent, counted with a segment sent again and when a connection ends.",
        ),
        &[("", |row| row.segments)],
    ),
    one(
        counter(
            "shedder_retransmits_total",
            "caller, service, endpoint",
            "Segments with data sent again.",
        ),
        &[("", |row| row.retransmits)],
    ),
    Counted {
        family: counter(
            "shedder_bytes_total",
            "caller, service, endpoint, direction",
            "Bytes acknowledged (out) and received (in), counted when a connection ends.",
        ),
        label: "direction",
        cases: &[("out", |row| row.bytes_out), ("in", |row| row.bytes_in)],
    },
    Counted {
        family: counter(
            "shedder_datagrams_total",
            "caller, service, endpoint, action",
            "Datagrams where the service says udp: all of them (seen), and those refused (deny), redirected (redirect), or let through although the verdict sheds, because it does not act for their cgroup (spared).",
        ),
        label: "action",
        cases: &[
            ("seen", |row| row.datagrams),
            ("deny", |row| row.datagrams_denied),
            ("redirect", |row| row.datagrams_redirected),
            ("spared", |row| row.datagrams_spared),
        ],
    },
];

/// A family with one series for each endpoint.
const fn one(family: Family, cases: &'static [(&'static str, Count)]) -> Counted {
    Counted { family, label: "", cases }
}
