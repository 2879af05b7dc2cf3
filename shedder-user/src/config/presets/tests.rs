//! Every preset has the numbers of its source.

use std::time::Duration;

use super::*;
use crate::engine::{
    Admission, CloseGate, Growth, Limit, OnFailure, Response, Rule, ShedAction, Signal, Span,
    Strategy, TripRule,
};

#[test]
fn every_preset_is_a_valid_policy_and_says_where_it_is_from() {
    let names: Vec<_> = presets().iter().map(|preset| preset.name.as_str()).collect();
    assert_eq!(names, NAMES);
    for preset in presets() {
        assert!(!preset.policy().trip.is_empty(), "{}", preset.name);
        assert!(!preset.source.is_empty() && !preset.summary.is_empty(), "{}", preset.name);
    }
}

#[test]
fn a_preset_must_not_stand_on_itself_or_on_nothing() {
    let entry = |name: &str, base: &str| {
        format!("[{name}]\nsummary = \"\"\nsource = \"\"\nbase = {base:?}\n")
    };
    let cycle = read(&(entry("one", "other") + &entry("other", "one"))).expect_err("a cycle");
    assert!(cycle.contains("stands on itself"), "{cycle}");
    let missing = read(&entry("one", "none")).expect_err("a missing base");
    assert_eq!(missing, "there is no preset \"none\"");
}

/// S0.29 S0.58 S3.46, S2.45, S0.62, S3.1, S4.40
#[test]
fn failures_in_a_row() {
    for (name, failures, base, growth) in [
        ("consecutive-5", 5, 60, Growth::Exponential(2.0)),
        ("local-3", 3, 30, Growth::Exponential(2.0)),
        ("mesh-outlier", 15, 60, Growth::Linear),
        ("promo-fast", 3, 2, Growth::Constant),
        ("mesh-fallback-3", 3, 1, Growth::Exponential(2.0)),
    ] {
        let policy = policy(name);
        let trip = TripRule::opens(Rule::One(Strategy::Consecutive { failures }));
        assert_eq!(policy.trip, [trip], "{name}");
        assert_eq!((policy.open.base, policy.open.growth), (seconds(base), growth), "{name}");
        assert_eq!(policy.half_open.successes, 1, "{name}");
    }
}

/// S0.27, S0.30, S0.36, S0.38, S0.39, S0.56, S1.47 S1.48 S1.49, S2.6, S3.29 S3.30
#[test]
fn shares_of_failures() {
    // Share, whether it must be exceeded, attempts, failures, window, open, tokens, successes.
    for (name, share, strictly, attempts, failures, window, open, tokens, successes) in [
        ("grpc-90", 0.1, true, 50, 1, 10, 60, 1, 1),
        ("grpc-95", 0.05, true, 20, 1, 10, 60, 1, 1),
        ("percentile-60", 0.6, true, 20, 1, 60, 60, 1, 1),
        ("gateway", 0.5, true, 100, 1, 30, 60, 100, 100),
        ("mysql", 0.5, false, 10, 1, 30, 60, 1, 1),
        // 8 of 15 are 0.5333, 7 are 0.467.
        ("redis", 0.533, false, 15, 1, 20, 45, 1, 1),
        ("payment-risk", 0.6, true, 50, 51, 30, 60, 100, 100),
        ("sla-core", 0.05, true, 50, 51, 10, 30, 3, 3),
        ("sla-edge", 0.15, true, 50, 51, 10, 30, 3, 3),
        ("resilience", 0.5, false, 20, 1, 10, 30, 1, 1),
        ("window-60", 0.5, false, 20, 1, 60, 60, 1, 3),
    ] {
        let policy = policy(name);
        let strategy = Strategy::FailureShare {
            at_least: share,
            strictly,
            z: 0.0,
            min_attempts: attempts,
            min_failures: failures,
            window: Span::Time(seconds(window)),
            shrunk: None,
        };
        assert_eq!(policy.trip, [TripRule::opens(Rule::One(strategy))], "{name}");
        assert_eq!(policy.open.base, seconds(open), "{name}");
        assert_eq!(policy.half_open.admission, Admission::Tokens(tokens), "{name}");
        assert_eq!(policy.half_open.successes, successes, "{name}");
    }
}

