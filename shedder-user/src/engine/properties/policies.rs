//! The policies whose breakers must keep the laws.

use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::inputs::{CAP_PERCENT, CELLS};
use crate::engine::scenarios::{self, TEN_SECONDS, failure_share, policy, quantile};
use crate::engine::{
    CellId, DriftRule, Engine, LearnRule, Limit, Lone, Measure, NodeRules, Place, Policy, Response,
    Rule, ScopeRule, Signal, Span, Strategy as Trip, TripRule,
};

/// Every strategy there is, in every combination there is.
pub(super) fn every_rule() -> Vec<TripRule> {
    let one = |strategy| TripRule::opens(Rule::One(strategy));
    let learn =
        LearnRule { warm_up: Duration::from_secs(5), min_samples: 20, ..LearnRule::default() };
    let usual = Limit::Baseline {
        times: 1.2,
        floor: Duration::from_millis(1),
        cap: Duration::from_secs(5),
        learn,
    };
    let slow = Trip::SlowShare {
        signal: Signal::Response,
        over: usual,
        at_least: 0.5,
        z: 1.96,
        min_samples: 20,
        window: TEN_SECONDS,
    };
    let apdex = Trip::Apdex {
        within: Duration::from_millis(100),
        at_least: 0.85,
        min_samples: 50,
        window: TEN_SECONDS,
    };
    let drift = Trip::SloDrift {
        rule: DriftRule::default(),
        quantile_permille: 999,
        min_samples: 100,
        window: Span::Count(100),
    };
    let outlier = Trip::Outlier {
        measure: Measure::FailureShare,
        deviations: 4.0,
        times: 2.0,
        floor: 0.05,
        min_attempts: 5,
        window: TEN_SECONDS,
    };
    let surge = Trip::Surge { times: 4.0, min_failures: 10, learn, window: TEN_SECONDS };
    let loss = Trip::RetransmitShare { over: 0.4, min_segments: 50, window: TEN_SECONDS };
    let lasting = Rule::Lasting {
        rule: Box::new(Rule::All(vec![
            Rule::One(quantile(Signal::Response, 900, Duration::from_millis(500), 10)),
            Rule::Any(vec![Rule::One(loss.clone()), Rule::One(drift.clone())]),
        ])),
        evaluations: 2,
        every: Duration::from_millis(500),
    };
    vec![
        one(Trip::Consecutive { failures: 5 }),
        one(failure_share(0.5, 1.96, 1)),
        one(quantile(Signal::Connect, 990, Duration::from_secs(1), 30)),
        TripRule::opens(lasting),
        one(slow),
        one(drift),
        TripRule { rule: Rule::One(outlier), response: Response::Throttle },
        TripRule { rule: Rule::One(apdex), response: Response::Alarm },
        one(surge),
        one(loss),
        one(Trip::InFlight { over: 35 }),
    ]
}

/// A policy with every rule and every safety.
pub(super) fn full_policy() -> Policy {
    let mut policy = policy(Vec::new());
    policy.trip = every_rule();
    policy.safety.max_open_percent = CAP_PERCENT;
    policy.safety.lone = Lone::Throttle;
    policy.safety.scope = ScopeRule::Endpoint;
    policy.safety.panic_percent = Some(90);
    policy.safety.false_refusals_permille = Some(10);
    policy.open.jitter_permille = 500;
    policy
}

/// A policy whose breakers know nothing of each other.
pub(super) fn alone() -> Policy {
    let mut policy = full_policy();
    policy.trip.retain(|trip| !trip.rule.strategies().any(|s| matches!(s, Trip::Outlier { .. })));
    policy.safety = scenarios::policy(Vec::new()).safety;
    policy
}

pub(super) fn unlimited() -> NodeRules {
    NodeRules {
        trips_per_minute: u32::MAX,
        refusals_per_second: u64::MAX,
        caller_refused_permille: 1000,
        suspect_permille: 1000,
    }
}

pub(super) fn engine(policy: Policy, rules: NodeRules) -> Engine {
    let policy = Arc::new(policy.try_new().expect("a valid policy"));
    let mut engine = Engine::new(3, rules);
    for cell in 0..CELLS {
        let place = Place { caller: cell / 4, service: 0, endpoint: cell % 4 };
        engine.insert(CellId(cell), place, Arc::clone(&policy), Monotonic::default());
    }
    engine
}
