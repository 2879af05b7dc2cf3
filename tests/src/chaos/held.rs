//! Acceptance figures that need no chaos: tests hold them, in simulated time or on the kernel.
//!
//! Invariant: each is a test that `cargo xtask test` runs.

/// Requirement, what it is about, its bound, and the test.
pub(super) const BY_TESTS: [[&str; 4]; 10] = [
    [
        "AT-7",
        "2 s latency with 40 % errors trips",
        "one window",
        "at_7_slow_and_failing_trips_within_one_window",
    ],
    [
        "AT-9",
        "a P99 of 4.2 s trips a window of 60 s",
        "3 ticks",
        "at_9_a_long_window_does_not_delay_a_latency_trip",
    ],
    [
        "AT-10",
        "false trips, fixed limit to slo-drift",
        "≥ 5",
        "at_10_a_drifting_trace_alarms_far_less_often_than_a_fixed_limit",
    ],
    [
        "AT-12",
        "overrides and transitions in the journal",
        "100 %",
        "journal::every_transition_override_and_reload_is_a_line",
    ],
    ["AT-14", "bytes of a breaker", "412 KB", "at_14_bytes_of_a_breaker"],
    [
        "AT-19",
        "share of a group that is open",
        "≤ 30 %",
        "at_19_the_ejected_share_stays_under_its_cap",
    ],
    [
        "AT-22",
        "a bad file keeps the old policy",
        "",
        "watching::a_file_that_is_cut_off_or_gone_changes_nothing_and_is_told_of_once",
    ],
    [
        "AT-24",
        "exporter: flush, overflow, retries",
        "500 ms, 100 items, 80 %",
        "otlp::at_24_nothing_is_lost_and_nothing_doubled",
    ],
    ["AT-27", "vectors of the moving average", "1e-9", "the_threshold_follows_its_golden_vectors"],
    [
        "AT-28",
        "the same trace, the same verdicts",
        "byte-equal",
        "replaying_events_gives_the_same_commands",
    ],
];
