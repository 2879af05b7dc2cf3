//! What policies would have done about recordings made up for the purpose, and about the one of the
//! demo.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{Config, Preset};
use crate::engine::{Counts, Sample, State};
use crate::recording::tests::{cases, frames as sound_frames};
use crate::recording::{Change, Ending, Frame, Name, Reader, Second, Start};

/// A recording of one cell, a second an entry.
fn play(policy: &str, seconds: &[Second]) -> Report {
    let terms = Terms::file("it.toml", config(policy));
    play_frames(vec![terms], frames(seconds))
}

fn play_frames(terms: Vec<Terms>, frames: Vec<Frame>) -> Report {
    let mut replay = Replay::new(terms);
    for frame in frames {
        replay.take(frame, 0);
    }
    replay.finish(Ending::Complete)
}

fn frames(seconds: &[Second]) -> Vec<Frame> {
    let mut frames = vec![Frame::Start(start()), Frame::Cell(name("10.0.0.1:5432"))];
    frames.extend(
        (0..)
            .zip(seconds)
            .map(|(second, evidence)| Frame::Second { second, cells: vec![(0, evidence.clone())] }),
    );
    frames
}

fn start() -> Start {
    Start { wall_ms: 1_700_000_000_000, tick_ms: 100, version: "0.1.0".to_owned() }
}

fn name(endpoint: &str) -> Name {
    Name {
        caller: "web".to_owned(),
        service: "db".to_owned(),
        endpoint: endpoint.parse().expect("an address"),
        network: None,
        policy: "web to db".to_owned(),
        observes: true,
    }
}

