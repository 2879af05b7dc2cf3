//! What one outcome costs: deciding about a call and taking in how it went.
//!
//! Invariant: every breaker sees the same thing, a thousand calls of a healthy endpoint of which one in
//! a hundred fails, on one thread.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use shedder_common::histogram::bucket;
use shedder_common::time::Monotonic;
use shedder_user::engine::{CellId, Counts, Engine, NodeRules, Place, Sample};

use super::fleet::TICK;
use super::libraries::{Pace, Tuning, failsafe, recloser, tower};
use super::policy::policy;
use crate::clock::thread_time;
use crate::statistics::{Extent, figure};

/// The cost of an outcome for one breaker.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OutcomeFigures {
    pub(super) breaker: String,
    pub(super) ns: Extent,
}

/// Measures all of them in turn, once in each round.
pub(super) fn measure(rounds: u32) -> Result<Vec<OutcomeFigures>> {
    let mut arms = arms()?;
    let mut costs: Vec<Vec<f64>> = arms.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((_, block), costs) in arms.iter_mut().zip(&mut costs) {
            costs.push(block()?);
        }
    }
    arms.into_iter()
        .zip(costs)
        .map(|((breaker, _), costs)| {
            let ns = Extent::of(costs).context("there are no rounds")?;
            Ok(OutcomeFigures { breaker, ns })
        })
        .collect()
}

/// A breaker's name, and a block of outcomes: nanoseconds for each.
type Arm = (String, Box<dyn FnMut() -> Result<f64>>);

fn arms() -> Result<Vec<Arm>> {
    let mut arms = vec![
        ours("shedder, a look for each outcome", 1)?,
        ours("shedder, a look each tick of 100 outcomes", 100)?,
    ];
    for tuning in [Tuning::Default, Tuning::LikeOurs] {
        let name = |library: &str| format!("{library}, {}", tuning.name());
        let make = move || Ok(failsafe::breaker(tuning, REAL_TIME));
        arms.push(library(name("failsafe"), make, |breaker, is_ok| {
            let is_permitted = breaker.is_call_permitted();
            if is_ok {
                breaker.on_success();
            } else {
                breaker.on_error();
            }
            is_permitted
        }));
        let make = move || Ok(recloser::breaker(tuning, REAL_TIME));
        arms.push(library(name("recloser"), make, |breaker, is_ok| {
            let outcome = breaker.call(|| is_ok.then_some(()).ok_or(()));
            !matches!(outcome, Err(::recloser::Error::Rejected))
        }));
        let make = move || tower::breaker(tuning, REAL_TIME);
        arms.push(library(name("tower-resilience"), make, tower::call));
    }
    Ok(arms)
}

/// A fresh breaker for each block, or its window would hold more in each.
fn library<Breaker>(
    name: String,
    make: impl Fn() -> Result<Breaker> + 'static,
    call: impl Fn(&mut Breaker, bool) -> bool + 'static,
) -> Arm {
    let block = move || {
        let mut breaker = make()?;
        let mut admitted = 0;
        let mut calls = || {
            let start = thread_time();
            for number in 0..BLOCK {
                admitted += u32::from(call(&mut breaker, is_ok(number)));
            }
            figure(thread_time() - start) / f64::from(BLOCK)
        };
        // The first thousand fill its window.
        calls();
        let cost = calls();
        ensure!(admitted == 2 * BLOCK, "a breaker refused calls of a healthy endpoint");
        Ok(cost)
    };
    (name, Box::new(block))
}

/// A thousand outcomes a second, shown to the engine `at_once` so many.
fn ours(name: &str, at_once: u32) -> Result<Arm> {
    let policy = policy()?;
    let mut engine = Engine::new(1, NodeRules::default());
    let mut now = Monotonic::from_nanos(0);
    engine.insert(CELL, Place { caller: 0, service: 0, endpoint: 0 }, policy, now);
    let samples = [sample(at_once, 0)?, sample(at_once, 1)?];
    let step = TICK * at_once / 100;
    let mut block = move || {
        let start = thread_time();
        for look in 0..BLOCK / at_once {
            now = now.plus(step);
            let is_all_ok = at_once == 1 && is_ok(look);
            engine.observe(CELL, &samples[usize::from(!is_all_ok)], now);
            engine.handle_timeout(now);
            std::hint::black_box(engine.directive(CELL, now));
        }
        figure(thread_time() - start) / f64::from(BLOCK)
    };
    // Ten seconds fill the window.
    for _ in 0..WINDOW_BLOCKS {
        block();
    }
    Ok((name.to_owned(), Box::new(move || Ok(block()))))
}

fn sample(outcomes: u32, refused: u64) -> Result<Sample> {
    let successes = u64::from(outcomes) - refused;
    let bucket = u8::try_from(bucket(LATENCY_US)).context("a bucket is a byte")?;
    let answers = u32::try_from(successes).context("few outcomes")?;
    Ok(Sample {
        counts: Counts { connects: outcomes.into(), successes, refused, ..Counts::default() },
        failure_run: refused,
        response: if answers > 0 { vec![(bucket, answers)] } else { Vec::new() },
        ..Sample::default()
    })
}

const fn is_ok(number: u32) -> bool {
    number % 100 != 99
}

const CELL: CellId = CellId(0);
const BLOCK: u32 = 1000;
const WINDOW_BLOCKS: u32 = 11;
const LATENCY_US: u64 = 20_000;
const REAL_TIME: Pace = Pace(1);
