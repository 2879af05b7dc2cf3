//! Acceptance bounds the engine must keep by itself, in simulated time. Each prints what it measured
//! next to its bound: `cargo test -p shedder-user --test acceptance -- --nocapture`.
#![expect(clippy::print_stdout, reason = "the figure beside its bound is the purpose")]

use std::sync::Arc;
use std::time::Duration;

use shedder_common::histogram::bucket;
use shedder_common::time::Monotonic;
use shedder_user::config::{Preset, presets};
use shedder_user::engine::{
    CellId, Counts, DriftRule, Engine, Limit, Mode, NodeRules, Place, Policy, Rule, Sample, Signal,
    Span, State, Strategy, TripRule,
};

const CELL: CellId = CellId(0);
const TICK_MS: u64 = 100;

/// What one tick of traffic shows.
#[derive(Clone, Copy)]
struct Traffic {
    calls: u64,
    failed: u64,
    latency: Duration,
}

impl Traffic {
    fn sample(self, run: u64) -> Sample {
        let answered = self.calls - self.failed;
        let microseconds = u64::try_from(self.latency.as_micros()).expect("a latency");
        let bucket = u8::try_from(bucket(microseconds)).expect("a bucket");
        Sample {
            counts: Counts {
                connects: self.calls,
                successes: answered,
                refused: self.failed,
                ..Counts::default()
            },
            failure_run: run,
            response: vec![(bucket, u32::try_from(answered).expect("few"))],
            ..Sample::default()
        }
    }
}

fn at(milliseconds: u64) -> Monotonic {
    Monotonic::from_nanos(milliseconds * 1_000_000)
}

fn enforcing(mut policy: Policy) -> Policy {
    policy.mode = Mode::Enforce;
    policy
}

fn default_policy() -> Policy {
    let preset = Preset::find("default");
    enforcing(preset.expect("there is one").policy())
}

/// An engine with one service of `endpoints` endpoints.
fn engine(policy: Policy, endpoints: u32) -> Engine {
    let policy = Arc::new(policy.try_new().expect("a valid policy"));
    let mut engine = Engine::new(1, NodeRules::default());
    for endpoint in 0..endpoints {
        let place = Place { caller: 0, service: 0, endpoint };
        engine.insert(CellId(endpoint), place, Arc::clone(&policy), at(0));
    }
    engine
}

/// Plays healthy traffic, then the fault; the first shedding, counted from the start of the fault.
fn detect(policy: Policy, healthy: Traffic, fault: Traffic, limit: Duration) -> Option<Duration> {
    let mut engine = engine(policy, 2);
    let fault_ms = 700_000;
    let end_ms = fault_ms + u64::try_from(limit.as_millis()).expect("a span");
    for time in (0..=end_ms / TICK_MS).map(|tick| tick * TICK_MS) {
        let now = at(time);
        // The other endpoint of the service stays well.
        engine.observe(CellId(1), &healthy.sample(0), now);
        let traffic = if time < fault_ms { healthy } else { fault };
        engine.observe(CELL, &traffic.sample(0), now);
        engine.handle_timeout(now);
        if engine.directive(CELL, now)?.sheds() {
            assert!(time >= fault_ms, "a false trip at {time} ms");
            return Some(Duration::from_millis(time - fault_ms));
        }
    }
    None
}

/// AT-7: 2 s latency with 40 % errors trips every preset with a rate or a latency within one of its
/// windows.
#[test]
fn at_7_slow_and_failing_trips_within_one_window() {
    let healthy = Traffic { calls: 20, failed: 0, latency: Duration::from_millis(50) };
    let fault = Traffic { calls: 20, failed: 8, latency: Duration::from_secs(2) };
    for preset in presets() {
        let policy = enforcing(preset.policy());
        let windows: Vec<Duration> = policy
            .strategies()
            .flat_map(Strategy::spans)
            .filter_map(|span| match span {
                Span::Time(window) => Some(window),
                Span::Count(_) => None,
            })
            .collect();
        let Some(window) = windows.iter().max().copied() else { continue };
        if !reacts(&policy) {
            continue;
        }
        let found = detect(policy, healthy, fault, window + Duration::from_secs(4));
        println!(
            "AT-7 {}: first shed after {found:?} (bound: its window, {window:?})",
            preset.name
        );
        assert!(found.is_some_and(|found| found <= window), "{}: {found:?}", preset.name);
    }
}

/// Whether 40 % failures or 2 s latency is what a policy watches for and sheds by.
fn reacts(policy: &Policy) -> bool {
    policy.trip.iter().filter(|trip| trip.response.name() != "alarm").any(|trip| {
        trip.rule.strategies().any(|strategy| {
            if let Strategy::FailureShare { at_least, z, .. } = strategy {
                return *z < 1e-9 && *at_least < 0.4;
            }
            let (Strategy::Latency { signal, over: Limit::Fixed(over), .. }
            | Strategy::SlowShare { signal, over: Limit::Fixed(over), .. }) = strategy
            else {
                return false;
            };
            *signal == Signal::Response && *over < Duration::from_secs(2)
        })
    })
}

