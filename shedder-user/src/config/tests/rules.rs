//! The rules of a policy: what can be said, what overrides what, and every kind of complaint.

use super::*;
use crate::engine::{
    Admission, CloseGate, Established, Growth, Limit, Lone, Measure, OnFailure, Response,
    ScopeRule, Signal, Span,
};

#[test]
fn a_policy_can_say_everything() {
    let policy = policy(
        r#"
        trip.without = ["consecutive", "failure_share"]
        trip.all = { consecutive = 2, latency = { signal = "connect", over_usual = { times = 2, learn = { half_life = "1m" } }, last = 100, for = 2 }, for = 3, every = "1s", then = "throttle" }
        trip.outlier = { measure = "response", quantile = 0.5, for = 4, then = "alarm" }
        open = { action = "redirect", errno = "EHOSTUNREACH", established = "drain", growth = "linear" }
        half_open = { admit = "tokens", tokens = 1, successes = 5, on_failure = "restart", refill = "2s", success_share = 0.9, quantile = 0.5, at_most = "1s" }
        throttle.max_shed = 0.5
        safety = { lone = "open", scope = "cell", panic_percent = 80, false_refusals = 0 }
        turns_to_skip = 2
        "#,
    );
    let [outlier, all] = &policy.trip[..] else { panic!("{:?}", policy.trip) };
    assert_eq!(outlier.response, Response::Alarm);
    let Rule::Lasting { rule, evaluations: 4, every: Duration::ZERO } = &outlier.rule else {
        panic!("{outlier:?}");
    };
    assert!(matches!(
        **rule,
        Rule::One(Trip::Outlier { measure: Measure::Latency(Signal::Response, 500), .. })
    ));
    assert_eq!(all.response, Response::Throttle);
    let Rule::Lasting { rule, evaluations: 3, .. } = &all.rule else { panic!("{all:?}") };
    let Rule::All(parts) = &**rule else { panic!("{rule:?}") };
    let [Rule::One(Trip::Consecutive { failures: 2 }), Rule::Lasting { rule, evaluations: 2, .. }] =
        &parts[..]
    else {
        panic!("{parts:?}");
    };
    let Rule::One(Trip::Latency { over: Limit::Baseline { learn, .. }, window, .. }) = &**rule
    else {
        panic!("{rule:?}");
    };
    assert_eq!((learn.half_life, *window), (Duration::from_mins(1), Span::Count(100)));
    assert!(matches!(policy.shed, ShedAction::Redirect(_)));
    assert_eq!(policy.established, Established::Drain);
    assert_eq!(policy.open.growth, Growth::Linear);
    assert_eq!(policy.half_open.admission, Admission::Tokens(1));
    assert_eq!(policy.half_open.on_failure, OnFailure::Restart);
    assert_eq!(policy.half_open.refill, Some(Duration::from_secs(2)));
    let at_most = Duration::from_secs(1);
    let gate = CloseGate { success_permille: 900, quantile_permille: 500, at_most };
    assert_eq!(policy.half_open.gate, Some(gate));
    assert_eq!(policy.throttle.max_shed_permille, 500);
    assert_eq!((policy.safety.lone, policy.safety.scope), (Lone::Open, ScopeRule::Cell));
    assert_eq!(policy.safety.panic_percent, Some(80));
    assert_eq!(policy.safety.false_refusals_permille, None);
    assert_eq!(policy.turns_to_skip, 2);
}

#[test]
fn a_setting_takes_the_place_of_one_it_excludes() {
    // `at_least` of the default is gone, its window stays.
    let strict = policy("trip.failure_share.over = 0.3").trip[1].clone();
    let Rule::One(Trip::FailureShare { at_least, strictly: true, window, .. }) = strict.rule else {
        panic!("{strict:?}");
    };
    assert_eq!((at_least, window), (0.3, Span::Time(Duration::from_secs(10))));
    let counted = trips("trip.failure_share.last = 50")[1].clone();
    assert_eq!(
        counted.rule.strategies().flat_map(Trip::spans).collect::<Vec<_>>(),
        [Span::Count(50)]
    );
    // Tables that do not exclude each other merge.
    let merged = trips("preset = \"p95-rise\"\ntrip.latency.over_usual.times = 2.0");
    let Rule::One(Trip::Latency { over: Limit::Baseline { times, floor, .. }, .. }) =
        &merged[0].rule
    else {
        panic!("{merged:?}");
    };
    assert_eq!((*times, *floor), (2.0, Duration::from_millis(100)));
}