/// S0.31, S1.51, S3.18, S0.61
#[test]
fn latency_alone() {
    let fixed = |limit| Limit::Fixed(milliseconds(limit));
    for (name, signal, quantile, limit, samples) in [
        ("contract-800", Signal::Response, 900, fixed(800), 20),
        ("contract-200", Signal::Response, 900, fixed(200), 20),
        ("infra", Signal::Rtt, 990, fixed(2_000), 50),
    ] {
        let expected = Strategy::Latency {
            signal,
            quantile_permille: quantile,
            over: limit,
            min_samples: samples,
            window: Span::Time(seconds(10)),
        };
        assert!(policy(name).strategies().any(|strategy| *strategy == expected), "{name}");
    }
    let rise = policy("p95-rise");
    let [
        Strategy::Latency {
            quantile_permille: 950,
            over: Limit::Baseline { times, .. },
            min_samples: 100,
            ..
        },
    ] = *rise.strategies().collect::<Vec<_>>()
    else {
        panic!("{:?}", rise.trip);
    };
    assert!((times - 1.2).abs() < 1e-9);
    let slow = policy("slow-call");
    assert!(slow.strategies().any(|strategy| matches!(
        strategy,
        Strategy::SlowShare { over: Limit::Fixed(over), window, .. }
            if *over == seconds(1) && *window == Span::Time(seconds(60))
    )));
    assert!(slow.caller_timeout < milliseconds(800), "S3.19");
}

/// S1.24 S1.25 S1.26
#[test]
fn dual_p99_trips_on_either_and_closes_on_the_whole_batch() {
    let policy = policy("dual-p99");
    for trip in &policy.trip {
        let Rule::Lasting { rule, evaluations: 3, every } = &trip.rule else {
            panic!("{trip:?}");
        };
        // Fast enough for three looks within 2.3 s (S0.66).
        assert!(*every <= milliseconds(600));
        let Rule::One(strategy) = &**rule else { panic!("{rule:?}") };
        let is_share = matches!(
            strategy,
            Strategy::FailureShare { at_least, strictly: true, min_attempts: 20, .. }
                if (at_least - 0.1).abs() < 1e-9
        );
        let is_latency = matches!(
            strategy,
            Strategy::Latency { quantile_permille: 990, over: Limit::Fixed(over), .. }
                if *over == seconds(2)
        );
        assert!(is_share || is_latency, "{strategy:?}");
    }
    assert_eq!(policy.trip.len(), 2);
    assert_eq!((policy.open.base, policy.open.growth), (seconds(60), Growth::Exponential(2.0)));
    assert_eq!(policy.half_open.admission, Admission::Tokens(20));
    let gate =
        CloseGate { success_permille: 950, quantile_permille: 990, at_most: milliseconds(1_200) };
    assert_eq!(policy.half_open.gate, Some(gate));
    let best = policy.best_case().expect("it sheds");
    assert_eq!(best.time, seconds(2));
}

/// S2.26 S2.27 S2.28 S2.29, S2.42
#[test]
fn dual_p90_trips_on_both() {
    let policy = policy("dual-p90");
    let both = Rule::All(vec![
        Rule::One(Strategy::FailureShare {
            at_least: 0.2,
            strictly: false,
            z: 0.0,
            min_attempts: 20,
            min_failures: 1,
            window: Span::Time(seconds(10)),
            shrunk: Some(Span::Time(seconds(5))),
        }),
        Rule::One(Strategy::Latency {
            signal: Signal::Response,
            quantile_permille: 900,
            over: Limit::Mean { times: 1.2, floor: milliseconds(800), cap: milliseconds(1_500) },
            min_samples: 20,
            window: Span::Time(seconds(10)),
        }),
    ]);
    let rule = Rule::Lasting { rule: Box::new(both), evaluations: 3, every: seconds(1) };
    assert_eq!(policy.trip, [TripRule::opens(rule)]);
    assert_eq!(policy.open.base, seconds(30));
    assert_eq!(policy.half_open.admission, Admission::Tokens(3));
    assert_eq!(policy.half_open.successes, 3);
}