/// AT-9: p99 of 4.2 s trips within three ticks although the window is a minute long.
#[test]
fn at_9_a_long_window_does_not_delay_a_latency_trip() {
    let mut policy = default_policy();
    policy.trip = vec![TripRule::opens(Rule::One(Strategy::Latency {
        signal: Signal::Response,
        quantile_permille: 990,
        over: Limit::Fixed(Duration::from_secs(2)),
        min_samples: 20,
        window: Span::Time(Duration::from_mins(1)),
    }))];
    let healthy = Traffic { calls: 5, failed: 0, latency: Duration::from_millis(50) };
    let fault = Traffic { calls: 20, failed: 0, latency: Duration::from_millis(4_200) };
    let found = detect(policy, healthy, fault, Duration::from_secs(10)).expect("it trips");
    let ticks = found.as_millis() / u128::from(TICK_MS) + 1;
    println!("AT-9: tripped at tick {ticks} of the fault (bound: 3)");
    assert!(ticks <= 3);
}

/// AT-10: on a trace that drifts over the day, a limit that follows gives at most a fifth of the
/// false alarms of a fixed one.
#[test]
fn at_10_a_drifting_trace_alarms_far_less_often_than_a_fixed_limit() {
    let quantile = |over| Strategy::Latency {
        signal: Signal::Response,
        quantile_permille: 999,
        over,
        min_samples: 300,
        window: Span::Count(300),
    };
    let fixed = quantile(Limit::Fixed(Duration::from_millis(200)));
    let following = Strategy::SloDrift {
        rule: DriftRule::default(),
        quantile_permille: 999,
        min_samples: 300,
        window: Span::Count(300),
    };
    let [fixed, following] = [fixed, following].map(false_alarms);
    println!(
        "AT-10: minutes of a day with a false alarm: fixed {fixed}, following {following} (bound: a fifth)"
    );
    assert!(fixed > 0 && following * 5 <= fixed);
}

/// Minutes of a day, all of it healthy, in which the strategy held.
fn false_alarms(strategy: Strategy) -> u32 {
    let mut policy = default_policy();
    policy.trip = vec![TripRule::opens(Rule::One(strategy))];
    let mut engine = engine(policy, 2);
    let mut alarms = 0;
    let mut noise: u64 = 7;
    for second in 0..86_400_u32 {
        let day = f64::from(second) / 86_400.0 * std::f64::consts::TAU;
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Between 160 and 340 ms over the day, and up to a twelfth more by chance.
        #[expect(clippy::cast_precision_loss, reason = "a thousand steps")]
        let latency = (250.0 - 90.0 * day.cos()) * (1.0 + (noise >> 54) as f64 / 12_288.0);
        let latency = Duration::from_secs_f64(latency / 1_000.0);
        let now = at(u64::from(second) * 1_000);
        engine.observe(CELL, &Traffic { calls: 30, failed: 0, latency }.sample(0), now);
        engine.observe(
            CellId(1),
            &Traffic { calls: 30, failed: 0, latency: Duration::ZERO }.sample(0),
            now,
        );
        engine.handle_timeout(now);
        if second % 60 == 0 && engine.view(CELL, now).expect("it exists").state != State::Closed {
            alarms += 1;
            engine.reset(CELL, now);
        }
    }
    alarms
}

/// AT-19: with the cap of `mesh-outlier` never more than 30 % of the group are open, all of them dead.
#[test]
fn at_19_the_ejected_share_stays_under_its_cap() {
    let endpoints = 10;
    let mut policy = default_policy();
    policy.safety.max_open_percent = 30;
    policy.trip = vec![TripRule::opens(Rule::One(Strategy::Consecutive { failures: 5 }))];
    let mut engine = engine(policy, endpoints);
    let mut most = 0;
    for tick in 0..600_u64 {
        let now = at(tick * TICK_MS);
        for endpoint in 0..endpoints {
            let failed = if tick < 10 { 0 } else { 2 };
            let traffic = Traffic { calls: 2, failed, latency: Duration::from_millis(5) };
            engine.observe(CellId(endpoint), &traffic.sample(failed * tick.saturating_sub(9)), now);
        }
        engine.handle_timeout(now);
        let open = (0..endpoints)
            .filter(|endpoint| {
                let state = engine.view(CellId(*endpoint), now).expect("it exists").state;
                matches!(state, State::Open | State::HalfOpen)
            })
            .count();
        most = most.max(open);
    }
    println!("AT-19: at most {most} of {endpoints} open (bound: 30 %)");
    assert_eq!(most, 3);
}

/// AT-14: bytes of one breaker, idle and busy, with the default policy. The policy itself is shared.
#[test]
fn at_14_bytes_of_a_breaker() {
    let mut engine = engine(default_policy(), 1);
    let bytes = |engine: &Engine| engine.bytes(CELL).expect("it exists");
    let fresh = bytes(&engine);
    for tick in 0..600_u64 {
        let latency = Duration::from_millis(1 + tick % 50);
        let traffic = Traffic { calls: 20, failed: 1, latency };
        engine.observe(CELL, &traffic.sample(0), at(tick * TICK_MS));
        engine.handle_timeout(at(tick * TICK_MS));
    }
    let busy = bytes(&engine);
    engine.handle_timeout(at(300_000));
    let idle_again = bytes(&engine);
    println!("AT-14: fresh {fresh} bytes, busy {busy}, idle again {idle_again} (bound: idle 512)");
    assert!(fresh <= 512 && idle_again <= 512);
    assert!(busy <= 16 * 1024);
}
