//! Laws that hold for every sequence of evidence, orders and time.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use shedder_common::time::Monotonic;

use super::scenarios::{CELL, policy};
use super::{CellId, Engine, Force, Sample, Signal, State, Strategy as Trip, Transition};

const OTHER: CellId = CellId(8);

#[derive(Clone, Debug)]
enum Operation {
    Observe(Sample),
    Wait(Duration),
    Force(Force, Duration),
    Reset,
}

fn sample() -> impl Strategy<Value = Sample> {
    let outcomes = (0_u64..20, 0_u64..20, 0_u64..3, 0_u64..20);
    let probes = (0_u64..5, 0_u64..5, 0_u64..5);
    let latencies = proptest::collection::vec((any::<u8>(), 0_u32..100), 0..4);
    (outcomes, probes, latencies).prop_map(|(outcomes, probes, mut response)| {
        response.sort_unstable();
        let (successes, refused, failure_bursts, failure_run) = outcomes;
        let (probes, probe_successes, probe_failures) = probes;
        Sample {
            successes,
            refused,
            failure_bursts,
            failure_run,
            probes,
            probe_successes,
            probe_failures,
            response,
            ..Sample::default()
        }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let span = (1_u64..20_000).prop_map(Duration::from_millis);
    prop_oneof![
        4 => sample().prop_map(Operation::Observe),
        4 => span.clone().prop_map(Operation::Wait),
        1 => (any::<bool>(), span).prop_map(|(open, ttl)| {
            Operation::Force(if open { Force::Open } else { Force::Closed }, ttl)
        }),
        1 => Just(Operation::Reset),
    ]
}

fn engine() -> Engine {
    let window = Duration::from_secs(10);
    let policy = policy(vec![
        Trip::Consecutive { failures: 5 },
        Trip::FailureShare { at_least: 0.5, z: 1.96, min_attempts: 1, window },
        Trip::Latency {
            signal: Signal::Response,
            quantile_permille: 900,
            over: Duration::from_millis(500),
            min_samples: 10,
            window,
        },
    ]);
    let policy = Arc::new(policy.try_new().expect("a valid policy"));
    let mut engine = Engine::new(3);
    engine.insert(CELL, Arc::clone(&policy), Monotonic::default());
    engine.insert(OTHER, policy, Monotonic::default());
    engine
}

/// Plays operations on `CELL` and returns every transition, looking at the engine after each step.
fn play(operations: &[Operation], mut look: impl FnMut(&Engine, Monotonic)) -> Vec<Transition> {
    let mut engine = engine();
    let mut now = Monotonic::default();
    for operation in operations {
        match operation {
            Operation::Observe(sample) => engine.observe(CELL, sample, now),
            Operation::Wait(duration) => now = now.plus(*duration),
            Operation::Force(force, ttl) => assert!(engine.force(CELL, *force, *ttl, now)),
            Operation::Reset => assert!(engine.reset(CELL, now)),
        }
        engine.handle_timeout(now);
        look(&engine, now);
    }
    std::iter::from_fn(|| engine.poll_transition()).collect()
}

proptest! {
    #[test]
    fn poll_timeout_is_never_in_the_past_after_handle_timeout(
        operations in proptest::collection::vec(operation(), 0..60),
    ) {
        play(&operations, |engine, now| {
            assert!(engine.poll_timeout().is_none_or(|due| due > now));
        });
    }

    #[test]
    fn replaying_operations_gives_the_same_transitions(
        operations in proptest::collection::vec(operation(), 0..60),
    ) {
        prop_assert_eq!(play(&operations, |_, _| ()), play(&operations, |_, _| ()));
    }

    #[test]
    fn transitions_follow_each_other(operations in proptest::collection::vec(operation(), 0..60)) {
        let transitions = play(&operations, |_, _| ());
        for pair in transitions.windows(2) {
            prop_assert!(pair[0].at <= pair[1].at);
            let is_overlay = |state| matches!(state, State::ForcedOpen | State::ForcedClosed);
            prop_assert!(pair[0].to == pair[1].from || is_overlay(pair[0].to));
        }
    }

    #[test]
    fn open_admits_nothing_before_its_deadline(
        operations in proptest::collection::vec(operation(), 0..60),
    ) {
        play(&operations, |engine, now| {
            let view = engine.view(CELL, now).expect("it exists");
            let directive = engine.directive(CELL, now).expect("it exists");
            if view.state == State::Open {
                assert!(directive.shed.is_some());
                assert_eq!((directive.tokens, directive.admit_permille), (None, 0));
                assert!(view.next.expect("open ends").at > now);
            }
        });
    }

    #[test]
    fn half_open_admits_its_tokens_and_no_share(
        operations in proptest::collection::vec(operation(), 0..60),
    ) {
        play(&operations, |engine, now| {
            if engine.view(CELL, now).expect("it exists").state == State::HalfOpen {
                let directive = engine.directive(CELL, now).expect("it exists");
                assert_eq!((directive.tokens, directive.admit_permille), (Some(3), 0));
            }
        });
    }

    #[test]
    fn half_open_with_a_probe_always_ends(
        operations in proptest::collection::vec(operation(), 0..60), probes in 1_u64..4,
    ) {
        let mut engine = engine();
        let mut now = Monotonic::default();
        for operation in &operations {
            if let Operation::Observe(sample) = operation {
                engine.observe(CELL, sample, now);
            }
            engine.handle_timeout(now);
            now = now.plus(Duration::from_millis(500));
        }
        engine.handle_timeout(now);
        engine.observe(CELL, &Sample { probes, ..Sample::default() }, now);
        let before = engine.view(CELL, now).expect("it exists");
        now = now.plus(Duration::from_secs(5));
        engine.handle_timeout(now);
        let after = engine.view(CELL, now).expect("it exists");
        prop_assert!(before.state != State::HalfOpen || after.state != State::HalfOpen);
    }

    #[test]
    fn breakers_do_not_influence_each_other(
        operations in proptest::collection::vec(operation(), 0..60),
    ) {
        play(&operations, |engine, now| {
            assert_eq!(engine.view(OTHER, now).expect("it exists").state, State::Closed);
        });
    }

    #[test]
    fn idle_windows_are_empty(operations in proptest::collection::vec(operation(), 0..20)) {
        let mut end = Monotonic::default();
        let mut engine = engine();
        for operation in &operations {
            if let Operation::Observe(sample) = operation {
                engine.observe(CELL, sample, end);
            }
            end = end.plus(Duration::from_millis(100));
        }
        let later = end.plus(Duration::from_mins(1));
        prop_assert_eq!(engine.view(CELL, later).expect("it exists").window, super::Summary::default());
    }

    #[test]
    fn any_numbers_are_survived(
        successes: u32, refused: u32, run: u64, probes: u32, bucket: u8, count: u32, at: u64,
    ) {
        let mut engine = engine();
        let sample = Sample {
            successes: successes.into(),
            refused: refused.into(),
            failure_run: run,
            probes: probes.into(),
            probe_failures: probes.into(),
            response: vec![(bucket, count)],
            ..Sample::default()
        };
        for time in [at, at, 0, u64::MAX] {
            engine.observe(CELL, &sample, Monotonic::from_nanos(time));
            engine.handle_timeout(Monotonic::from_nanos(time));
        }
    }
}
