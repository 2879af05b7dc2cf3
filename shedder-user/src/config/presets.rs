//! Named sets of rules, as data in one embedded file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::rules::{Layer as _, Rules, table_with_rules, with_rules};
use super::suggestion::did_you_mean;
use crate::engine::{Mode, Policy};

#[cfg(test)]
mod tests;

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

with_rules!(table_with_rules! {
    struct Entry {
        summary: String,
        source: String,
        base: Option<String>,
    }
});

/// Every preset, in order of name, completed by the ones it stands on.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

impl Preset {
    /// The preset called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        presets().iter().find(|preset| preset.name == name)
    }

    /// The names of all there are, for a complaint about one that is none of them.
    pub(crate) fn known(wanted: &str) -> String {
        let names: Vec<&str> = presets().iter().map(|preset| preset.name.as_str()).collect();
        format!("{}{}", names.join(", "), did_you_mean(wanted, names.iter().copied()))
    }

    /// The policy it makes by itself.
    pub fn policy(&self) -> Policy {
        let policy = self.rules.resolve(self.name.clone(), Mode::Observe);
        policy.unwrap_or_else(|complaint| unreachable!("preset {}: {complaint:?}", self.name))
    }

    /// The lines that make the same policy of a `[[policy]]` without a preset.
    pub fn lines(&self) -> Vec<String> {
        self.rules.lines()
    }
}

static PRESETS: LazyLock<Vec<Preset>> =
    LazyLock::new(|| read(include_str!("presets.toml")).expect("a unit test reads the file"));

/// Reads presets and puts each over those it stands on.
fn read(text: &str) -> Result<Vec<Preset>, String> {
    let entries: BTreeMap<String, Entry> =
        toml::from_str(text).map_err(|error| error.to_string())?;
    let mut presets = Vec::new();
    for (name, entry) in &entries {
        let rules = foundations(name, &entries)?
            .into_iter()
            .rev()
            .fold(Rules::default(), |below, entry| entry.rules().over(below));
        presets.push(Preset {
            name: name.clone(),
            summary: entry.summary.clone(),
            source: entry.source.clone(),
            rules: rules.without_places(),
        });
    }
    Ok(presets)
}

/// A preset and those it stands on, down to the default.
fn foundations<'a>(
    name: &'a str,
    entries: &'a BTreeMap<String, Entry>,
) -> Result<Vec<&'a Entry>, String> {
    let mut names = vec![name];
    let mut found = Vec::new();
    while let Some(name) = names.last().copied() {
        let entry = entries.get(name).ok_or_else(|| format!("there is no preset {name:?}"))?;
        found.push(entry);
        if name == DEFAULT {
            break;
        }
        let base = entry.base.as_deref().unwrap_or(DEFAULT);
        if names.contains(&base) {
            return Err(format!("preset {base:?} stands on itself"));
        }
        names.push(base);
    }
    Ok(found)
}

/// The preset of a policy that names none.
pub(super) const DEFAULT: &str = "default";
