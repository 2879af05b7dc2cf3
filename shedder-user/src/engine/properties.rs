//! Laws that hold for every sequence of evidence, orders and time.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use shedder_common::breaker::BreakerRow;
use shedder_common::time::Monotonic;

use super::scenarios::{failure_share, policy};
use super::window::Windows;
use super::{
    CellId, Counts, Engine, Established, NodeRules, Notice, Sample, Span, State, Strategy as Trip,
    Transition, Unfinished,
};

mod inputs;
mod policies;

use self::inputs::{CAP_PERCENT, CELLS, Operation, counts, operations};
use self::policies::{alone, engine, full_policy, unlimited};

type Outputs = (Vec<Transition>, Vec<Notice>);

/// Plays operations and returns everything that came of them, looking after each step.
fn play_on(
    mut engine: Engine,
    operations: &[Operation],
    look: impl FnMut(&mut Engine, Monotonic),
) -> Outputs {
    play_into(&mut engine, operations, look);
    let transitions = std::iter::from_fn(|| engine.poll_transition()).collect();
    (transitions, std::iter::from_fn(|| engine.poll_notice()).collect())
}

/// As [`play_on`]; when it ends.
fn play_into(
    engine: &mut Engine,
    operations: &[Operation],
    mut look: impl FnMut(&mut Engine, Monotonic),
) -> Monotonic {
    let mut now = Monotonic::from_nanos(1);
    for operation in operations {
        match operation {
            Operation::Observe(cell, sample) => engine.observe(CellId(*cell), sample, now),
            Operation::Wait(duration) => now = now.plus(*duration),
            Operation::Force(cell, force, ttl) => {
                assert!(engine.force(CellId(*cell), *force, *ttl, now));
            }
            Operation::Reset(cell) => assert!(engine.reset(CellId(*cell), now)),
        }
        engine.handle_timeout(now);
        look(engine, now);
    }
    now
}

fn play(operations: &[Operation], look: impl FnMut(&mut Engine, Monotonic)) -> Outputs {
    play_on(engine(full_policy(), NodeRules::default()), operations, look)
}

