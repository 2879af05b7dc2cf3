//! A policy in a file of another kind, under the keys of a policy file.
//!
//! Invariant: the tables go the same way as those of a policy file, so whatever a policy file may
//! say may be said there, and a complaint names the place in the other file.

use std::ops::Range;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue, Deserializer};

use super::error::Complaint;
use super::file::File;
use super::{Config, validate};

impl Config {
    /// Takes the tables `policy` and `node` out of a `document` and makes them a configuration of
    /// one caller and one service. The policy names neither, and enforces unless it says
    /// otherwise. `text` is what the document was read from.
    pub(crate) fn from_tables(document: &mut DeTable<'_>, text: &str) -> Result<Self, Complaint> {
        let policy = document.remove("policy");
        let mut policy =
            policy.unwrap_or_else(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
        let span = policy.span();
        let DeValue::Table(rules) = policy.get_mut() else {
            return Err(Complaint::maybe_at(Some(span), "policy is a table: write [policy]"));
        };
        for key in ["caller", "service"] {
            if let Some((key, _)) = rules.get_key_value(key) {
                let message = format!("remove {key}: this policy holds for all of them");
                return Err(Complaint::maybe_at(Some(key.span()), message));
            }
            rules.insert(word(&span, key), text_value(&span, NAME));
        }
        for (key, value) in [("name", NAME), ("mode", "enforce")] {
            if !rules.contains_key(key) {
                rules.insert(word(&span, key), text_value(&span, value));
            }
        }
        let mut tables = DeTable::new();
        tables.insert(word(&span, "policy"), array(&span, policy));
        tables.insert(word(&span, "caller"), named(&span, "cgroups", "/scenario"));
        tables.insert(word(&span, "service"), named(&span, "endpoints", "127.0.0.1:1"));
        if let Some(node) = document.remove("node") {
            tables.insert(word(&span, "node"), node);
        }
        let file = File::deserialize(Deserializer::from(Spanned::new(span, tables)))?;
        validate::file(file, text)
    }
}

fn word<'i>(span: &Range<usize>, word: &'i str) -> Spanned<DeString<'i>> {
    Spanned::new(span.clone(), DeString::Borrowed(word))
}

fn text_value<'i>(span: &Range<usize>, text: &'i str) -> Spanned<DeValue<'i>> {
    Spanned::new(span.clone(), DeValue::String(DeString::Borrowed(text)))
}

fn array<'i>(span: &Range<usize>, value: Spanned<DeValue<'i>>) -> Spanned<DeValue<'i>> {
    Spanned::new(span.clone(), DeValue::Array(DeArray::from_iter([value])))
}

/// A list of one table with a name and one more list of one text.
fn named<'i>(span: &Range<usize>, key: &'i str, value: &'i str) -> Spanned<DeValue<'i>> {
    let mut table = DeTable::new();
    table.insert(word(span, "name"), text_value(span, NAME));
    table.insert(word(span, key), array(span, text_value(span, value)));
    array(span, Spanned::new(span.clone(), DeValue::Table(table)))
}

/// What caller, service and policy are called where nobody names them.
const NAME: &str = "scenario";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Mode;

    fn read(text: &str) -> Result<Config, String> {
        let mut document = DeTable::parse(text).map_err(|error| error.to_string())?.into_inner();
        Config::from_tables(&mut document, text)
            .map_err(|complaint| complaint.locate("it", text).to_string())
    }

    #[test]
    fn a_policy_stands_by_itself() {
        let config = read("x = 1\n[node]\ntick = \"50ms\"\n[policy]\npreset = \"local-3\"\n")
            .expect("it is good");
        assert_eq!(config.node.tick, Duration::from_millis(50));
        let policy = &config.bindings[0].policy;
        assert_eq!((policy.mode, policy.failure_run_limit()), (Mode::Enforce, Some(3)));
        assert_eq!(read("").expect("the default preset").bindings.len(), 1);
    }

    #[test]
    fn complaints_name_the_place_in_the_other_file() {
        for (text, place) in [
            ("x = 1\n[policy]\nmode = \"nothing\"\n", "it:3:8: \"nothing\" is no mode"),
            ("x = 1\n[policy]\n[policy.open]\nbse = \"1s\"\n", "it:4:1: unknown field `bse`"),
            ("[policy]\ncaller = \"web\"\n", "it:2:1: remove caller"),
            ("policy = 3\n", "it:1:10: policy is a table"),
        ] {
            let complaint = read(text).expect_err(text);
            assert!(complaint.starts_with(place), "{complaint}");
        }
    }
}
