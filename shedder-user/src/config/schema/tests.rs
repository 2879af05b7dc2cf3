//! The schema says what the parser does: the same keys, types, ranges and defaults.

use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use serde_json::Value;

use super::super::Config;
use super::super::presets::DEFAULT;
use super::validation::faults;
use super::{DURATION, bare, schema};

/// A setting of the schema: where it stands, and what is said about it.
type Setting = (Vec<String>, Value);

#[test]
fn every_file_that_is_good_is_good_by_the_schema() {
    let schema = schema();
    let shown = fs::read_to_string(root("config/shedder.toml")).expect("it is there");
    // All that is commented out, too: every key there is.
    let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let on = |line| if is_setting(line) { &line[1..] } else { line };
    let everything = shown.lines().map(on).collect::<Vec<_>>().join("\n");
    for text in [shown, everything] {
        assert_eq!(faults(&schema, &document(&text)), Vec::<String>::new());
    }
    for (file, text) in scenarios() {
        let scenario = document(&text);
        let mut of_policy = schema["properties"]["policy"]["items"].clone();
        of_policy.as_object_mut().expect("a table").remove("required");
        if let Some(policy) = scenario.get("policy") {
            assert_eq!(faults(&of_policy, policy), Vec::<String>::new(), "{file}");
        }
        if let Some(node) = scenario.get("node") {
            let of_node = &schema["properties"]["node"];
            assert_eq!(faults(of_node, node), Vec::<String>::new(), "{file}");
        }
    }
}

/// The parser lists the keys it knows of each table; the schema lists the same.
#[test]
fn a_key_is_in_both_or_in_neither() {
    let mut tables = vec![(Vec::new(), schema())];
    tables.extend(settings().into_iter().filter(|(_, said)| said["type"] == "object"));
    tables.extend(settings().into_iter().filter_map(|(path, said)| {
        said["items"]["properties"].is_object().then(|| (path, said["items"].clone()))
    }));
    assert!(tables.len() >= 45, "{} tables", tables.len());
    // Headers and attributes have the names that their readers give them.
    let is_open = |path: &[String]| {
        path.last().is_some_and(|name| ["otlp_headers", "attributes"].contains(&name.as_str()))
    };
    for (path, said) in tables.into_iter().filter(|(path, _)| !is_open(path)) {
        assert_eq!(said["additionalProperties"], false, "{path:?}");
        let known = said["properties"].as_object().expect("a table").keys();
        let mut known: Vec<&String> = known.collect();
        let wrong = [path.as_slice(), &["nothing".to_owned()]].concat();
        let error = parse(&file_with(&wrong, "0")).expect_err("no such key");
        let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
        let mut expected: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        known.sort();
        expected.sort_unstable();
        assert_eq!(known, expected, "{path:?}");
    }
}

/// Of what says its range, the ends are taken and what is beyond is not.
#[test]
fn a_range_ends_where_the_parser_says() {
    let mut looked_at = 0;
    for (path, said) in settings() {
        let name = path.join(".");
        for (end, is_upper) in [("minimum", false), ("maximum", true)] {
            let (inside, beyond) = if let Some(bound) = said[format!("x-{end}")].as_str() {
                let bound = humantime::parse_duration(bound).expect("a duration");
                // The kernel holds for whole milliseconds.
                let step = if name.contains("delay") { 1_000_000 } else { 1 };
                let step = std::time::Duration::from_nanos(step);
                let beyond = if is_upper { Some(bound + step) } else { bound.checked_sub(step) };
                let text = |time: std::time::Duration| format!("\"{}ns\"", time.as_nanos());
                (text(bound), beyond.map(text))
            } else if let Some(bound) = said[end].as_f64() {
                let step = if said["type"] == "integer" { 1.0 } else { 0.001 };
                let beyond = if is_upper { bound + step } else { bound - step };
                let text = |number: f64| {
                    if said["type"] == "integer" {
                        format!("{number}")
                    } else {
                        format!("{number:?}")
                    }
                };
                // What is counted is never less than nothing, whatever the range.
                (text(bound), (said["type"] != "integer" || beyond >= 0.0).then(|| text(beyond)))
            } else {
                continue;
            };
            // Ends of a type are no range.
            if beyond.as_deref().is_none_or(|it| it == "256") {
                continue;
            }
            looked_at += 1;
            if let Err(error) = parse(&file_with(&path, &inside)) {
                assert!(is_about_another(&error), "{name} = {inside}: {error}");
            }
            if let Some(beyond) = beyond {
                assert!(parse(&file_with(&path, &beyond)).is_err(), "{name} = {beyond}");
            }
        }
    }
    assert!(looked_at > 200, "{looked_at}");
}

