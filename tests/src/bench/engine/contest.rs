//! Every breaker on every trace.
//!
//! Invariant: all play side by side, those that read a clock in time made shorter; ours needs none.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use recloser::AsyncRecloser;
use serde::Serialize;

use super::libraries::{Pace, Tuning, failsafe, recloser as reclosers, tower};
use super::node::Node;
use super::replay::play;
use super::score::Score;
use super::trace::{SCENARIOS, Scenario, Trace};

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contestant {
    Shedder,
    Failsafe(Tuning),
    Recloser(Tuning),
    Tower(Tuning),
}

/// The records on one trace, ours first.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Contest {
    pub(super) trace: &'static str,
    #[serde(skip)]
    pub(super) is_flapping: bool,
    pub(super) records: Vec<Record>,
}

/// One breaker's record.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    pub(super) breaker: String,
    #[serde(flatten)]
    pub(super) score: Score,
}

/// Plays each scenario [`PLAYS`] times to every breaker, with traces made from `seed` on.
pub(super) fn play_all(seed: u64) -> Result<Vec<Contest>> {
    let scenarios = SCENARIOS.iter().zip(seed..);
    #[expect(clippy::needless_collect, reason = "all play before the first is waited for")]
    let playing: Vec<_> =
        scenarios.map(|(scenario, seed)| (scenario, start(scenario, seed))).collect();
    playing.into_iter().map(|(scenario, started)| judge(scenario, started)).collect()
}

/// The plays of each contestant, all of them under way.
type Started = [Vec<JoinHandle<Result<Score>>>; CONTESTANTS.len()];

fn start(scenario: &'static Scenario, seed: u64) -> Started {
    let seeds = (0..PLAYS).map(|play| seed + play * SCENARIOS.len() as u64);
    let traces: Vec<Arc<Trace>> = seeds.map(|seed| Arc::new(Trace::of(scenario, seed))).collect();
    CONTESTANTS.map(|contestant| {
        let plays = traces.iter().cloned();
        plays.map(|trace| thread::spawn(move || contestant.play(&trace))).collect()
    })
}

fn judge(scenario: &Scenario, started: Started) -> Result<Contest> {
    let records = CONTESTANTS.into_iter().zip(started).map(|(contestant, playing)| {
        let breaker = contestant.name();
        let scores = playing.into_iter().map(|playing| {
            let score = playing.join().map_err(|_panic| anyhow!("a breaker panicked"))?;
            score.with_context(|| format!("{breaker} on {}", scenario.name))
        });
        let scores: Vec<Score> = scores.collect::<Result<_>>()?;
        let score = Score::all(&scores).context("nothing was played")?;
        Ok(Record { breaker, score })
    });
    Ok(Contest {
        trace: scenario.name,
        is_flapping: scenario.is_flapping(),
        records: records.collect::<Result<_>>()?,
    })
}

impl Contestant {
    fn name(self) -> String {
        let tuned = |name: &str, tuning: Tuning| format!("{name}, {}", tuning.name());
        match self {
            Self::Shedder => "shedder".to_owned(),
            Self::Failsafe(tuning) => tuned("failsafe", tuning),
            Self::Recloser(tuning) => tuned("recloser", tuning),
            Self::Tower(tuning) => tuned("tower-res.", tuning),
        }
    }

    fn play(self, trace: &Trace) -> Result<Score> {
        Ok(match self {
            Self::Shedder => play(trace, &mut Node::new()?, None),
            Self::Failsafe(tuning) => play(trace, &mut failsafe::breaker(tuning, PACE), Some(PACE)),
            Self::Recloser(tuning) => {
                let breaker = reclosers::breaker(tuning, PACE);
                play(trace, &mut AsyncRecloser::from(breaker), Some(PACE))
            }
            Self::Tower(tuning) => play(trace, &mut tower::breaker(tuning, PACE)?, Some(PACE)),
        })
    }
}

/// Two minutes in 24 seconds. It must divide the libraries' windows, which some of them cut to whole
/// seconds.
pub(super) const PACE: Pace = Pace(5);
/// Traces of each scenario: runs of failures come by chance, and one trace may have none.
pub(super) const PLAYS: u64 = 3;
const CONTESTANTS: [Contestant; 8] = [
    Contestant::Shedder,
    Contestant::Failsafe(Tuning::Default),
    Contestant::Failsafe(Tuning::LikeOurs),
    Contestant::Recloser(Tuning::Default),
    Contestant::Recloser(Tuning::LikeOurs),
    Contestant::Tower(Tuning::Default),
    Contestant::Tower(Tuning::LikeOurs),
    Contestant::Tower(Tuning::Runs),
];