fn cells() -> impl Iterator<Item = CellId> {
    (0..CELLS).map(CellId)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 200 }))]

    #[test]
    fn poll_timeout_is_never_in_the_past_after_handle_timeout(operations in operations()) {
        play(&operations, |engine, now| {
            assert!(engine.poll_timeout().is_none_or(|due| due > now));
        });
    }

    /// What is reckoned over those in use is reckoned over all of them.
    #[test]
    fn none_that_is_in_use_is_missed(operations in operations()) {
        play(&operations, |engine, now| {
            for cell in cells() {
                let place = engine.place(cell).expect("it exists");
                let breaker = engine.cells.breaker(cell).expect("it exists");
                let counts = engine.safety.counts_as_used(cell, place, &engine.cells);
                assert!(counts || !breaker.is_in_use(Duration::from_mins(1), now));
            }
        });
    }

    /// The daemon publishes no others.
    #[test]
    fn what_was_not_touched_stays_as_it_is(operations in operations()) {
        let mut known = vec![None; CELLS as usize];
        play(&operations, |engine, now| {
            let touched = engine.take_touched();
            for cell in cells() {
                let told = engine.directive(cell, now).map(|it| (it, engine.is_healthy(cell)));
                let before = std::mem::replace(&mut known[cell.0 as usize], told);
                assert!(before == told || touched.contains(&cell), "{before:?} became {told:?}");
            }
        });
    }

    /// AT-28: byte for byte.
    #[test]
    fn replaying_events_gives_the_same_commands(operations in operations()) {
        let record = || {
            let mut directives = Vec::new();
            let outputs = play(&operations, |engine, now| {
                directives.extend(cells().map(|cell| engine.directive(cell, now)));
            });
            format!("{outputs:?} {directives:?}")
        };
        prop_assert_eq!(record(), record());
    }

    #[test]
    fn transitions_follow_each_other(operations in operations()) {
        let (transitions, _) = play(&operations, |_, _| ());
        for cell in cells() {
            let own: Vec<_> =
                transitions.iter().filter(|t| t.cell == cell).map(|t| &t.change).collect();
            for pair in own.windows(2) {
                prop_assert!(pair[0].at <= pair[1].at);
                let is_overlay = |state| matches!(state, State::ForcedOpen | State::ForcedClosed);
                prop_assert!(pair[0].to == pair[1].from || is_overlay(pair[0].to), "{pair:?}");
            }
        }
    }

    #[test]
    fn open_never_admits_before_its_deadline(operations in operations()) {
        let mut policy = full_policy();
        policy.safety.panic_percent = None;
        play_on(engine(policy, NodeRules::default()), &operations, |engine, now| {
            for cell in cells() {
                let view = engine.view(cell, now).expect("it exists");
                let directive = engine.directive(cell, now).expect("it exists");
                if view.state == State::Open {
                    assert!(directive.sheds());
                    assert_eq!((directive.tokens, directive.admit_permille), (None, 0));
                    assert!(view.next.expect("open ends").at > now);
                }
            }
        });
    }

    /// What a daemon leaves is enough for the next one to tell the kernel the same.
    #[test]
    fn a_breaker_goes_on_where_it_was(operations in operations()) {
        // When a service panics is reckoned at changes, so that it may be reckoned anew.
        let mut policy = full_policy();
        policy.safety.panic_percent = None;
        let fresh = || engine(policy.clone(), NodeRules::default());
        let mut before = fresh();
        let now = play_into(&mut before, &operations, |_, _| ());
        let mut after = fresh();
        let policy = Arc::new(policy.clone());
        for cell in cells() {
            let row = before.hand_on(cell).expect("it exists");
            let place = before.place(cell).expect("it exists");
            after.resume(cell, place, Arc::clone(&policy), &row, now);
            // Nothing is lost by being handed on once more.
            let again = BreakerRow { cause: row.cause, cause_len: row.cause_len, ..after.hand_on(cell).expect("it exists") };
            prop_assert_eq!(again, row);
        }
        after.handle_timeout(now);
        prop_assert_eq!(after.poll_transition(), None);
        for cell in cells() {
            let shown = |engine: &Engine| {
                let view = engine.view(cell, now).expect("it exists");
                let next = view.next.filter(|next| next.state != State::Closed);
                (view.state, view.would_be, view.since, view.level, view.is_flapping, view.is_suspended, next)
            };
            prop_assert_eq!(shown(&after), shown(&before));
            let told = |engine: &Engine| {
                let directive = engine.directive(cell, now).expect("it exists");
                // The share of a ramp depends on the traffic seen, and so does what a burst may do.
                let is_fixed = engine.view(cell, now).is_some_and(|view| {
                    !matches!(view.would_be, State::Recovering | State::Closed)
                });
                (directive.epoch, is_fixed.then_some(directive))
            };
            prop_assert_eq!(told(&after), told(&before));
        }
    }

    /// Whatever is in the map, what comes of it is a breaker that ends what it began.
    #[test]
    fn any_row_is_survived(bytes in vec(any::<u8>(), size_of::<BreakerRow>()), operations in operations()) {
        let row: BreakerRow = bytemuck::pod_read_unaligned(&bytes);
        let mut engine = engine(full_policy(), NodeRules::default());
        let start = Monotonic::from_nanos(1);
        for cell in cells() {
            let row = BreakerRow { stage: row.stage % 6, forced: row.forced % 4, ..row };
            let place = engine.place(cell).expect("it exists");
            engine.resume(cell, place, Arc::new(full_policy()), &row, start);
        }
        engine.handle_timeout(start);
        let now = play_into(&mut engine, &operations, |engine, now| {
            assert!(engine.poll_timeout().is_none_or(|due| due > now));
            for cell in cells() {
                assert!(engine.directive(cell, now).is_some());
            }
        });
        // No state lasts for ever without evidence.
        let horizon = Duration::from_hours(25);
        for minutes in 0..horizon.as_secs() / 60 {
            engine.handle_timeout(now.plus(Duration::from_mins(minutes)));
        }
        for cell in cells() {
            let state = engine.state(cell).expect("it exists");
            assert!(!matches!(state, State::Open | State::ForcedOpen | State::ForcedClosed), "{state}");
        }
    }

    #[test]
    fn connections_are_ended_only_where_connects_are_refused(operations in operations()) {
        let mut policy = full_policy();
        policy.established = Established::Reset;
        play_on(engine(policy, NodeRules::default()), &operations, |engine, now| {
            for cell in cells() {
                let state = engine.view(cell, now).expect("it exists").state;
                let directive = engine.directive(cell, now).expect("it exists");
                let is_open = matches!(state, State::Open | State::HalfOpen | State::ForcedOpen);
                let sheds = directive.shed.is_some() && !directive.observes();
                let ends = directive.established == Established::Reset;
                assert!(!ends || is_open && sheds, "{state} {directive:?}");
                assert!(ends || !sheds || state != State::Open, "{state} {directive:?}");
            }
        });
    }

    #[test]
    fn half_open_admits_at_most_its_tokens(operations in operations()) {
        let given_back: u64 = operations
            .iter()
            .map(|operation| match operation {
                Operation::Observe(_, sample) => sample.probes_void,
                Operation::Wait(_) | Operation::Force(..) | Operation::Reset(_) => 0,
            })
            .sum();
        let mut policy = full_policy();
        policy.safety.panic_percent = None;
        play_on(engine(policy, NodeRules::default()), &operations, |engine, now| {
            for cell in cells() {
                if engine.view(cell, now).expect("it exists").state == State::HalfOpen {
                    let directive = engine.directive(cell, now).expect("it exists");
                    let tokens = directive.tokens.expect("half-open admits by tokens");
                    assert!((3..=3 + given_back).contains(&u64::from(tokens)), "{tokens}");
                    assert_eq!(directive.admit_permille, 0);
                }
            }
        });
    }

    /// What the kernel sheds before it is told to, the engine would have shed.
    #[test]
    fn a_burst_that_may_be_shed_at_once_opens(operations in operations(), cell in 0..CELLS) {
        let mut engine = engine(full_policy(), NodeRules::default());
        let now = play_into(&mut engine, &operations, |_, _| ());
        let cell = CellId(cell);
        let limit = engine.directive(cell, now).expect("it exists").burst_limit;
        if let Some(limit) = limit.map(u64::from) {
            let counts = Counts { connects: limit, refused: limit, ..Counts::default() };
            let burst = Sample { counts, failure_run: limit, ..Sample::default() };
            engine.observe(cell, &burst, now);
            prop_assert_eq!(engine.view(cell, now).expect("it exists").would_be, State::Open);
        }
    }

    #[test]
    fn half_open_always_ends(operations in operations(), probes in 1_u64..4) {
        let mut engine = engine(full_policy(), NodeRules::default());
        let mut now = Monotonic::from_nanos(1);
        for operation in &operations {
            if let Operation::Observe(cell, sample) = operation {
                engine.observe(CellId(*cell), sample, now);
            }
            engine.handle_timeout(now);
            now = now.plus(Duration::from_millis(500));
        }
        engine.handle_timeout(now);
        for cell in cells() {
            engine.observe(cell, &Sample { probes, ..Sample::default() }, now);
        }
        let state = |engine: &Engine, cell, now| engine.view(cell, now).expect("it exists");
        let before: Vec<_> = cells().map(|cell| state(&engine, cell, now)).collect();
        now = now.plus(Duration::from_secs(5));
        engine.handle_timeout(now);
        for (cell, before) in cells().zip(before) {
            let after = state(&engine, cell, now);
            let is_same = before.state == State::HalfOpen
                && after.state == State::HalfOpen
                && before.since == after.since;
            prop_assert!(!is_same, "{after:?}");
        }
    }

    /// AT-19: of four endpoints of a caller never more than two, whatever happens.
    #[test]
    fn ejected_share_never_exceeds_the_cap(operations in operations()) {
        let without_orders: Vec<_> = operations
            .into_iter()
            .filter(|operation| !matches!(operation, Operation::Force(..)))
            .collect();
        play(&without_orders, |engine, now| {
            for caller in 0..2 {
                let open = (0..4).filter(|endpoint| {
                    let view = engine.view(CellId(caller * 4 + endpoint), now).expect("it exists");
                    matches!(view.would_be, State::Open | State::HalfOpen)
                });
                assert!(open.count() <= 4 * usize::from(CAP_PERCENT) / 100);
            }
        });
    }

    #[test]
    fn open_time_is_monotone_and_capped(failed_probings in 1_usize..12) {
        let mut policy = policy(vec![Trip::Consecutive { failures: 1 }]);
        policy.half_open.successes = 3;
        let mut engine = engine(policy, unlimited());
        let mut now = Monotonic::from_nanos(1);
        let failure = Sample {
            counts: Counts { refused: 1, ..Counts::default() },
            failure_run: 1,
            ..Sample::default()
        };
        engine.observe(CellId(0), &failure, now);
        let mut last = Duration::ZERO;
        for _ in 0..failed_probings {
            let view = engine.view(CellId(0), now).expect("it exists");
            prop_assert_eq!(view.state, State::Open);
            let open_for = view.next.expect("open ends").at.since(view.since);
            prop_assert!(open_for >= last && open_for <= Duration::from_secs(8));
            last = open_for;
            now = now.plus(open_for);
            engine.handle_timeout(now);
            let probe = Sample { probes: 1, probe_failures: 1, ..Sample::default() };
            engine.observe(CellId(0), &probe, now);
        }
    }

    #[test]
    fn breakers_influence_each_other_only_through_cap_and_attribution(operations in operations()) {
        let of_cell = |cell: u32, operations: &[Operation]| {
            let (transitions, _) = play_on(engine(alone(), unlimited()), operations, |_, _| ());
            let own = transitions.into_iter().filter(|t| t.cell == CellId(cell));
            own.map(|mut transition| {
                // Who else fails is told, and decides nothing here.
                transition.change.scope = None;
                transition
            })
            .collect::<Vec<_>>()
        };
        let only: Vec<_> = operations
            .iter()
            .filter(|operation| match operation {
                Operation::Observe(cell, _) | Operation::Force(cell, ..) | Operation::Reset(cell) => *cell == 0,
                Operation::Wait(_) => true,
            })
            .cloned()
            .collect();
        prop_assert_eq!(of_cell(0, &operations), of_cell(0, &only));
    }

    #[test]
    fn throttling_always_lets_somebody_through(operations in operations()) {
        play(&operations, |engine, now| {
            for cell in cells() {
                let view = engine.view(cell, now).expect("it exists");
                let directive = engine.directive(cell, now).expect("it exists");
                if view.state == State::Throttled && directive.sheds() {
                    assert!(directive.admit_permille >= 100, "{directive:?}");
                }
            }
        });
    }

    /// All-failing traffic trips after the same number of outcomes, fast or slow.
    #[test]
    fn trip_is_independent_of_arrival_rate(gap_ms in 1_u64..2_400) {
        let mut engine = engine(policy(vec![failure_share(0.5, 1.96, 1)]), unlimited());
        let mut now = Monotonic::from_nanos(1);
        let failure =
            Sample { counts: Counts { refused: 1, ..Counts::default() }, ..Sample::default() };
        let mut needed = 0;
        while engine.poll_transition().is_none() {
            engine.observe(CellId(0), &failure, now);
            now = now.plus(Duration::from_millis(gap_ms));
            needed += 1;
            prop_assert!(needed <= 4);
        }
        prop_assert_eq!(needed, 4);
    }

    #[test]
    fn idle_windows_are_empty(operations in operations()) {
        let mut end = Monotonic::default();
        let mut engine = engine(full_policy(), NodeRules::default());
        for operation in &operations {
            if let Operation::Observe(cell, sample) = operation {
                engine.observe(CellId(*cell), sample, end);
            }
            end = end.plus(Duration::from_millis(100));
        }
        let later = end.plus(Duration::from_mins(2));
        engine.handle_timeout(later);
        for cell in cells() {
            let window = engine.view(cell, later).expect("it exists").window;
            prop_assert_eq!((window.attempts, window.p50_us), (0, None));
        }
    }

    /// Against a list of everything that happened: nothing younger than the span is missing, and
    /// nothing is left that is older than the span and a slice.
    #[test]
    fn a_window_agrees_with_its_model(
        events in vec((0_u64..3_000, counts()), 1..60), span_ms in 100_u64..30_000,
    ) {
        let span = Span::Time(Duration::from_millis(span_ms));
        let mut windows = Windows::new(std::iter::once(span));
        let mut model: Vec<(u64, u64)> = Vec::new();
        let mut now_ms = 0;
        for (gap, counts) in events {
            now_ms += gap;
            let now = Monotonic::from_nanos(now_ms * 1_000_000);
            model.push((now_ms, counts.attempts()));
            windows.add(&Sample { counts, ..Sample::default() }, now);
            let within = |age_ms: u64| -> u64 {
                model.iter().filter(|(at, _)| now_ms - at < age_ms).map(|(_, attempts)| attempts).sum()
            };
            let slice_ms = span_ms / 40 + 1;
            let held = windows.of(span).counts(now).attempts();
            prop_assert!(held >= within(span_ms - slice_ms), "{held} of {}", within(span_ms - slice_ms));
            prop_assert!(held <= within(span_ms + 1), "{held} of {}", within(span_ms + 1));
        }
    }

    #[test]
    fn any_numbers_are_survived(
        numbers in vec(any::<u64>(), 13), bucket: u8, count: u32, at: u64,
    ) {
        let mut engine = engine(full_policy(), NodeRules::default());
        let latencies = vec![(bucket, count)];
        let sample = Sample {
            counts: Counts {
                connects: numbers[0],
                shed: numbers[1],
                successes: numbers[2],
                refused: numbers[3],
                timed_out: numbers[4],
                unreachable: numbers[5],
                reset: numbers[6],
                errored: numbers[12],
                segments: numbers[7],
                retransmits: numbers[8],
            },
            failure_bursts: numbers[9],
            failure_run: numbers[9],
            probes: numbers[10],
            probe_successes: numbers[10],
            probe_failures: numbers[11],
            probes_void: numbers[10],
            connect: latencies.clone(),
            response: latencies.clone(),
            rtt: latencies.clone(),
            unfinished: Unfinished {
                connecting: latencies.clone(),
                waiting: latencies,
                stalled_connecting: numbers[9],
                stalled_waiting: numbers[10],
                in_flight: numbers[11],
            },
        };
        for time in [at, at, 0, u64::MAX, u64::MAX] {
            let now = Monotonic::from_nanos(time);
            for cell in cells() {
                engine.observe(cell, &sample, now);
                engine.handle_timeout(now);
                let _directive = engine.directive(cell, now);
                let view = engine.view(cell, now).expect("it exists");
                let _text = format!("{view:?}");
            }
        }
        while let Some(transition) = engine.poll_transition() {
            let _text = transition.change.to_string();
        }
    }
}