#[test]
fn a_dropped_rule_can_be_written_anew() {
    let dropped = trips("trip.without = [\"failure_share\"]");
    assert_eq!(dropped, [TripRule::opens(Rule::One(Trip::Consecutive { failures: 5 }))]);
    let anew = "preset = \"dual-p90\"\ntrip.without = [\"all\"]\ntrip.consecutive = 2";
    assert_eq!(trips(anew), [TripRule::opens(Rule::One(Trip::Consecutive { failures: 2 }))]);
}

#[test]
fn brakes_have_ranges() {
    let node = |brakes: &str| {
        Config::parse("f", &format!("[node]\nbrakes = {{ {brakes} }}\n{}", good("")))
    };
    let rules = node("trips_per_minute = 3, caller_refused = 1.0").expect("good").node.rules;
    assert_eq!((rules.trips_per_minute, rules.caller_refused_permille), (3, 1000));
    assert_eq!(rules.suspect_permille, 500);
    for (brakes, expected) in [
        ("trips_per_minute = 0", "f:2:31: brakes.trips_per_minute is 0, outside 1 to 1000000"),
        ("refusals_per_second = 0", "f:2:34: brakes.refusals_per_second is 0, outside 1 to"),
        ("caller_refused = 0", "f:2:29: brakes.caller_refused is 0, outside 0.001 to 1"),
        ("suspect = 1.5", "f:2:22: brakes.suspect is 1.5, outside 0 to 1"),
        ("trips = 1", "unknown field `trips`"),
    ] {
        let error = node(brakes).expect_err(brakes).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Complaints about a single setting name its place; those about several name where the policy
/// begins.
#[test]
fn bad_rules_are_named_with_their_place() {
    for (lines, expected) in BAD {
        let error = Config::parse("f", &good(lines)).expect_err(lines).to_string();
        assert!(error.contains(expected), "{lines}: {error}");
        assert!(error.starts_with("f:"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// A complaint that a preset's field has a part in is about the file, never about the preset.
#[test]
fn a_field_of_a_preset_has_no_place() {
    let error = Config::parse("f", &good("preset = \"dual-p99\"\nhalf_open.successes = 21"));
    let error = error.expect_err("too many").to_string();
    assert!(
        error.starts_with("f:11:23: half_open.successes is 21, more than the 20 tokens"),
        "{error}"
    );
    let error = Config::parse("f", &good("preset = \"dual-p99\"\nhalf_open.tokens = 2"));
    let error = error.expect_err("too few").to_string();
    assert!(error.starts_with("f:11:20: half_open.successes is 19"), "{error}");
}

/// Lines of a policy, and what is said about them.
const BAD: &[(&str, &str)] = &[
    (
        "open.growth = \"cubic\"",
        "10:15: \"cubic\" is no growth; use exponential, linear or constant",
    ),
    (
        "open.established = \"kill\"",
        "\"kill\" is no fate of established connections; use keep, drain or reset",
    ),
    ("open.factor = 0.5", "10:15: open.factor is 0.5, outside 1 to 10"),
    ("open.base = \"2m\"", "10:13: open.max is 60s, less than open.base, which is 120s"),
    ("open.jitter = 1.5", "10:15: open.jitter is 1.5, outside 0 to 1"),
    ("open.delay = 5", "10:14: invalid type: integer `5`, expected a string"),
    ("open.wait = \"5s\"", "10:6: unknown field `wait`"),
    ("half_open.admit = \"some\"", "\"some\" is no admission; use tokens, everyone or nobody"),
    ("half_open.on_failure = \"give up\"", "use reopen or restart"),
    ("half_open.tokens = 0", "10:20: half_open.tokens is 0, outside 1 to 10000"),
    (
        "half_open.success_share = 0.9",
        "10:27: half_open.success_share, quantile and at_most go together",
    ),
    ("half_open.at_most = \"1s\"", "go together"),
    ("recovery.freeze = 0.6", "recovery.reopen is 0.5, less than recovery.freeze, which is 0.6"),
    ("recovery.from = 0.0001", "10:17: recovery.from is 0.0001, finer than thousandths"),
    ("throttle.multiplier = 0.5", "10:23: throttle.multiplier is 0.5, outside 1 to 100"),
    ("throttle.max_shed = 1.0", "somebody must get through"),
    ("safety.max_open_percent = 0", "10:27: safety.max_open_percent is 0, outside 1 to 100"),
    ("safety.panic_percent = 101", "10:24: safety.panic_percent is 101, outside 1 to 100"),
    ("safety.lone = \"ignore\"", "use throttle or open"),
    ("safety.scope = \"node\"", "\"node\" is no scope; use endpoint or cell"),
    ("target = \"soon\"", "10:10: \"soon\" is no duration"),
    (
        "answers = false\ntrip.latency = { over = \"1s\" }",
        "11:25: trip.latency looks at answers, which answers = false leaves out: remove one of them",
    ),
    (
        "answers = false\nhalf_open = { success_share = 0.9, quantile = 0.9, at_most = \"1s\" }",
        "half_open.at_most looks at answers",
    ),
    ("answers = \"no\"", "10:11: invalid type: string"),
    ("turns_to_skip = 256", "10:17: invalid value: integer `256`, expected u8"),
    (
        "trip.failure_share = { at_least = 0.5, over = 0.6 }",
        "10:47: at_least and over exclude each other",
    ),
    (
        "trip.failure_share = { window = \"1s\", last = 20 }",
        "10:46: window and last exclude each other",
    ),
    (
        "trip.failure_share.at_least = 0.0",
        "10:31: trip.failure_share.at_least is 0, outside above 0",
    ),
    (
        "trip.failure_share.last = 5",
        "10:27: trip.failure_share.last is 5, outside 10 to 1000000 outcomes",
    ),
    ("trip.failure_share = 0.5", "10:22: invalid type"),
    ("trip.latency.quantile = 0.9", "8:10: trip.latency.over is missing"),
    (
        "trip.latency = { over = \"1s\", quantile = 1.0 }",
        "10:42: trip.latency.quantile is 1, outside 0.001 to 0.999",
    ),
    (
        "trip.latency = { over = \"1s\", quantile = 0.9999 }",
        "10:42: trip.latency.quantile is 0.9999, finer than thousandths",
    ),
    (
        "trip.latency = { over = \"1s\", over_mean = { times = 2 } }",
        "10:53: over and over_mean exclude each other",
    ),
    (
        "trip.latency = { over = \"1s\", signal = \"dns\" }",
        "\"dns\" is no latency signal; use response, connect or rtt",
    ),
    (
        "trip.latency = { over_usual = { times = 0.5 } }",
        "trip.latency.over is 0.5, outside 1 to 1000",
    ),
    ("trip.latency = { over = \"1s\", every = \"1s\" }", "10:39: every needs for"),
    ("trip.latency = { over = \"1s\", for = 0 }", "trip.for is 0, outside 1 to 1000"),
    (
        "trip.latency = { over = \"1s\", then = \"close\" }",
        "\"close\" is no response; use open, throttle or alarm",
    ),
    ("trip.slow_share = { at_least = 0.5 }", "trip.slow_share.over is missing"),
    ("trip.slow_share = { over = \"2m\" }", "trip.slow_share.over is 120s, outside 1us to 60s"),
    ("trip.apdex = {}", "trip.apdex.within is missing"),
    (
        "trip.slo_drift = { alpha = 2.0 }",
        "10:28: trip.slo_drift.alpha is 2, outside above 0, up to 1",
    ),
    ("trip.retransmit_share = { over = nan }", "10:34: trip.retransmit_share.over is NaN"),
    ("trip.outlier = { measure = \"rate\" }", "\"rate\" is no measure; use failure_share"),
    (
        "trip.outlier = { floor_latency = \"1ms\" }",
        "floor_latency needs a measure that is a latency",
    ),
    ("trip.outlier = { quantile = 0.9 }", "quantile needs a measure that is a latency"),
    ("trip.outlier = { measure = \"rtt\", floor_share = 0.1 }", "use floor_latency"),
    ("trip.outlier = { floor_share = 0.1, floor_latency = \"1ms\" }", "exclude each other"),
    (
        "trip.surge = { learn = { half_life = \"1ms\" } }",
        "learn.half_life is 1ms, outside 1s to 24h",
    ),
    ("trip.in_flight = { over = 0 }", "10:27: trip.in_flight.over is 0, outside 1 to"),
    ("trip.in_flight = { window = \"1s\" }", "unknown field `window`"),
    ("trip.all = {}", "8:10: trip.all holds no rule; use consecutive, failure_share,"),
    ("trip.all = { consecutive = 0 }", "10:28: trip.consecutive is 0"),
    ("trip.all = { in_flight = { over = 0 } }", "10:35: trip.in_flight.over is 0"),
    (
        "trip.all = { surge = { then = \"alarm\" } }",
        "10:31: a part of trip.all does nothing by itself",
    ),
    ("trip.all = { without = [\"surge\"] }", "unknown field `without`"),
    (
        "trip.without = [\"latencies\"]",
        "10:17: \"latencies\" is no trip rule; use consecutive, failure_share,",
    ),
    (
        "trip.without = [\"consecutive\", \"failure_share\"]",
        "10:17: no trip rule: set at least one",
    ),
];
