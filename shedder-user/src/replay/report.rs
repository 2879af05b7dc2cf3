//! What policies would have done, as numbers.
//!
//! Invariant: a contract for programs; fields are only added. Times are whole milliseconds since the
//! beginning of the recording.

use serde::Serialize;
use shedder_common::time::Monotonic;

use super::faults::Fault;
use super::play::{Lane, Play};
use super::tape::{Replay, Tape};
use crate::engine::State;
use crate::picture::Point;
use crate::recording::{Ending, Name};

/// A recording and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// How long it lasts.
    pub seconds: u64,
    /// Seconds that were lost when it was made.
    pub lost_seconds: u64,
    /// Times the daemon began anew while it was made.
    pub restarts: u64,
    /// Where it was cut off, if it was: the byte.
    pub cut_off_at: Option<u64>,
    /// Whether it was ended in good order.
    pub complete: bool,
    /// Entries of a kind that only a newer version knows.
    pub unknown_entries: u64,
    /// Policies in force when it was made, and whether they observed or enforced.
    pub recorded_policies: Vec<String>,
    /// Caller, service and endpoint of each breaker.
    pub breakers: Vec<String>,
    /// Connects asked for.
    pub connects: u64,
    /// Outcomes that failed.
    pub failures: u64,
    /// Connects shed while it was made: nobody knows what they would have met.
    pub shed: u64,
    /// When endpoints failed.
    pub faults: Vec<FaultReport>,
    /// What the daemon did by itself.
    pub recorded: PolicyReport,
    /// What each policy would have done, in the order asked for.
    pub policies: Vec<PolicyReport>,
    #[serde(skip)]
    pub(super) timelines: Vec<Timeline>,
}

/// A time in which an endpoint failed a caller.
#[derive(Clone, Debug, Serialize)]
pub struct FaultReport {
    /// Whose, as an index into `breakers`.
    pub breaker: usize,
    /// When its first failing second began.
    pub from_ms: u64,
    /// When its last failing second ended.
    pub to_ms: u64,
    /// Outcomes that failed in it.
    pub failures: u64,
}

/// What one policy did, or would have done.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyReport {
    /// The policy.
    pub policy: String,
    /// Breakers that opened or throttled, failed probes not counted.
    pub trips: u64,
    /// Connects refused, held or sent elsewhere.
    pub refused: u64,
    /// Of those, how many would have succeeded.
    pub refused_good: u64,
    /// Of those, how many nobody knows about.
    pub refused_unknown: u64,
    /// Failures let through.
    pub leaked: u64,
    /// Faults during which a breaker concerned tripped.
    pub faults_detected: u64,
    /// For each fault, from the beginning of its first failing second to the trip; nothing where
    /// there was none.
    pub detected_ms: Vec<Option<u64>>,
    /// Trips of a breaker beyond one for each of its faults.
    pub flaps: u64,
    /// For each breaker: connects refused, and of those, how many would have succeeded; nothing
    /// where the policy says nothing about it.
    pub breakers: Vec<Option<(u64, u64)>>,
    /// Every change of state.
    pub transitions: Vec<TransitionReport>,
    /// What else would have been told: when, and what.
    pub notices: Vec<(u64, String)>,
    /// Recorded breakers it says nothing about, and why.
    pub unmatched: Vec<String>,
}

/// One change of state.
#[derive(Clone, Debug, Serialize)]
pub struct TransitionReport {
    /// When.
    pub at_ms: u64,
    /// Whose, as an index into `breakers`.
    pub breaker: usize,
    /// From this state.
    pub from: &'static str,
    /// To this one.
    pub to: &'static str,
    /// The rule or the kind of cause.
    pub cause: String,
    /// Why, and what comes next.
    pub why: String,
}

/// What a picture is drawn from.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    pub(super) lanes: Vec<(String, Vec<(Monotonic, State)>)>,
    pub(super) points: Vec<Point>,
}

impl Report {
    pub(super) fn of(replay: Replay, ending: Ending) -> Self {
        let Replay { plays, tape, .. } = replay;
        let breakers: Vec<String> = tape.names.iter().map(name).collect();
        let policies: Vec<PolicyReport> = plays.iter().map(|play| of_play(play, &tape)).collect();
        let recorded = recorded(&tape);
        let timelines = std::iter::once((&tape.lanes, &tape.points))
            .chain(plays.iter().map(|play| (&play.breakers, &play.points)))
            .map(|(lanes, points)| timeline(&breakers, lanes, points))
            .collect();
        let cut_off_at = if let Ending::CutOff(at) = ending { Some(at) } else { None };
        Self {
            began_ms: tape.wall_ms.unwrap_or(0),
            seconds: tape.seconds,
            lost_seconds: tape.lost,
            restarts: tape.starts.saturating_sub(1),
            cut_off_at,
            complete: ending == Ending::Complete,
            unknown_entries: tape.unknown_frames,
            recorded_policies: tape.policies,
            connects: tape.counts.connects,
            failures: tape.counts.failures(),
            shed: tape.counts.shed,
            faults: tape.faults.iter().map(fault).collect(),
            breakers,
            recorded,
            policies,
            timelines,
        }
    }
}

