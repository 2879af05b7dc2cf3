//! The bench measures everything it names, however little time it is given.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn every_comparison_is_measured_and_cleaned_up_after() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["connect", "--rounds", "8", "--ops", "100", "--json"])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What it could not clean up it complains about.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let report: Value = serde_json::from_slice(&output.stdout).expect("nothing but JSON");
    let figures = report["figures"].as_array().expect("a list");
    let mut titles = vec!["server asleep", "8 callers × 50 endpoints", "bulk", "refused"];
    if report["cpus"].as_u64() > Some(1) {
        titles.push("two CPUs at once");
    }
    for about in titles {
        let found = figures
            .iter()
            .find(|figures| figures["title"].as_str().is_some_and(|title| title.contains(about)));
        let arms = found.and_then(|found| found["arms"].as_array());
        let guarded = arms.and_then(|arms| arms.get(1)).unwrap_or_else(|| panic!("no {about}"));
        assert!(guarded["p50_ratio"]["median"].as_f64() > Some(0.0), "{guarded}");
    }
}

/// What guards cost, without those that would have to be fetched.
#[test]
fn the_cost_of_guards_is_measured_and_kept() {
    let directory = tempfile::tempdir().expect("there is room");
    let arguments = ["--guards", "none,shedder", "--rounds", "1", "--seconds", "0.5"];
    let kept = peers(directory.path(), "cost", &[&arguments[..], &["--rates", "200"]].concat());
    let runs = kept["figures"]["runs"].as_array().expect("a list");
    assert_eq!(runs.len(), 4, "both at a rate, and as many as go through: {runs:#?}");
    for run in runs {
        let least = if run["rate"].is_null() { 1 } else { 100 };
        for (calls, has_guard) in [("guarded", run["guard"] == "Shedder"), ("bare", false)] {
            let calls = &run[calls];
            assert_eq!(calls["failed"], 0, "{run}");
            assert!(calls["count"].as_u64() >= Some(least), "{run}");
            assert!(calls["backends_cpu_ns"].as_u64() > Some(0), "{run}");
            assert_eq!(calls["guard_cpu_ns"].as_u64() > Some(0), has_guard, "{run}");
        }
    }
    let memory = kept["figures"]["memory"].as_array().expect("a list");
    let of_shedder =
        memory.iter().find(|memory| memory["guard"] == "Shedder").expect("it is there");
    assert!(of_shedder["thousand_kib"].as_u64() > Some(1000), "{of_shedder}");
}

/// A fault under shedder and without it, at once.
#[test]
fn a_fault_is_seen_by_callers_and_shed_by_shedder_alone() {
    let directory = tempfile::tempdir().expect("there is room");
    let arguments = ["--guards", "none,shedder", "--only", "reset", "--repeat", "1"];
    let kept = peers(directory.path(), "protection", &arguments);
    let trials = kept["figures"]["trials"].as_array().expect("a list");
    let of = |guard: &str| {
        let trial = trials.iter().find(|trial| trial["guard"] == guard);
        trial.unwrap_or_else(|| panic!("{guard} is missing: {trials:#?}"))
    };
    let (bare, shedder) = (of("None"), of("Shedder"));
    // Every fifth of the calls of twelve seconds.
    let failed = bare["failed"].as_u64().expect("a number");
    assert!((230..=250).contains(&failed), "{bare}");
    assert_eq!(bare["failed_in_health"], 0, "{bare}");
    assert!(bare["shed_after_s"].is_null(), "{bare}");
    assert!(shedder["failed"].as_u64() < Some(failed / 2), "{shedder}");
    assert!(shedder["shed_after_s"].as_f64().is_some(), "{shedder}");
}

/// Runs a part; what it kept.
fn peers(directory: &Path, part: &str, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["peers", "--keep-in"])
        .arg(directory)
        .arg(part)
        .args(arguments)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What it could not clean up it complains about.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let kept = fs::read(directory.join(format!("{part}.json"))).expect("it is kept");
    serde_json::from_slice(&kept).expect("it is JSON")
}
