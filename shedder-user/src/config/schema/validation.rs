//! A document against a schema, as far as our schema goes.
//!
//! Invariant: a keyword it does not know is an error, so the schema says nothing that nobody checks.

use serde_json::{Map, Value};

/// What is wrong with `value`, each with its place.
pub(super) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, value, "", &mut faults);
    faults
}

fn check(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let keywords = schema.as_object().expect("a schema is a table");
    for (keyword, wanted) in keywords {
        let is_good = match keyword.as_str() {
            "type" => is_of(wanted, value),
            "enum" => wanted.as_array().expect("values").iter().any(|one| is_same(one, value)),
            "pattern" => matches(wanted, value),
            "minimum" => value.as_f64() >= wanted.as_f64(),
            "maximum" => value.as_f64() <= wanted.as_f64(),
            "minLength" => value.as_str().map(str::len) >= wanted.as_u64().map(length),
            "minItems" => value.as_array().map(Vec::len) >= wanted.as_u64().map(length),
            "required" => {
                let names = wanted.as_array().expect("names").iter().filter_map(Value::as_str);
                names.into_iter().all(|name| value.get(name).is_some())
            }
            "additionalProperties" if wanted.is_object() => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    check(wanted, item, &format!("{at}.{key}"), faults);
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(wanted, &Value::Bool(false), "{at}");
                let known = keywords["properties"].as_object().expect("a table");
                value.as_object().is_some_and(|it| it.keys().all(|key| known.contains_key(key)))
            }
            "properties" => {
                check_each(wanted.as_object().expect("a table"), value, at, faults);
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(wanted, item, &format!("{at}[{index}]"), faults);
                }
                true
            }
            "$schema" | "title" | "description" | "default" | "x-minimum" | "x-maximum" => true,
            _ => panic!("{at}: {keyword} is not known here"),
        };
        if !is_good {
            faults.push(format!("{at}: {value} is not {keyword} {wanted}"));
        }
    }
}

fn check_each(known: &Map<String, Value>, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (key, schema) in known {
        if let Some(value) = value.get(key) {
            check(schema, value, &format!("{at}.{key}"), faults);
        }
    }
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    match wanted.as_str().expect("one type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{other} is no type of the file"),
    }
}

/// By number where both are numbers: 0 is 0.0.
fn is_same(one: &Value, value: &Value) -> bool {
    one == value || one.is_number() && one.as_f64() == value.as_f64()
}

fn matches(pattern: &Value, value: &Value) -> bool {
    let pattern = regex::Regex::new(pattern.as_str().expect("text")).expect("a pattern");
    value.as_str().is_some_and(|text| pattern.is_match(text))
}

fn length(number: u64) -> usize {
    usize::try_from(number).expect("a small number")
}