fn recorded(tape: &Tape) -> PolicyReport {
    let transitions: Vec<TransitionReport> = tape
        .changes
        .iter()
        .map(|(breaker, change, at)| TransitionReport {
            at_ms: milliseconds(*at),
            breaker: *breaker,
            from: change.from.name(),
            to: change.to.name(),
            cause: change.cause.clone(),
            why: change.why.clone(),
        })
        .collect();
    let whole = PolicyReport { policy: "as recorded".to_owned(), ..summary(&tape.lanes, tape) };
    PolicyReport { refused_unknown: whole.refused, ..whole.with(transitions, tape) }
}

fn of_play(play: &Play, tape: &Tape) -> PolicyReport {
    let mut transitions: Vec<TransitionReport> = Vec::new();
    for (breaker, lane) in play.breakers.iter().enumerate() {
        transitions.extend(lane.changes.iter().map(|change| TransitionReport {
            at_ms: milliseconds(change.at),
            breaker,
            from: change.from.name(),
            to: change.to.name(),
            cause: change.cause.name().to_owned(),
            why: change.to_string(),
        }));
    }
    transitions.sort_by_key(|transition| transition.at_ms);
    let notices = play.notices.iter().map(|(at, text)| (milliseconds(*at), text.clone()));
    let whole = PolicyReport {
        policy: play.terms.name.clone(),
        notices: notices.collect(),
        unmatched: play.unmatched.iter().cloned().collect(),
        ..summary(&play.breakers, tape)
    };
    whole.with(transitions, tape)
}

/// The sums over all breakers.
fn summary(lanes: &[Lane], tape: &Tape) -> PolicyReport {
    let sum = |of: fn(&Lane) -> u64| lanes.iter().map(of).sum();
    let good = |lane: &Lane| rounded(lane.good);
    // What concerns no policy was let through as before.
    let others = tape.lanes.iter().enumerate();
    let is_other = |breaker: usize| lanes.get(breaker).is_none_or(|lane| !lane.is_matched);
    let leaked_by_others: u64 =
        others.filter(|(breaker, _)| is_other(*breaker)).map(|(_, lane)| lane.leaked).sum();
    PolicyReport {
        policy: String::new(),
        trips: 0,
        refused: sum(|lane| lane.refused),
        refused_good: rounded(lanes.iter().map(|lane| lane.good).sum()),
        refused_unknown: rounded(lanes.iter().map(|lane| lane.unknown).sum()),
        leaked: sum(|lane| lane.leaked) + leaked_by_others,
        faults_detected: 0,
        detected_ms: Vec::new(),
        flaps: 0,
        breakers: (0..tape.lanes.len())
            .map(|breaker| lanes.get(breaker).filter(|lane| lane.is_matched))
            .map(|lane| lane.map(|lane| (lane.refused, good(lane))))
            .collect(),
        transitions: Vec::new(),
        notices: Vec::new(),
        unmatched: Vec::new(),
    }
}

impl PolicyReport {
    /// With what follows from changes of state, in order of time.
    fn with(self, transitions: Vec<TransitionReport>, tape: &Tape) -> Self {
        let trips = || transitions.iter().filter(|transition| is_trip(transition));
        let detected = |fault: &Fault| {
            let trip = trips()
                .find(|trip| trip.breaker == fault.breaker && fault.explains(trip.at_ms / 1000))?;
            Some(trip.at_ms.saturating_sub(fault.from * 1000))
        };
        let detected_ms: Vec<Option<u64>> = tape.faults.iter().map(detected).collect();
        let flaps = |breaker: usize| {
            let own = trips().filter(|trip| trip.breaker == breaker).count();
            let faults = tape.faults.iter().filter(|fault| fault.breaker == breaker).count();
            own.saturating_sub(faults.max(1)) as u64
        };
        Self {
            trips: trips().count() as u64,
            faults_detected: detected_ms.iter().flatten().count() as u64,
            detected_ms,
            flaps: (0..tape.lanes.len()).map(flaps).sum(),
            transitions,
            ..self
        }
    }
}

/// Whether something that let everything through does not any more.
fn is_trip(transition: &TransitionReport) -> bool {
    let is = |name: &str, states: [State; 2]| states.iter().any(|state| state.name() == name);
    is(transition.to, [State::Open, State::Throttled])
        && is(transition.from, [State::Closed, State::Recovering])
}

fn fault(fault: &Fault) -> FaultReport {
    let Fault { breaker, from, to, failures } = *fault;
    FaultReport { breaker, from_ms: from * 1000, to_ms: to * 1000, failures }
}

fn timeline(breakers: &[String], lanes: &[Lane], points: &[Point]) -> Timeline {
    let lanes = breakers.iter().zip(lanes).filter(|(_, lane)| lane.is_matched);
    Timeline {
        lanes: lanes.map(|(name, lane)| (name.clone(), lane.states.clone())).collect(),
        points: points.to_vec(),
    }
}

fn name(name: &Name) -> String {
    let Name { caller, service, endpoint, network, .. } = name;
    let network = network.as_ref().map_or_else(String::new, |network| format!(" in {network}"));
    format!("{caller} calling {service} at {endpoint}{network}")
}

fn milliseconds(at: Monotonic) -> u64 {
    at.as_nanos() / 1_000_000
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sum of shares of counts"
)]
fn rounded(sum: f64) -> u64 {
    sum.round() as u64
}
