//! Named sets of rules, as data in one embedded file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::rules::{HalfOpen, Open, Recovery, Rules, Trip};
use super::value::{Number, Time};
use crate::engine::{Mode, Policy};

/// A named, complete set of rules.
#[derive(Clone, Debug)]
pub struct Preset {
    /// Its name in a policy file.
    pub name: String,
    /// What it is for, in a few words.
    pub summary: String,
    /// Where its numbers come from.
    pub source: String,
    pub(super) rules: Rules,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    summary: String,
    source: String,
    trip: Option<Trip>,
    open: Option<Open>,
    half_open: Option<HalfOpen>,
    recovery: Option<Recovery>,
    caller_timeout: Option<Time>,
    turns_to_skip: Option<Number<u8>>,
}

/// Every preset, in order of name, completed by `default`.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

impl Preset {
    /// The preset called `name`.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        presets().iter().find(|preset| preset.name == name)
    }

    /// The policy it makes by itself.
    pub fn policy(&self) -> Policy {
        let policy = self.rules.clone().resolve(self.name.clone(), Mode::Observe);
        policy.unwrap_or_else(|complaint| unreachable!("preset {}: {complaint:?}", self.name))
    }
}

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let entries: BTreeMap<String, Entry> =
        toml::from_str(include_str!("presets.toml")).expect("a unit test parses the embedded file");
    let mut presets: Vec<Preset> =
        entries.into_iter().map(|(name, entry)| entry.named(name)).collect();
    let default = presets.iter().find(|preset| preset.name == DEFAULT);
    let default = default.expect("a unit test looks for it").rules.clone();
    for preset in &mut presets {
        preset.rules = preset.rules.clone().over(default.clone());
    }
    presets
});

impl Entry {
    fn named(self, name: String) -> Preset {
        let Self {
            summary,
            source,
            trip,
            open,
            half_open,
            recovery,
            caller_timeout,
            turns_to_skip,
        } = self;
        let rules = Rules { trip, open, half_open, recovery, caller_timeout, turns_to_skip };
        Preset { name, summary, source, rules }
    }
}

/// The preset of a policy that names none.
pub(super) const DEFAULT: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_valid_policy() {
        assert!(Preset::find(DEFAULT).is_some());
        for preset in presets() {
            let policy = preset.policy();
            assert!(!policy.trip.is_empty(), "{}", preset.name);
            assert!(!preset.source.is_empty() && !preset.summary.is_empty(), "{}", preset.name);
        }
    }

    #[test]
    fn a_preset_can_drop_a_rule_of_the_default() {
        let preset = Preset::find("local-3").expect("it is in the file");
        assert_eq!(preset.policy().trip.len(), 1);
        assert_eq!(preset.policy().failure_run_limit(), Some(3));
    }
}