/// What is said to be the default changes nothing when it is written.
#[test]
fn a_default_is_what_holds_without_it() {
    let mut looked_at = 0;
    for (path, said) in settings() {
        let Some(default) =
            said.get("default").filter(|default| **default != Value::Array(Vec::new()))
        else {
            continue;
        };
        let name = path.join(".");
        let without =
            parse(&file_with_table_of(&path)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let with = parse(&file_with(&path, &default.to_string()));
        let with = match with {
            Ok(with) => with,
            Err(error) if is_about_another(&error) => continue,
            Err(error) => panic!("{name} = {default}: {error}"),
        };
        assert_eq!(with.node, without.node, "{name}");
        assert_eq!(with.services, without.services, "{name}");
        assert_eq!(with.bindings[0].policy, without.bindings[0].policy, "{name}");
        looked_at += 1;
    }
    assert!(looked_at > 150, "{looked_at}");
}

#[test]
fn every_setting_is_described() {
    for (path, said) in settings() {
        let description = said["description"].as_str().unwrap_or_else(|| panic!("{path:?}"));
        assert!(
            description.ends_with('.') && !description.contains('\n'),
            "{path:?}: {description}"
        );
    }
    let schema = schema();
    let tick = &schema["properties"]["node"]["properties"]["tick"]["description"];
    assert!(tick.as_str().expect("text").ends_with(" 10ms to 10s. Default: \"100ms\"."), "{tick}");
}

#[test]
fn presets_and_rules_are_named() {
    let schema = schema();
    let policy = &schema["properties"]["policy"]["items"]["properties"];
    assert!(policy["preset"]["enum"].as_array().expect("names").contains(&DEFAULT.into()));
    let without = &policy["trip"]["properties"]["without"]["items"]["enum"];
    assert!(without.as_array().expect("names").contains(&"consecutive".into()));
}

#[test]
fn what_is_wrong_is_wrong_by_the_schema() {
    for (lines, fault) in [
        ("[node]\ntik = \"1s\"", "additionalProperties"),
        ("[node]\ntick = 1", "type"),
        ("[node]\ntick = \"soon\"", "pattern"),
        ("[node]\nmax_endpoints = 0", "minimum"),
        ("[[policy]]\ncaller = \"a\"", "required"),
        ("[[policy]]\ncaller = \"a\"\nservice = \"b\"\nmode = \"watch\"", "enum"),
    ] {
        let faults = faults(&schema(), &document(lines));
        assert!(faults.iter().any(|told| told.contains(fault)), "{lines}: {faults:?}");
    }
}

proptest! {
    /// Without fractions, which are rounded, and with numbers that fit.
    #[test]
    fn a_text_of_the_pattern_is_a_duration(text in "( ?[0-9]{1,4} ?(ns|us|ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)){1,3} ?") {
        prop_assert!(regex::Regex::new(DURATION).expect("a pattern").is_match(&text));
        prop_assert!(humantime::parse_duration(&text).is_ok(), "{text}");
    }
}

/// Every setting there is, tables too.
fn settings() -> Vec<Setting> {
    let mut found = Vec::new();
    collect(&bare(), &mut Vec::new(), &mut found);
    found
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Setting>) {
    let table = schema.get("items").filter(|items| items["properties"].is_object());
    let table = table.unwrap_or(schema);
    for (key, said) in table["properties"].as_object().into_iter().flatten() {
        path.push(key.clone());
        found.push((path.clone(), said.clone()));
        collect(said, path, found);
        path.pop();
    }
}

/// A good file in which the setting at `path` is `value`.
fn file_with(path: &[String], value: &str) -> String {
    let (key, table) = path.split_last().expect("a setting");
    let mut file = document(&file_with_table_of(path));
    let mut here = &mut file;
    for name in table {
        let next = &mut here[name];
        here = if next.is_array() { &mut next[0] } else { next };
    }
    // Parsed together with its key, because a value alone is no document.
    here[key] = document(&format!("it = {value}"))["it"].clone();
    toml::to_string(&file).expect("it came from one")
}

/// A good file in which there is the table that the setting at `path` is in, and what that needs.
fn file_with_table_of(path: &[String]) -> String {
    let mut lines = String::from(
        "[[caller]]\nname = \"a\"\ncgroups = [\"/a\"]\n[[service]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n",
    );
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if path.contains(&"errors") {
        lines.push_str("protocol = \"redis\"\n");
    }
    lines.push_str("[[policy]]\ncaller = \"a\"\nservice = \"b\"\n");
    if let ["policy", table @ .., key] = path.as_slice() {
        lines.push_str(&table_with_needs(table, key));
    }
    if let ["node", table @ .., _] = path.as_slice() {
        let table = [&["node"], table].concat().join(".");
        writeln!(lines, "[{table}]").expect("to a string");
    }
    lines
}

/// What a table of a policy needs besides the setting `key`.
fn table_with_needs(table: &[&str], key: &str) -> String {
    let mut needs = Vec::new();
    match table {
        [.., "failure_share"] if key != "at_least" && key != "over" => needs.push("at_least = 0.5"),
        [.., "latency" | "slow_share"] if !key.starts_with("over") => needs.push("over = \"1s\""),
        [.., "apdex"] if key != "within" => needs.push("within = \"1s\""),
        [.., "outlier"] if key == "quantile" || key == "floor_latency" => {
            needs.push("measure = \"connect\"");
        }
        ["open"] if key.starts_with("delay") => {
            needs.push("action = \"delay\"");
            if key != "delay" {
                needs.push("delay = \"1s\"");
            }
        }
        ["half_open"] => match key {
            "success_share" => needs.extend(["quantile = 0.9", "at_most = \"1s\""]),
            "quantile" => needs.extend(["success_share = 0.9", "at_most = \"1s\""]),
            "at_most" => needs.extend(["success_share = 0.9", "quantile = 0.9"]),
            "tokens" => needs.push("successes = 1"),
            _ => {}
        },
        _ => {}
    }
    if key == "every" {
        needs.push("for = 2");
    }
    let mut lines = String::new();
    if !table.is_empty() {
        writeln!(lines, "[policy.{}]", table.join(".")).expect("to a string");
    }
    for need in needs {
        lines.push_str(need);
        lines.push('\n');
    }
    if table == ["trip", "all"] {
        lines.push_str("consecutive = 3\n");
    }
    lines
}

/// Whether a complaint is about how two settings fit, not about the range of one.
fn is_about_another(error: &str) -> bool {
    [
        "less than",
        "more than the",
        "go together",
        "up to its cap",
        "one of them",
        "compares rates",
        "does nothing by itself",
    ]
    .iter()
    .any(|part| error.contains(part))
}

fn parse(text: &str) -> Result<Config, String> {
    Config::parse("f", text).map_err(|error| format!("{error}\n{text}"))
}

fn document(text: &str) -> Value {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn scenarios() -> Vec<(String, String)> {
    let files = fs::read_dir(root("scenarios")).expect("they are there").flatten();
    let files = files.map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    let read = |path: std::path::PathBuf| fs::read_to_string(path).expect("it is ours");
    let files: Vec<_> = files.map(|path| (path.display().to_string(), read(path))).collect();
    assert!(files.len() > 20, "{}", files.len());
    files
}

fn root(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
