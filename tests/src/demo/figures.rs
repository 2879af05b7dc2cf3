//! The figures at the end, from what was noted while playing.
//!
//! Invariant: times are those of the clients' clock, from the moment a backend was changed to the
//! end of the attempt that shows the effect.

use std::time::Instant;

use serde::Serialize;

use super::director::ActTimes;
use super::record::{ClientAttempt, ClientCall, Outcome, Summary};
use super::script::{ACTS, Act};
use super::stage::Calls;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// One for each act.
    pub(super) acts: Vec<ActFigures>,
}

/// The figures of one act.
#[derive(Debug, Serialize)]
pub(super) struct ActFigures {
    /// The act's name.
    pub(super) act: &'static str,
    /// How long it lasted, milliseconds.
    pub(super) length_ms: u64,
    /// The guarded callers.
    pub(super) guarded: PopulationFigures,
    /// The others.
    pub(super) unguarded: PopulationFigures,
    /// From the illness to the first connect shed at that backend, milliseconds.
    pub(super) first_shed_ms: Option<u64>,
    /// From the healing to the closing of the breaker, milliseconds.
    pub(super) closed_after_healing_ms: Option<u64>,
}

/// How the calls went that one population began in an act.
#[derive(Debug, Serialize)]
pub(super) struct PopulationFigures {
    #[serde(flatten)]
    pub(super) summary: Summary,
    /// Answered calls for each second of the act.
    pub(super) answered_per_second: f64,
    /// From the healing to the end of the first attempt at that backend, begun since, that was
    /// answered, milliseconds.
    pub(super) first_answer_after_healing_ms: Option<u64>,
}

impl Figures {
    pub(super) fn measure(timeline: &[ActTimes], calls: &Calls) -> Self {
        let acts = ACTS.iter().zip(timeline).enumerate();
        Self {
            acts: acts
                .map(|(number, (act, times))| measure_act(number, act, times, calls))
                .collect(),
        }
    }
}

fn measure_act(number: usize, act: &Act, times: &ActTimes, calls: &Calls) -> ActFigures {
    let sick = act.sick.map(|illness| illness.backend);
    let population = |calls: &[ClientCall]| PopulationFigures::of(calls, number, sick, times);
    let first_shed = first_end(&calls.guarded, sick, |attempt| {
        attempt.outcome == Outcome::Shed && attempt.started >= times.began
    });
    ActFigures {
        act: act.name,
        length_ms: milliseconds(times.began, times.ended),
        guarded: population(&calls.guarded),
        unguarded: population(&calls.unguarded),
        first_shed_ms: first_shed.map(|at| milliseconds(times.began, at)),
        closed_after_healing_ms: times.closed.map(|at| milliseconds(times.ended, at)),
    }
}

impl PopulationFigures {
    fn of(calls: &[ClientCall], act: usize, sick: Option<usize>, times: &ActTimes) -> Self {
        let summary = Summary::of(calls.iter().filter(|call| call.act == act));
        let first_answer = first_end(calls, sick, |attempt| {
            attempt.outcome == Outcome::Answered && attempt.started >= times.ended
        });
        Self {
            answered_per_second: summary
                .answered_per_second(times.ended.saturating_duration_since(times.began)),
            summary,
            first_answer_after_healing_ms: first_answer.map(|at| milliseconds(times.ended, at)),
        }
    }
}

/// When the first of the attempts ended that went to the backend and are wanted; nothing where no
/// backend is sick.
fn first_end(
    calls: &[ClientCall],
    backend: Option<usize>,
    is_wanted: impl Fn(&ClientAttempt) -> bool,
) -> Option<Instant> {
    let attempts = calls.iter().flat_map(|call| &call.attempts);
    let wanted = attempts.filter(|attempt| Some(attempt.backend) == backend && is_wanted(attempt));
    wanted.map(|attempt| attempt.ended).min()
}

fn milliseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}
