//! What Prometheus makes of it: its own tool judges the text and the rules, and a real one scrapes a
//! real daemon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use shedder_tests::prometheus::{Prometheus, promtool};

use crate::metrics::{scrape, with_pages};
use crate::scene::{LASTING, backend, caller, open};

#[test]
fn promtool_finds_no_fault_with_the_text() {
    let (mut caller, cgroup) = caller("text");
    let backend = backend(Behaviour::Refuse);
    let odd = with_pages("", &cgroup, &[backend.addr()], LASTING)
        .replace("\"app\"", r#""a \"quoted\" \\ name""#);
    let daemon = Daemon::start(&odd).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
    let text = scrape(&daemon).text;
    assert!(text.contains(r#"caller="a \"quoted\" \\ name""#), "{text}");
    assert_accepts(&["check", "metrics"], &text);
    // It would say so.
    let broken = promtool(&["check", "metrics"], "no_help 1\n").expect("it runs");
    assert!(!broken.status.success() || !broken.stdout.is_empty());
}

#[test]
fn promtool_finds_no_fault_with_the_alerts() {
    let rules = deployed("alerts.yml");
    let tests = deployed("alerts.test.yml");
    assert_accepts(&["check", "rules", "--lint-fatal", text(&rules)], "");
    assert_accepts(&["test", "rules", text(&tests)], "");
}

/// From a trip to an alert, and every question of the dashboard is one that Prometheus understands.
#[test]
fn a_real_prometheus_scrapes_and_alerts() {
    let (mut caller, cgroup) = caller("scraped");
    let backend = backend(Behaviour::Refuse);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let pages = daemon.pages().expect("it has pages");
    let prometheus = Prometheus::start(pages, &deployed("alerts.yml")).expect("it starts");
    let has = |expression: &str| {
        let values = prometheus.query(expression).expect("it answers");
        values.first().is_some_and(|value| value["value"][1] == "1")
    };
    // It looks for its targets after five seconds.
    eventually("it is scraped", || has("up{job=\"shedder\"}"));
    assert!(!prometheus.alerts().expect("it answers").iter().any(|(name, _)| name == OPEN));
    drop(open(&daemon, &mut caller, backend.addr()));
    eventually("it knows", || has("shedder_breaker_state{state=\"open\",service=\"db\"}"));
    eventually("it alerts", || {
        let alerts = prometheus.alerts().expect("it answers");
        alerts.contains(&(OPEN.to_owned(), "pending".to_owned()))
    });
    for expression in dashboard_expressions() {
        prometheus.query(&expression).unwrap_or_else(|error| panic!("{expression}: {error:#}"));
    }
}

/// Dashboard and alerts name only families there are.
#[test]
fn nothing_is_asked_for_that_is_not_there() {
    let known: Vec<&str> = shedder_user::metrics::families().map(|family| family.name).collect();
    let mut asked = dashboard_expressions();
    assert!(asked.len() >= 15, "{asked:?}");
    asked.push(std::fs::read_to_string(deployed("alerts.yml")).expect("it is there"));
    for text in asked {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let is_family = |word: &&str| {
            ["shedder_", "circuit_breaker_", "process_"].iter().any(|start| word.starts_with(start))
        };
        for name in words.filter(is_family) {
            let ends = ["_bucket", "_sum", "_count"];
            let base = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(known.contains(&base), "{name} in {text}");
        }
    }
}

/// An alert that is never seen to fire is no alert.
#[test]
fn every_alert_has_a_test_in_which_it_fires() {
    let read = |name: &str| std::fs::read_to_string(deployed(name)).expect("it is there");
    let (rules, tests) = (read("alerts.yml"), read("alerts.test.yml"));
    let fires = |alert: &str| {
        let mut cases = tests.split("alertname: ").skip(1);
        cases.any(|case| case.starts_with(&format!("{alert}\n")) && case.contains("exp_labels"))
    };
    let alerts: Vec<&str> =
        rules.split("- alert: ").skip(1).filter_map(|it| it.lines().next()).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        assert!(fires(alert), "{alert}");
    }
}

#[expect(clippy::panic, reason = "a helper of tests fails as they do")]
fn eventually(what: &str, mut has_come: impl FnMut() -> bool) {
    for _ in 0..1_200 {
        if has_come() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain: {what}");
}

fn dashboard_expressions() -> Vec<String> {
    let file = directory().join("grafana/shedder.json");
    let dashboard = std::fs::read_to_string(file).expect("it is there");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expression = |target: &serde_json::Value| {
        let text = target["expr"].as_str().expect("an expression");
        text.replace("$__rate_interval", "1m").replace("$caller", ".*").replace("$service", ".*")
    };
    targets.map(expression).collect()
}

fn assert_accepts(arguments: &[&str], input: &str) {
    let output = promtool(arguments, input).expect("promtool is there");
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    let is_silent = arguments != ["check", "metrics"] || said.is_empty();
    assert!(output.status.success() && is_silent, "promtool {arguments:?}: {said}");
}

fn deployed(name: &str) -> PathBuf {
    directory().join("prometheus").join(name)
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

const OPEN: &str = "ShedderBreakerOpen";
