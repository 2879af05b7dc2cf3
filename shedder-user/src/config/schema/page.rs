//! The reference in `docs/policy.md`: one table for each table of the policy file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{bare, range};

#[test]
fn the_reference_in_the_documentation_is_that_of_the_code() {
    let schema = bare();
    let mut page = Page { text: String::new(), shown: BTreeMap::new() };
    for key in ["node", "caller", "service", "policy"] {
        let said = &schema["properties"][key];
        let is_list = said["type"] == "array";
        let heading = if is_list { format!("[[{key}]]") } else { format!("[{key}]") };
        // The keys of a policy are known by themselves: `trip.latency`, not `policy.trip.latency`.
        let path = if key == "policy" { "" } else { key };
        page.table(2, &heading, path, said);
    }
    crate::docs::hold("docs/policy.md", page.text.trim_start());
}

struct Page {
    text: String,
    /// The heading of each table that was shown, by its keys.
    shown: BTreeMap<String, String>,
}

impl Page {
    /// The settings of a table, and then the tables in it.
    fn table(&mut self, level: usize, heading: &str, path: &str, said: &Value) {
        let items = said.get("items").unwrap_or(said);
        let settings = items["properties"].as_object().expect("a table");
        self.shown.insert(items["properties"].to_string(), heading.to_owned());
        let about = text(said, "description");
        let marks = "#".repeat(level);
        self.say(&format!("\n{marks} {heading}\n\n{about}\n"));
        self.say("| key | value | default | meaning |\n|---|---|---|---|");
        let required = items["required"].as_array().cloned().unwrap_or_default();
        for (key, said) in settings {
            let is_required = required.contains(&key.as_str().into());
            let row = self.row(path, key, said, is_required);
            self.say(&row);
        }
        for (key, said) in settings {
            let path = below(path, key);
            if said["properties"].is_object()
                && !self.shown.contains_key(&said["properties"].to_string())
            {
                self.table(3, &path, &path, said);
            }
        }
    }

    fn row(&self, path: &str, key: &str, said: &Value, is_required: bool) -> String {
        let keywords = said.as_object().expect("a schema");
        let meaning = text(said, "description").replace('|', "\\|");
        let value = if said["properties"].is_object() {
            let known = self.shown.get(&said["properties"].to_string());
            let known = known.cloned().unwrap_or_else(|| below(path, key));
            format!("as [{known}](#{})", anchor(&known))
        } else {
            kind(keywords)
        };
        let default = match keywords.get("default") {
            _ if is_required => "needed".to_owned(),
            Some(default) if default != &Value::Array(Vec::new()) => format!("`{default}`"),
            _ => String::new(),
        };
        format!("| `{key}` | {value} | {default} | {meaning} |")
    }

    fn say(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("to a string");
    }
}

/// What a value may be, in words.
fn kind(keywords: &Map<String, Value>) -> String {
    if let Some(Value::Array(values)) = keywords.get("enum") {
        // The presets have a chapter of their own.
        if values.len() > 12 {
            return "the name of one".to_owned();
        }
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    let kind = match keywords["type"].as_str().expect("one type") {
        "string" if keywords.contains_key("pattern") => "duration",
        "string" => "text",
        "array" => "list of texts",
        "integer" => "whole number",
        "boolean" => "`true`, `false`",
        other => other,
    };
    range(keywords).map_or_else(|| kind.to_owned(), |range| format!("{kind}, {range}"))
}

fn text<'a>(said: &'a Value, keyword: &str) -> &'a str {
    said[keyword].as_str().expect("every setting is described")
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn anchor(heading: &str) -> String {
    heading.chars().filter(|it| it.is_alphanumeric() || *it == '_').collect()
}
