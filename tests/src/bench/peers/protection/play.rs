//! Playing one fault under one guard.
//!
//! Invariant: backends change when the script says so, to within a step, whatever the guard does.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use shedder_common::time::Monotonic;
use shedder_user::clock::now;

use super::rows::{Row, policy_rules};
use crate::backend::Backend;
use crate::bench::peers::generator::{Call, Rate};
use crate::bench::peers::guard::Guard;
use crate::bench::peers::site::{Calling, Site};
use crate::interrupt;

/// What was seen from outside the guard.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The calls that count.
    pub(super) calls: Vec<Call>,
    /// What those who fall ill had answered, at every step from the start.
    pub(super) answered: Vec<u64>,
}

/// A site for it, called so far that nobody is new to anybody.
pub(super) fn prepare(guard: Guard, row: &Row) -> Result<Site> {
    let callers = if row.is_poisoned { 2 } else { 1 };
    let site = Site::build(guard, row.backends, callers, policy_rules(row))?;
    site.warm_up()?;
    Ok(site)
}

/// Plays it from `start` on.
pub(super) fn play(site: &Site, row: &Row, start: Monotonic) -> Result<Seen> {
    let calling = Calling {
        caller: 0,
        calls: Rate::PerSecond(row.rate),
        length: Duration::from_secs_f64(row.seconds),
        start,
        pool: row.pool,
        request: "ping",
    };
    let generator = site.call(&calling)?;
    let (from, until) = row.fault;
    let poisoning = Calling {
        caller: 1,
        start: start.plus(Duration::from_secs_f64(from)),
        length: Duration::from_secs_f64(until - from),
        request: "poison",
        ..calling
    };
    let poisoning = row.is_poisoned.then(|| site.call(&poisoning)).transpose()?;
    let ill = &site.backends[..usize::from(row.ill)];
    let answered = direct(ill, row, start)?;
    let calls = generator.story()?.calls;
    if let Some(poisoning) = poisoning {
        poisoning.story()?;
    }
    Ok(Seen { calls, answered })
}

/// Has the backends follow the script, and counts what they answer.
fn direct(ill: &[Backend], row: &Row, start: Monotonic) -> Result<Vec<u64>> {
    let mut script = row.script.iter().peekable();
    let mut answered = Vec::new();
    let steps = (row.seconds / STEP.as_secs_f64()).ceil();
    for step in 0_u32.. {
        if f64::from(step) > steps {
            break;
        }
        let at = start.plus(STEP * step);
        thread::sleep(at.since(now()));
        interrupt::check()?;
        let seconds = at.since(start).as_secs_f64() + STEP.as_secs_f64() / 2.0;
        while let Some((_, behaviour)) = script.next_if(|(from, _)| *from <= seconds) {
            for backend in ill {
                backend.set(*behaviour)?;
            }
        }
        answered.push(ill.iter().map(Backend::answered).sum());
    }
    Ok(answered)
}

/// Between two looks.
pub(super) const STEP: Duration = Duration::from_millis(100);
