//! Whatever the documentation shows as TOML or JSON is good.

use super::blocks::{Block, blocks};
use crate::config::Config;
use crate::simulation::Scenario;

#[test]
fn every_policy_that_is_shown_is_good() {
    let mut seen = 0;
    for Block { place, info, text } in blocks() {
        let checked = match info.as_str() {
            "toml" => Config::parse(&place, &completed(&text)).map(drop),
            "toml,fragment" => Config::parse(&place, &format!("{ENDS}{POLICY}{text}")).map(drop),
            _ => continue,
        };
        seen += 1;
        checked.unwrap_or_else(|error| panic!("{place}: {error}\n{text}"));
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn every_scenario_that_is_shown_is_good() {
    let mut seen = 0;
    for Block { place, text, .. } in blocks().into_iter().filter(|it| it.info == "toml,scenario") {
        Scenario::parse(&place, &text).unwrap_or_else(|error| panic!("{error}"));
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn every_json_that_is_shown_is_good() {
    for Block { place, text, .. } in blocks().into_iter().filter(|block| block.info == "json") {
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line)
                .unwrap_or_else(|error| panic!("{place}: {error}"));
        }
    }
}

/// A file that shows some tables only, with those it leaves out.
fn completed(text: &str) -> String {
    match (text.contains("[[policy]]"), text.contains("[[caller]]")) {
        (true, true) => text.to_owned(),
        (true, false) => format!("{text}{ENDS}"),
        (false, _) => format!("{text}{ENDS}{POLICY}"),
    }
}

/// Who calls, and what.
const ENDS: &str = "
[[caller]]
name = \"web\"
unit = \"web.service\"

[[service]]
name = \"db\"
endpoints = [\"10.0.0.11:5432\", \"10.0.0.12:5432\"]
";

const POLICY: &str = "
[[policy]]
caller = \"web\"
service = \"db\"
";