/// S3.20 S3.23 S3.24 S3.28
#[test]
fn slo_drift_follows_as_its_source_does() {
    let policy = policy("slo-drift");
    let strategies: Vec<_> = policy.strategies().collect();
    let [
        Strategy::SloDrift {
            rule,
            quantile_permille: 999,
            min_samples: 300,
            window: Span::Count(300),
        },
    ] = strategies[..]
    else {
        panic!("{strategies:?}");
    };
    assert!((rule.alpha - 0.2).abs() < 1e-9 && (rule.ceiling - 1.5).abs() < 1e-9);
    assert_eq!((rule.objective, rule.recalibrate), (milliseconds(200), seconds(60)));
    assert!((rule.drift - 0.15).abs() < 1e-9);
}

/// S0.62 (SM-11), S3.1 to S3.5 (SM-4), S3.53 S3.54 (SM-6), S3.30 S3.31 (SM-3), S4.40, S4.46, S0.60
#[test]
fn what_is_particular_to_one() {
    let mesh = policy("mesh-outlier");
    assert_eq!(mesh.half_open.admission, Admission::Skip);
    assert_eq!(mesh.safety.max_open_percent, 30);
    assert_eq!(mesh.ramp.duration, Duration::ZERO);

    let promo = policy("promo-fast");
    assert_eq!(promo.shed, ShedAction::Delay(1_000));
    assert_eq!(promo.half_open.admission, Admission::Everyone);
    assert_eq!(promo.ramp.duration, Duration::ZERO);
    assert!(promo.caller_timeout < milliseconds(100));

    let route = policy("cloud-route");
    assert!(matches!(route.shed, ShedAction::Redirect(_)));
    let half_open = &route.half_open;
    assert_eq!((half_open.successes, half_open.on_failure), (5, OnFailure::Restart));
    assert_eq!(half_open.refill, Some(seconds(5)));
    let shares: Vec<_> = route
        .strategies()
        .filter_map(|strategy| {
            let Strategy::FailureShare { at_least, strictly: true, .. } = strategy else {
                return None;
            };
            Some(*at_least)
        })
        .collect();
    assert_eq!(shares, [0.005, 0.0005]);

    let window = policy("window-60");
    assert_eq!(window.half_open.on_failure, OnFailure::Reopen);
    assert!(window.half_open.refill.is_some());

    assert!(matches!(policy("mesh-fallback-3").shed, ShedAction::Redirect(_)));

    let apdex = policy("apdex");
    assert_eq!(apdex.trip[0].response, Response::Alarm);
    let expected = Strategy::Apdex {
        within: milliseconds(100),
        at_least: 0.85,
        min_samples: 100,
        window: Span::Time(seconds(300)),
    };
    assert_eq!(apdex.trip[0].rule, Rule::One(expected));

    let loss =
        Strategy::RetransmitShare { over: 0.15, min_segments: 50, window: Span::Time(seconds(10)) };
    assert!(policy("infra").strategies().any(|strategy| *strategy == loss));
}

/// What the windows of the presets allow at best, so that nobody expects more.
#[test]
fn the_best_cases_are_as_computed() {
    for (name, time_ms, attempts) in [
        ("default", 0, 5),
        ("local-3", 0, 3),
        ("sla-core", 500, 51),
        ("dual-p99", 2_000, 20),
        ("resilience", 5_000, 20),
        ("redis", 10_660, 15),
        ("mysql", 15_000, 10),
        ("payment-risk", 18_000, 51),
        ("window-60", 30_000, 20),
        ("percentile-60", 36_000, 20),
    ] {
        let best = policy(name).best_case().expect("it sheds");
        assert_eq!((best.time, best.attempts), (milliseconds(time_ms), attempts), "{name}");
    }
    assert_eq!(policy("apdex").best_case(), None);
}

fn policy(name: &str) -> Policy {
    Preset::find(name).unwrap_or_else(|| panic!("{name} is no preset")).policy()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const NAMES: [&str; 27] = [
    "apdex",
    "cloud-route",
    "consecutive-5",
    "contract-200",
    "contract-800",
    "default",
    "dual-p90",
    "dual-p99",
    "gateway",
    "grpc-90",
    "grpc-95",
    "infra",
    "local-3",
    "mesh-fallback-3",
    "mesh-outlier",
    "mysql",
    "p95-rise",
    "payment-risk",
    "percentile-60",
    "promo-fast",
    "redis",
    "resilience",
    "sla-core",
    "sla-edge",
    "slo-drift",
    "slow-call",
    "window-60",
];
