//! The JSON schema of the policy file, for editors and for the reference in the documentation.
//!
//! Invariant: its keys are those of the types the file is read into; what those cannot say (ranges,
//! defaults) stands beside each field, and a test holds the parser to it.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};
use shedder_common::errno::Errno;
use shedder_common::protocol::Protocol;

use super::file::File;
use super::presets::presets;
use super::rules::trip_rules;
use super::value::{At, Period, Refusal, Spoken};

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod validation;

/// The schema, in the words of draft 07, of which those used here mean the same in draft 04 and in
/// 2020-12. It has no references, because not every editor follows them.
pub fn schema() -> Value {
    let mut schema = bare();
    tell_limits(&mut schema);
    schema
}

/// The schema, before descriptions tell defaults and ranges.
fn bare() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    simplify(&mut schema);
    schema["title"] = "A policy file of shedder".into();
    schema["description"] =
        "Whom shedder guards, what they call, and by which rules. Durations are text such as \"250ms\" or \"1m 30s\". Defaults of a policy are those of the preset it names; what is told here is the one called default.".into();
    let policy = "/properties/policy/items/properties";
    let names: Vec<&str> = presets().iter().map(|preset| preset.name.as_str()).collect();
    *place(&mut schema, &format!("{policy}/preset/enum")) = names.into();
    *place(&mut schema, &format!("{policy}/trip/properties/without/items/enum")) =
        trip_rules().chain(["all"]).collect();
    schema
}

/// What there is at a pointer whose last part may be new.
fn place<'a>(schema: &'a mut Value, pointer: &str) -> &'a mut Value {
    let (parent, key) = pointer.rsplit_once('/').expect("it begins with a slash");
    let parent = schema.pointer_mut(parent).expect("the types of the file have it");
    &mut parent[key]
}

/// Takes out what TOML does not have (null), and what says nothing here (formats, titles).
fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(simplify),
        Value::Object(keywords) => {
            if let Some(Value::Array(types)) = keywords.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    keywords["type"] = only.clone();
                }
            }
            if let Some(Value::Array(values)) = keywords.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            // A key of the file may be called so, too; then it has a schema.
            keywords
                .retain(|keyword, value| !NOISE.contains(&keyword.as_str()) || value.is_object());
            unwrap_optional(keywords);
            if let Some(Value::String(description)) = keywords.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            keywords.values_mut().for_each(simplify);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What may be absent is not a choice between something and null.
fn unwrap_optional(keywords: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = keywords.remove("anyOf") else { return };
    let of_value = choices.into_iter().find(|choice| choice["type"] != "null");
    let Some(Value::Object(of_value)) = of_value else { return };
    for (keyword, value) in of_value {
        keywords.entry(keyword).or_insert(value);
    }
}

/// Adds defaults and ranges to the descriptions, which is what editors show.
fn tell_limits(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(tell_limits),
        Value::Object(keywords) => {
            keywords.values_mut().for_each(tell_limits);
            let parts = [
                range(keywords)
                    .map(|range| format!("{}{}", range[..1].to_uppercase(), &range[1..])),
                keywords.get("default").map(|default| format!("Default: {default}")),
            ];
            let Some(Value::String(description)) = keywords.get_mut("description") else { return };
            for part in parts.into_iter().flatten() {
                *description = format!("{description} {part}.");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// In words: what a value may be.
fn range(keywords: &Map<String, Value>) -> Option<String> {
    let bound = |named: &str| {
        let text = keywords.get(&format!("x-{named}")).and_then(Value::as_str).map(str::to_owned);
        text.or_else(|| keywords.get(named).filter(|value| value.is_number()).map(Value::to_string))
    };
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) if least != "0" => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (Some(_) | None, None) => None,
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION })
    }
}

impl JsonSchema for Refusal {
    fn schema_name() -> Cow<'static, str> {
        "errno".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Errno::ALL.map(Errno::name) })
    }
}

impl JsonSchema for Spoken {
    fn schema_name() -> Cow<'static, str> {
        "protocol".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Protocol::ALL.map(Protocol::name) })
    }
}

const NOISE: [&str; 2] = ["format", "title"];

/// Numbers, each with a unit. The parser takes longer names of the units as well.
const DURATION: &str = "^( *[0-9]+([.][0-9]+)? *(ns|nsec|us|usec|ms|msec|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?))+ *$";
