//! The bench measures everything it names, however little time it is given.

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
