//! Policy files: refused in one line with its place, or taken and then good for an engine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::Monotonic;

use crate::config::{Binding, Config, ConfigError, Source};
use crate::engine::{CellId, Counts, Engine, Place, Policy, Sample};

/// The bytes are the file.
pub(super) fn run(data: &[u8]) {
    match Source::new(Path::new(FILE), None).parse(data) {
        Ok(config) => judge(&config),
        Err(error) => judge_complaint(&error, data),
    }
}

fn judge(config: &Config) {
    assert_eq!(config.changes(config), [""; 0], "a file is like itself");
    let mut engine = Engine::new(1, config.node.rules.clone());
    for (number, binding) in (0..).zip(&config.bindings) {
        assert!(binding.caller < config.callers.len() && binding.service < config.services.len());
        judge_explicit(binding);
        let place = Place { caller: number, service: number, endpoint: number };
        engine.insert(CellId(number), place, Arc::clone(&binding.policy), Monotonic::default());
    }
    let counts = Counts { connects: 9, refused: 9, ..Counts::default() };
    let failing = Sample { counts, failure_run: 9, failure_bursts: 1, ..Sample::default() };
    let mut now = Monotonic::default();
    for wait in WAITS {
        now = now.plus(wait);
        for number in (0..).take(config.bindings.len()) {
            engine.observe(CellId(number), &failing, now);
        }
        engine.handle_timeout(now);
        assert!(engine.poll_timeout().is_none_or(|due| due > now));
        while engine.poll_transition().is_some() {}
    }
}

/// What `shedder explain` shows of the rules in force makes the same policy.
fn judge_explicit(binding: &Binding) {
    let text = format!("{ENDS}{}\n", binding.rules.join("\n"));
    let again = Config::parse(FILE, &text).unwrap_or_else(|error| unreachable!("{error}\n{text}"));
    let (again, policy) = (&*again.bindings[0].policy, &*binding.policy);
    let (name, mode, enforce_percent) = (policy.name.clone(), policy.mode, policy.enforce_percent);
    let again = Policy { name, mode, enforce_percent, ..again.clone() };
    assert!(again.has_rules_of(policy), "{again:?}\n{policy:?}\n{text}");
}

fn judge_complaint(error: &ConfigError, data: &[u8]) {
    let said = error.to_string();
    assert!(!said.contains(['\n', '\r']), "{said:?}");
    if let Some((line, column)) = error.place {
        let lines = data.split(|byte| *byte == b'\n').count();
        assert!((1..=lines).contains(&line) && (1..=data.len() + 1).contains(&column), "{said:?}");
    }
}

const FILE: &str = "fuzz.toml";
const ENDS: &str = "
[[caller]]
name = \"web\"
unit = \"web.service\"

[[service]]
name = \"db\"
endpoints = [\"10.0.0.11:5432\", \"10.0.0.12:5432\"]

[[policy]]
caller = \"web\"
service = \"db\"
";
const WAITS: [Duration; 5] = [
    Duration::from_millis(1),
    Duration::from_millis(100),
    Duration::from_secs(5),
    Duration::from_mins(1),
    Duration::from_hours(2),
];
