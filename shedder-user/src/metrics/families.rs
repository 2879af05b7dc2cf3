//! The families there are: names, types, labels and what they mean. `docs/metrics.md` is made of it.
//!
//! Invariant: a name, once here, keeps its meaning; people build alerts on it.

mod counted;

pub(super) use self::counted::{COUNTED, FAILURES};

/// One family of series.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// What its values do.
    pub kind: Kind,
    /// The names of its labels, with commas; `network` is there only where the policy tells networks
    /// apart.
    pub labels: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// What the values of a family do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds, by upper bounds.
    Histogram,
}

impl Kind {
    /// As in the text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// All families, in the order of the text.
pub fn families() -> impl Iterator<Item = &'static Family> {
    OTHERS.into_iter().chain(COUNTED.iter().map(|counted| &counted.family))
}

static OTHERS: [&Family; 36] = [
    &BUILD_INFO,
    &START_TIME,
    &RESIDENT,
    &CGROUPS,
    &MAP_ENTRIES,
    &MAP_CAPACITY,
    &EVENTS_DROPPED,
    &UNTAGGED,
    &STORED_TAGS,
    &UNTOLD_ENDS,
    &ACTIONS_FAILED,
    &HELD,
    &VERDICT_AGE,
    &EVAL_OVERRUN,
    &PANICS,
    &POLICY,
    &JOURNAL,
    &JOURNAL_ERRORS,
    &CONTROL_REFUSED,
    &UNLISTED,
    &OTLP_SENT,
    &OTLP_DROPPED,
    &OTLP_QUEUED,
    &STATES,
    &CALLS,
    &ALL_RECOVERIES,
    &BREAKER_STATE,
    &IN_FLIGHT,
    &PORTS,
    &FAILURES_BY_CLASS,
    &TRANSITIONS,
    &RECOVERY,
    &CONNECT,
    &RESPONSE,
    &RTT,
    &FALLBACK,
];

pub(super) static BUILD_INFO: Family =
    gauge("shedder_build_info", "version", "1, with the version of the daemon.");
pub(super) static START_TIME: Family =
    gauge("process_start_time_seconds", "", "When the daemon started, in seconds since 1970.");
pub(super) static RESIDENT: Family =
    gauge("process_resident_memory_bytes", "", "Memory the daemon holds.");
pub(super) static CGROUPS: Family =
    gauge("shedder_guarded_cgroups", "caller", "Cgroups the programs are attached to.");
pub(super) static MAP_ENTRIES: Family = gauge("shedder_map_entries", "map", "Entries in use.");
pub(super) static MAP_CAPACITY: Family = gauge(
    "shedder_map_capacity",
    "map",
    "Entries there can be; endpoints beyond max_endpoints pass unguarded.",
);
pub(super) static EVENTS_DROPPED: Family = counter(
    "shedder_events_dropped_total",
    "reason",
    "Events of the kernel that had no room (lost) or made no sense (undecodable).",
);
pub(super) static UNTAGGED: Family =
    counter("shedder_untagged_total", "", "Connects let through unmeasured for want of memory.");