fn config(rules: &str) -> Config {
    let text = format!(
        "[[caller]]\nname = \"web\"\ncgroups = [\"/web\"]\n[[service]]\nname = \"db\"\nendpoints = [\"10.0.0.1:5432\"]\n[[policy]]\ncaller = \"web\"\nservice = \"db\"\nsafety = {{ max_open_percent = 100, lone = \"open\", scope = \"cell\", false_refusals = 0 }}\n{rules}"
    );
    Config::parse("it.toml", &text).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Ten calls, of which so many were refused.
fn calls(refused: u64) -> Second {
    let successes = 10 - refused;
    let counts = Counts { connects: 10, successes, refused, ..Counts::default() };
    let established = u32::try_from(successes).expect("ten at most");
    let connect = if established > 0 { vec![(30, established)] } else { Vec::new() };
    let sample = Sample { counts, connect, failure_run: refused, ..Sample::default() };
    Second { sample, longest_run: refused }
}

fn seconds(parts: &[(usize, u64)]) -> Vec<Second> {
    parts.iter().flat_map(|(times, refused)| vec![calls(*refused); *times]).collect()
}

/// Five in a row open; probed after two seconds, with one token; back at once.
const FIVE: &str = "trip = { consecutive = 5, without = [\"failure_share\"] }\nopen = { base = \"2s\", max = \"2s\", jitter = 0.0 }\nhalf_open = { tokens = 1, successes = 1, deadline = \"1s\" }\nrecovery.ramp = \"0s\"\n";

#[test]
fn what_a_policy_would_have_refused_is_what_was_recorded_meanwhile() {
    let report = play(FIVE, &seconds(&[(5, 0), (10, 10), (10, 0)]));
    let [policy] = &report.policies[..] else { unreachable!("one was asked for") };
    assert_eq!((report.connects, report.failures, report.faults.len()), (250, 100, 1));
    assert_eq!((policy.trips, policy.faults_detected, policy.flaps), (1, 1, 0));
    // The fifth failure comes half a second after the first.
    let detected = policy.detected_ms[0].expect("it is detected");
    assert!((400..=600).contains(&detected), "{detected}");
    // Everything else is refused but a probe for each open time; then everything passes again.
    let probes = policy.transitions.iter().filter(|change| change.to == "half_open").count() as u64;
    assert!((4..=6).contains(&probes), "{policy:?}");
    assert!((5..=12).contains(&policy.leaked), "{policy:?}");
    assert!(policy.refused - policy.refused_good <= 100 - policy.leaked, "{policy:?}");
    assert!(policy.refused_good < 25, "two seconds at most after the end: {policy:?}");
    assert_eq!(policy.refused_unknown, 0);
    assert_eq!(policy.transitions.last().expect("there are some").to, "closed");
}

#[test]
fn a_policy_that_does_not_trip_refuses_nothing_and_leaks_everything() {
    let never = "trip = { consecutive = 100000, without = [\"failure_share\"] }\n";
    let report = play(never, &seconds(&[(5, 0), (10, 10), (5, 3)]));
    let [policy] = &report.policies[..] else { unreachable!("one was asked for") };
    assert_eq!((policy.trips, policy.refused, policy.leaked), (0, 0, 115));
    assert_eq!(policy.detected_ms, [None]);
}

/// Those who refuse where little fails refuse what would have succeeded.
#[test]
fn a_policy_too_strict_is_shown_as_such() {
    let strict = "trip = { failure_share = { at_least = 0.1, confidence = 0.8, window = \"5s\" }, without = [\"consecutive\"] }\nopen = { base = \"5s\", max = \"5s\", jitter = 0.0 }\n";
    let report = play(strict, &seconds(&[(60, 2)]));
    let [policy] = &report.policies[..] else { unreachable!("one was asked for") };
    assert!(policy.trips > 0 && policy.refused > 100, "{policy:?}");
    let share = policy.refused_good * 100 / policy.refused;
    assert!((75..=85).contains(&share), "{share} %");
}

/// A run that ended within the second in which it happened is seen nevertheless.
#[test]
fn a_run_within_a_second_is_seen() {
    let mut mixed = calls(6);
    mixed.sample.failure_run = 0;
    let trips = |longest_run| {
        let second = Second { longest_run, ..mixed.clone() };
        let report = play(FIVE, &[calls(0), second, calls(0)]);
        report.policies[0].trips
    };
    assert_eq!([trips(4), trips(5)], [0, 1]);
}

/// What was shed when it was recorded has no outcome, and nobody pretends that it had.
#[test]
fn what_was_shed_then_is_unknown() {
    let mut shed = Second::default();
    shed.sample.counts = Counts { connects: 10, shed: 10, ..Counts::default() };
    let mut all = seconds(&[(3, 0), (1, 10)]);
    all.extend(vec![shed; 3]);
    let report = play(FIVE, &all);
    let [policy] = &report.policies[..] else { unreachable!("one was asked for") };
    assert_eq!(
        (report.shed, report.recorded.refused, report.recorded.refused_unknown),
        (30, 30, 30)
    );
    // The fifth of ten failures opens for two seconds, then there are probes nobody heard of.
    assert!((25..=34).contains(&policy.refused), "{policy:?}");
    assert!((20..=30).contains(&policy.refused_unknown), "{policy:?}");
    assert_eq!(policy.refused_good, 0);
}

#[test]
fn what_matches_nothing_is_named() {
    let mut frames = frames(&seconds(&[(2, 0), (5, 10)]));
    frames.insert(2, Frame::Cell(Name { service: "cache".to_owned(), ..name("10.0.0.9:1") }));
    frames.insert(3, Frame::Cell(name("10.0.0.2:5432")));
    frames.insert(4, Frame::Cell(Name { caller: "batch".to_owned(), ..name("10.0.0.1:5432") }));
    let terms = vec![Terms::file("it.toml", config(FIVE)), preset("default")];
    let report = play_frames(terms, frames);
    let [own, preset] = &report.policies[..] else { unreachable!("two were asked for") };
    assert_eq!(
        own.unmatched,
        [
            "batch calling db at 10.0.0.1:5432: it has no caller batch",
            "web calling cache at 10.0.0.9:1: it has no service cache",
            "web calling db at 10.0.0.2:5432: its service db does not list 10.0.0.2:5432",
        ]
    );
    assert_eq!((own.trips, preset.unmatched.len()), (1, 0));
    assert_eq!(own.breakers.iter().flatten().count(), 1);
}

/// A daemon that begins anew knows nothing, and so does the engine.
#[test]
fn a_restart_begins_anew() {
    let mut frames = frames(&seconds(&[(2, 0), (2, 10)]));
    frames.extend(self::frames(&seconds(&[(2, 10)])));
    let mut replay = Replay::new(vec![Terms::file("it.toml", config(FIVE))]);
    let mut starts = 0;
    for frame in frames {
        starts += u64::from(matches!(frame, Frame::Start(_)));
        replay.take(frame, (starts - 1) * 20);
    }
    let report = replay.finish(Ending::Abrupt);
    assert_eq!((report.restarts, report.seconds, report.complete), (1, 22, false));
    assert_eq!(report.policies[0].trips, 2, "{:?}", report.policies[0].transitions);
    assert_eq!(report.faults.len(), 2);
}

#[test]
fn what_the_daemon_did_is_told_besides() {
    let mut frames = frames(&seconds(&[(2, 0), (3, 10)]));
    frames.push(Frame::Change(Change {
        cell: 0,
        at_ms: 4_200,
        from: State::Closed,
        to: State::Open,
        cause: "consecutive".to_owned(),
        why: "closed -> open".to_owned(),
    }));
    let report = play_frames(Vec::new(), frames);
    assert_eq!(report.recorded.detected_ms, [Some(2_200)]);
    assert_eq!((report.recorded.trips, report.recorded.leaked), (1, 30));
    let drawn = picture("it.rec", &report);
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
    assert!(drawn.contains("policy as recorded") && !drawn.contains("NaN"));
}

/// The recording of the demo, under two policies: one backend refuses, one is slow, one hangs.
#[test]
fn the_demo_can_be_replayed() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/demo.rec");
    let bytes = std::fs::read(file).expect("it is there");
    assert!(bytes.len() < 100_000);
    let play = || {
        let mut replay = Replay::new(vec![preset("default"), preset("contract-200")]);
        let mut reader = Reader::new(&bytes[..]).expect("it is one");
        while let Some(frame) = reader.read().expect("it is sound") {
            replay.take(frame, reader.base());
        }
        replay.finish(reader.ending().expect("it has ended"))
    };
    let report = play();
    assert!(report.complete && report.shed == 0, "it was made observing");
    assert_eq!(report.breakers.len(), 3);
    assert_eq!((report.faults.len(), report.recorded.trips), (3, 0), "{:?}", report.faults);
    // The slow one fails nobody, and only one of the policies has a rule about latency.
    let detected: Vec<u64> = report.policies.iter().map(|policy| policy.faults_detected).collect();
    assert_eq!(detected, [2, 3]);
    for policy in &report.policies {
        assert!(policy.leaked < report.failures && policy.refused > 0, "{policy:?}");
    }
    let json = |report: &Report| serde_json::to_string(report).expect("it has only text keys");
    assert_eq!(json(&report), json(&play()), "the same again");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Whatever a sound recording holds, it can be played, and the sums are those of what there is.
    #[test]
    fn every_sound_recording_can_be_played(frames in sound_frames()) {
        let terms = vec![preset("default"), preset("contract-200"), Terms::file("it.toml", config(FIVE))];
        let report = play_frames(terms, frames);
        let failures = report.failures;
        for policy in &report.policies {
            prop_assert!(policy.refused <= report.connects, "{policy:?}");
            prop_assert!(policy.refused_good + policy.refused_unknown <= policy.refused + 1, "{policy:?}");
            prop_assert!(policy.leaked <= failures, "{policy:?}");
            prop_assert!(policy.faults_detected <= report.faults.len() as u64);
        }
    }
}

/// A recording says nothing about a moment longer than it lasts.
#[test]
fn silence_lets_time_pass() {
    let mut frames = frames(&seconds(&[(2, 0), (2, 10)]));
    frames.push(Frame::Second { second: 30, cells: vec![(0, calls(0))] });
    let report = play_frames(vec![Terms::file("it.toml", config(FIVE))], frames);
    let changes: Vec<(u64, &str)> = report.policies[0]
        .transitions
        .iter()
        .map(|change| (change.at_ms / 1000, change.to))
        .collect();
    assert_eq!(changes, [(2, "open"), (4, "half_open"), (30, "closed")]);
    assert_eq!(report.seconds, Duration::from_secs(31).as_secs());
}

fn preset(name: &str) -> Terms {
    Terms::preset(Preset::find(name).expect("there is one"))
}
