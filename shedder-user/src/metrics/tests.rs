//! What the text keeps to whatever it tells.
//!
//! Invariant: what is written here of the format is what `promtool` would say as well.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytemuck::Zeroable as _;
use shedder_common::counters::{NodeRow, SlotCounters};

use super::*;
use crate::engine::State;

fn snapshot(tally: &Tally) -> Snapshot<'_> {
    let counters = SlotCounters {
        refused: 3,
        denied: 2,
        fallbacks: 2,
        fallback_ns: 250_000_000,
        ..SlotCounters::CLEAR
    };
    let forgotten = SlotCounters { refused: 5, ..SlotCounters::CLEAR };
    let mut own = Endpoint::new("web", "db", "10.0.0.1:1".to_owned(), Some("net:[1]"));
    own.take(State::Open, &counters, [0, 0, 0, 1], Some(0.5));
    let mut other = Endpoint::other("web", "db", forgotten);
    other.take(State::Open, &counters, [0, 1, 0, 1], None);
    other.take(State::Closed, &counters, [0, 1, 0, 1], Some(0.25));
    Snapshot {
        version: "1",
        started: 1.5,
        resident: 1,
        cgroups: vec![("web", 2)],
        slots: (3, 10),
        node: NodeRow::zeroed(),
        undecodable: 0,
        untold_ends: 0,
        overruns: 0,
        panics: 2,
        generation: 3,
        control: ControlCounts::default(),
        journal: JournalCounts { written: 1, lost: 0, errors: 0 },
        verdict_age: Duration::from_millis(1),
        calls: Calls::default(),
        unlisted: 2,
        endpoints: vec![own, other],
        delivered: Some(Delivered::default()),
        tallies: vec![("web", "db", tally)],
    }
}

fn tally() -> Tally {
    let mut tally = Tally::new();
    tally.forget(&SlotCounters { refused: 7, ..SlotCounters::CLEAR }, true);
    tally.recover(Duration::from_secs(4));
    tally
}

/// The family a line belongs to, and its labels.
fn series(line: &str) -> (&'static Family, Vec<String>) {
    let (name, labels) = line
        .rsplit_once(' ')
        .expect("a value")
        .0
        .split_once('{')
        .unwrap_or_else(|| (line.split(' ').next().expect("a name"), "}"));
    let family = families()
        .find(|family| {
            let rest = name.strip_prefix(family.name);
            rest == Some("")
                || family.kind == Kind::Histogram
                    && matches!(rest, Some("_bucket" | "_sum" | "_count"))
        })
        .unwrap_or_else(|| panic!("{name} is no family"));
    let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| {
        let (name, _) = label.split_once('=')?;
        (!["le", "network"].contains(&name)).then(|| name.to_owned())
    });
    (family, labels.collect())
}

#[test]
fn every_family_is_there_once_and_with_the_labels_it_says() {
    let tally = tally();
    let text = page(&snapshot(&tally));
    let heads: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let known: BTreeSet<String> =
        families().map(|family| format!("{} {}", family.name, family.kind.name())).collect();
    assert_eq!(heads.len(), known.len());
    assert_eq!(heads.iter().map(|head| (*head).to_owned()).collect::<BTreeSet<_>>(), known);
    let mut with_series = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (family, labels) = series(line);
        assert_eq!(labels.join(", "), family.labels, "{line}");
        with_series.insert(family.name);
    }
    assert_eq!(with_series.len(), known.len(), "the snapshot has something for each");
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(seen.insert(line.rsplit_once(' ').expect("a value").0), "twice: {line}");
    }
}

#[test]
fn names_are_as_the_format_wants_them() {
    for Family { name, kind, help, .. } in families() {
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert!(help.ends_with('.') && !help.contains('\n') && !help.contains('\\'), "{name}");
    }
}

#[test]
fn those_without_series_of_their_own_are_added_up() {
    let tally = tally();
    let text = page(&snapshot(&tally));
    for line in [
        r#"shedder_breaker_state{caller="web",service="db",endpoint="10.0.0.1:1",network="net:[1]",state="open"} 1"#,
        r#"shedder_breaker_state{caller="web",service="db",endpoint="other",state="open"} 1"#,
        r#"shedder_breaker_state{caller="web",service="db",endpoint="other",state="closed"} 1"#,
        r#"shedder_breaker_state{caller="web",service="db",endpoint="other",state="half_open"} 0"#,
        r#"circuit_breaker_state{state="open"} 2"#,
        r#"shedder_outcomes_total{caller="web",service="db",endpoint="other",outcome="refused"} 11"#,
        r#"shedder_connects_total{caller="web",service="db",endpoint="other",action="deny"} 4"#,
        r#"shedder_in_flight{caller="web",service="db",endpoint="other",kind="connections"} 2"#,
        r#"shedder_port_range_usage_ratio{caller="web",service="db",endpoint="other"} 0.25"#,
        // Of all there ever were: the two, the other, and the forgotten of both kinds.
        r#"shedder_failures_total{service="db",class="refused"} 21"#,
        r#"shedder_fallback_duration_seconds_count{caller="web",service="db"} 6"#,
        r#"shedder_fallback_duration_seconds_sum{caller="web",service="db"} 0.75"#,
        r#"shedder_recovery_duration_seconds_bucket{caller="web",service="db",le="5"} 1"#,
        r#"circuit_breaker_recovery_duration_seconds_bucket{le="2.5"} 0"#,
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
    }
}

/// A collector is sent the same series with the same values.
#[test]
fn the_points_are_the_text() {
    let tally = tally();
    let snapshot = snapshot(&tally);
    let text = page(&snapshot);
    let lines: BTreeSet<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let points = crate::telemetry::points(&snapshot, UNIX_EPOCH).as_lines();
    let written: BTreeSet<&str> = points.iter().map(String::as_str).collect();
    assert_eq!(written.difference(&lines).collect::<Vec<_>>(), Vec::<&&str>::new());
    let of_bounds = lines.iter().filter(|line| line.contains("_bucket{")).count();
    assert_eq!((written.len(), points.len()), (lines.len() - of_bounds, points.len()));
}

/// `docs/metrics.md` lists what there is.
#[test]
fn the_list_in_the_documentation_is_the_list_in_the_code() {
    let mut wanted = String::from("| family | type | labels | meaning |\n|---|---|---|---|\n");
    for Family { name, kind, labels, help } in families() {
        writeln!(wanted, "| `{name}` | {} | {labels} | {help} |", kind.name())
            .expect("to a string");
    }
    crate::docs::hold("docs/metrics.md", &wanted);
}
