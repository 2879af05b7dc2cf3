//! Whole scenarios: those of the repository keep their bounds, and nothing depends on anything but
//! scenario, policy and seed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let entries = fs::read_dir(directory).expect("the scenarios are part of the repository");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

fn load(path: &Path) -> Scenario {
    let text = fs::read_to_string(path).expect("it can be read");
    Scenario::parse(&path.display().to_string(), &text).unwrap_or_else(|error| panic!("{error}"))
}

fn play(scenario: &Scenario, seed: u64) -> PolicyReport {
    let mut simulation = Simulation::new(scenario, Arc::clone(&scenario.policy), seed);
    assert!(simulation.play(scenario.duration));
    simulation.report()
}

#[test]
#[expect(clippy::print_stdout, reason = "what was measured stands beside its bound")]
fn every_scenario_keeps_its_bounds() {
    let mut broken = Vec::new();
    for path in files() {
        let scenario = load(&path);
        let bounds = play(&scenario, scenario.seed).bounds(&scenario);
        assert!(!bounds.is_empty(), "{} expects nothing", path.display());
        for Bound { name, measured, bound, is_kept } in bounds {
            let line = format!("{}: {name} is {measured}, expected {bound}", scenario.name);
            println!("{line}");
            if !is_kept {
                broken.push(line);
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Luck must not decide whether a scenario keeps its bounds.
#[test]
fn bounds_hold_for_another_seed() {
    let mut broken = Vec::new();
    for path in files() {
        let scenario = load(&path);
        let bounds = play(&scenario, scenario.seed + 1).bounds(&scenario);
        for Bound { name, measured, bound, .. } in bounds.iter().filter(|it| !it.is_kept) {
            broken.push(format!("{}: {name} is {measured}, expected {bound}", scenario.name));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_same_scenario_and_seed_give_the_same_report() {
    for path in files().iter().filter(|path| path.to_string_lossy().contains("ch-1")) {
        let scenario = load(path);
        let once = || serde_json::to_string(&play(&scenario, 7)).expect("numbers and text");
        let report = once();
        assert_eq!(report, once(), "{}", path.display());
        let in_steps = {
            let mut simulation = Simulation::new(&scenario, Arc::clone(&scenario.policy), 7);
            for part in 1..=13 {
                simulation.play(scenario.duration * part / 13);
            }
            serde_json::to_string(&simulation.report()).expect("numbers and text")
        };
        assert_eq!(report, in_steps, "{}", path.display());
    }
}

const SMALL: &str = "duration = \"20s\"
[[service]]
name = \"db\"
endpoints = [\"db-1\", \"db-2\"]
[[caller]]
name = \"web\"
rate = 50
[[fault]]
kind = \"refuse\"
endpoints = [\"db-1\"]
from = \"5s\"
to = \"10s\"
";

#[test]
fn complaints_name_file_line_and_column() {
    for (from, to, complaint) in [
        ("rate = 50", "rat = 50", "it.toml:7:1: unknown field `rat`"),
        ("\"refuse\"", "\"refuze\"", "it.toml:9:8: \"refuze\" is no kind of fault"),
        ("[\"db-1\"]\nfrom", "[\"db-3\"]\nfrom", "it.toml:10:14: no endpoint is called"),
        ("to = \"10s\"", "to = \"1s\"", "it.toml:12:6: a fault ends after it begins"),
        (
            "to = \"10s\"",
            "to = \"10s\"\nby = \"1s\"",
            "it.toml:13:6: a fault of kind \"refuse\" has no by",
        ),
        ("rate = 50", "rate = -1.0", "it.toml:7:8: rate is -1, outside 0 to"),
        ("rate = 50\n", "", "it.toml:6:8: caller \"web\" never calls"),
        ("\"20s\"", "\"20\"", "it.toml:1:12: \"20\" is no duration"),
        ("[[fault]]", "[policy]\nopen.bse = \"1s\"\n[[fault]]", "it.toml:9:6: unknown field `bse`"),
    ] {
        let text = SMALL.replacen(from, to, 1);
        let error = Scenario::parse("it.toml", &text).expect_err(&text).to_string();
        assert!(error.starts_with(complaint), "{error}\n{text}");
    }
}

#[test]
fn a_picture_shows_every_breaker_and_is_complete() {
    let scenario = Scenario::parse("small.toml", SMALL).unwrap_or_else(|error| panic!("{error}"));
    let report = Report {
        scenario: scenario.name.clone(),
        summary: "less < more".to_owned(),
        seed: 1,
        duration_ms: 20_000,
        policies: vec![play(&scenario, 1)],
    };
    let picture = picture(&scenario, &report);
    for part in ["web/db-1", "web/db-2", "class=\"open\"", "class=\"success\"", "less &lt; more"] {
        assert!(picture.contains(part), "{part} is missing");
    }
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    assert!(!picture.contains("NaN"));
}

/// Without faults nothing is ever shed, whatever the preset.
#[test]
fn health_is_left_alone_by_every_preset() {
    let text = &SMALL[..SMALL.find("[[fault]]").expect("it has a fault")];
    let scenario = Scenario::parse("health.toml", text).unwrap_or_else(|error| panic!("{error}"));
    for preset in crate::config::presets() {
        let policy =
            crate::engine::Policy { mode: crate::engine::Mode::Enforce, ..preset.policy() };
        let mut simulation = Simulation::new(&scenario, Arc::new(policy), 1);
        assert!(simulation.play(scenario.duration));
        let report = simulation.report();
        assert_eq!((report.shed, report.transitions.len()), (0, 0), "{}", preset.name);
        assert!(report.calls > 900, "{}", report.calls);
    }
}
