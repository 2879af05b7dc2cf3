//! Strategies about latency. What is unfinished counts as at least as slow as it is old.

use std::time::Duration;

use super::super::evidence::Buckets;
use super::super::latencies::{Latencies, older_than};
use super::super::window::Span;
use super::share::lower_bound;
use super::{Evidence, Limit, Reason, Remembered, Signal, Strategy};

/// A quantile over a limit.
pub(super) fn quantile(
    strategy: &Strategy,
    evidence: &Evidence<'_>,
    memory: &mut Remembered,
) -> Option<Reason> {
    let &Strategy::Latency { signal, quantile_permille, over, min_samples, window } = strategy
    else {
        return None;
    };
    let finished = evidence.windows.of(window).latencies(signal, evidence.now);
    let samples = finished.samples;
    let limit = limit(over, &finished, quantile_permille, signal, window, evidence, memory);
    let mut all = finished;
    all.add(ages(signal, evidence));
    let unfinished = all.samples - samples;
    let limit = limit?;
    let value = Duration::from_micros(all.quantile_permille(quantile_permille)?);
    (all.samples >= evidence.enough(min_samples) && value > limit).then_some(Reason::Latency {
        signal,
        quantile_permille,
        value,
        limit,
        samples,
        unfinished,
        window,
    })
}

/// Too many over a limit.
pub(super) fn slow_share(
    strategy: &Strategy,
    evidence: &Evidence<'_>,
    memory: &mut Remembered,
) -> Option<Reason> {
    let &Strategy::SlowShare { signal, over, at_least, z, min_samples, window } = strategy else {
        return None;
    };
    let held = evidence.windows.of(window);
    let limit = if let Limit::Fixed(limit) = over {
        limit
    } else {
        let latencies = held.latencies(signal, evidence.now);
        limit(over, &latencies, USUAL_PERMILLE, signal, window, evidence, memory)?
    };
    let limit_us = micros(limit);
    let late = older_than(ages(signal, evidence), limit_us);
    let (slow, samples) = held.slower_than(signal, limit_us, evidence.now);
    let (slow, samples) = (slow + late, samples + late);
    let bound = lower_bound(slow, samples, z, evidence.is_alert);
    (samples >= evidence.enough(min_samples) && bound >= at_least).then_some(Reason::SlowShare {
        signal,
        slow,
        samples,
        over: limit,
        bound,
        at_least,
        window,
    })
}

/// Too few that satisfy.
pub(super) fn apdex(strategy: &Strategy, evidence: &Evidence<'_>) -> Option<Reason> {
    let &Strategy::Apdex { within, at_least, min_samples, window } = strategy else { return None };
    let latencies = evidence.windows.of(window).latencies(Signal::Response, evidence.now);
    let limit_us = micros(within);
    let late = older_than(&evidence.sample.unfinished.waiting, limit_us);
    let samples = latencies.samples + late;
    let satisfied = latencies.samples - latencies.slower_than(limit_us);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let share = if samples == 0 { 1.0 } else { satisfied as f64 / samples as f64 };
    (samples >= evidence.enough(min_samples) && share < at_least).then_some(Reason::Apdex {
        satisfied,
        samples,
        within,
        at_least,
        window,
    })
}

/// A quantile over a threshold that follows it.
pub(super) fn slo_drift(
    strategy: &Strategy,
    evidence: &Evidence<'_>,
    memory: &mut Remembered,
) -> Option<Reason> {
    let &Strategy::SloDrift { rule, quantile_permille, min_samples, window } = strategy else {
        return None;
    };
    let mut latencies = evidence.windows.of(window).latencies(Signal::Response, evidence.now);
    latencies.add(&evidence.sample.unfinished.waiting);
    if latencies.samples < evidence.enough(min_samples) {
        return None;
    }
    let (value, max) = (latencies.quantile_permille(quantile_permille)?, latencies.max()?);
    #[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 microseconds")]
    let (quantile, max) = (value as f64, max as f64);
    let objective = rule.objective.as_secs_f64() * 1e6;
    let drift = memory.drift();
    let limit = drift.limit(objective, max, &rule);
    let is_over = limit.is_some_and(|limit| quantile > limit);
    // The threshold follows in health only; otherwise it would follow the fault.
    if evidence.is_healthy() && drift.is_due(evidence.now) {
        if !is_over {
            drift.recalibrate(quantile, &rule, evidence.now);
        }
        drift.follow(quantile, max, objective, &rule);
    }
    let limit = limit.filter(|_| is_over)?;
    Some(Reason::SloDrift {
        quantile_permille,
        value: Duration::from_micros(value),
        limit: Duration::from_secs_f64(limit.clamp(0.0, MAX_US) / 1e6),
        samples: latencies.samples,
    })
}

/// The limit in force; nothing while it is not known. What is usual is learned on the way.
fn limit(
    limit: Limit,
    finished: &Latencies,
    usual_permille: u16,
    signal: Signal,
    window: Span,
    evidence: &Evidence<'_>,
    memory: &mut Remembered,
) -> Option<Duration> {
    let between = |value_us: f64, floor: Duration, cap: Duration| {
        let value = Duration::from_secs_f64(value_us.clamp(0.0, MAX_US) / 1e6);
        let round_trips = match signal {
            Signal::Rtt => Duration::ZERO,
            // Four round trips are never slow: nothing this side of them can be done about it.
            Signal::Connect | Signal::Response => {
                let rtt = evidence.windows.of(window).latencies(Signal::Rtt, evidence.now);
                Duration::from_micros(rtt.quantile_permille(1).unwrap_or(0)) * 4
            }
        };
        value.min(cap).max(floor).max(round_trips)
    };
    #[expect(clippy::cast_precision_loss, reason = "latencies far below 2^53 microseconds")]
    let real = |value: u64| value as f64;
    match limit {
        Limit::Fixed(limit) => Some(limit),
        Limit::Mean { times, floor, cap } => {
            Some(between(real(finished.mean()?) * times, floor, cap))
        }
        Limit::Baseline { times, floor, cap, learn } => {
            let baseline = memory.baseline(evidence.now);
            let limit = baseline
                .usual(&learn, evidence.now)
                .map(|usual| between(usual * times, floor, cap));
            if let Some(usual_us) = finished.quantile_permille(usual_permille)
                && limit.is_none_or(|limit| usual_us <= micros(limit))
                && evidence.is_healthy()
            {
                let new = new_samples(signal, evidence);
                baseline.learn(real(usual_us), new, &learn, evidence.now);
            }
            limit
        }
    }
}

fn new_samples(signal: Signal, evidence: &Evidence<'_>) -> u64 {
    let buckets = match signal {
        Signal::Connect => &evidence.sample.connect,
        Signal::Response => &evidence.sample.response,
        Signal::Rtt => &evidence.sample.rtt,
    };
    buckets.iter().map(|(_, count)| u64::from(*count)).sum()
}

const fn ages<'a>(signal: Signal, evidence: &Evidence<'a>) -> &'a Buckets {
    const NONE: &Buckets = &Vec::new();
    match signal {
        Signal::Connect => &evidence.sample.unfinished.connecting,
        Signal::Response => &evidence.sample.unfinished.waiting,
        Signal::Rtt => NONE,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The quantile that is learned for a share of slow answers.
const USUAL_PERMILLE: u16 = 990;
/// An hour: beyond every latency that is measured.
const MAX_US: f64 = 3.6e9;