pub(super) static STORED_TAGS: Family = counter(
    "shedder_stored_tags_total",
    "",
    "Connects whose mark was kept with the socket, since its usual place was taken: measured, at a higher price.",
);
pub(super) static UNTOLD_ENDS: Family = counter(
    "shedder_untold_ends_total",
    "",
    "Connections of whose end the kernel did not tell, found to be gone.",
);
pub(super) static ACTIONS_FAILED: Family = counter(
    "shedder_actions_failed_total",
    "action",
    "Redirects and holds that could not be applied (redirect, hold) or would have been too many (hold_limit); the connects went through.",
);
pub(super) static HELD: Family = gauge("shedder_held_connects", "", "Connects held now.");
pub(super) static VERDICT_AGE: Family = gauge(
    "shedder_verdict_age_seconds",
    "",
    "Time since the verdicts were renewed, when this text was written; they expire after verdict_ttl.",
);
pub(super) static EVAL_OVERRUN: Family = counter(
    "shedder_eval_overrun_total",
    "",
    "Looks at the evidence that took longer than a tick.",
);
pub(super) static PANICS: Family = counter(
    "shedder_daemon_panics_total",
    "",
    "Daemons on this node that have panicked; kept in state_dir, and without one always 0.",
);
pub(super) static POLICY: Family = gauge(
    "shedder_policy_generation",
    "",
    "1 for the policy file the daemon started with, and one more with each that took its place.",
);
pub(super) static JOURNAL: Family = counter(
    "shedder_journal_events_total",
    "outcome",
    "Events written to the journal (written), or without room while it could not be written (lost).",
);
pub(super) static JOURNAL_ERRORS: Family = counter(
    "shedder_journal_errors_total",
    "",
    "Attempts to write the journal that failed; one a second as long as that lasts.",
);
pub(super) static CONTROL_REFUSED: Family = counter(
    "shedder_control_refused_total",
    "reason",
    "Clients of the control socket turned away or cut off: too many at once (full), too slow to ask or to read (slow), too much in one request (large), orders too fast (fast).",
);
pub(super) static UNLISTED: Family = gauge(
    "shedder_other_endpoints",
    "",
    "Endpoints without series of their own: beyond metrics_endpoints, they are added up under endpoint=\"other\".",
);
pub(super) static OTLP_SENT: Family = counter(
    "shedder_otlp_sent_total",
    "signal",
    "Spans and data points (points) a collector has taken; only with otlp in the policy file, as the next two.",
);
pub(super) static OTLP_DROPPED: Family = counter(
    "shedder_otlp_dropped_total",
    "signal, reason",
    "Spans and data points dropped: too many to keep (full), refused by the collector for good (refused), not taken in time (late; the next points tell what these would have).",
);
pub(super) static OTLP_QUEUED: Family =
    gauge("shedder_otlp_queued_spans", "", "Spans that wait for the collector to take them.");
pub(super) static STATES: Family =
    gauge("circuit_breaker_state", "state", "Breakers by state, on the whole node.");
pub(super) static CALLS: Family = counter(
    "circuit_breaker_calls_total",
    "outcome, state",
    "Outcomes (success, failure) and connects shed (shed) on the whole node by the state of their breaker, exact to a tick before a change of state.",
);
pub(super) static ALL_RECOVERIES: Family = histogram(
    "circuit_breaker_recovery_duration_seconds",
    "",
    "As shedder_recovery_duration_seconds, on the whole node.",
);
pub(super) static BREAKER_STATE: Family = gauge(
    "shedder_breaker_state",
    "caller, service, endpoint, state",
    "1 for the state the breaker is in, else 0; of other, how many breakers are in it.",
);
pub(super) static IN_FLIGHT: Family = gauge(
    "shedder_in_flight",
    "caller, service, endpoint, kind",
    "What has begun and not ended: handshakes (connecting), requests (waiting), those of both that stall (stalled), connections (connections).",
);
pub(super) static PORTS: Family = gauge(
    "shedder_port_range_usage_ratio",
    "caller, service, endpoint",
    "Share of the caller's local ports towards the endpoint that is taken; only where so many are that the daemon asked how many there are. Of other, the greatest.",
);
pub(super) static FAILURES_BY_CLASS: Family = counter(
    "shedder_failures_total",
    "service, class",
    "Failures of all endpoints there ever were, over all callers.",
);
pub(super) static TRANSITIONS: Family = counter(
    "shedder_transitions_total",
    "caller, service, to",
    "Changes of state, by the new state; where the policy observes, those there would have been.",
);
pub(super) static RECOVERY: Family = histogram(
    "shedder_recovery_duration_seconds",
    "caller, service",
    "Time from a trip, which leaves closed, until closed again; without those an operator had a hand in.",
);
pub(super) static CONNECT: Family = histogram(
    "shedder_connect_duration_seconds",
    "caller, service",
    "SYN sent to connection established.",
);
pub(super) static RESPONSE: Family = histogram(
    "shedder_response_duration_seconds",
    "caller, service",
    "Last byte of a request out to first byte of its answer in.",
);
pub(super) static RTT: Family = histogram(
    "shedder_rtt_seconds",
    "caller, service",
    "Smoothed round-trip times, where a rule asks for them.",
);

pub(super) static FALLBACK: Family = histogram(
    "shedder_fallback_duration_seconds",
    "caller, service",
    "SYN sent to connection established of redirected connects, by the service they were meant for; only count and sum are known.",
);

const fn counter(name: &'static str, labels: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, labels, help }
}
