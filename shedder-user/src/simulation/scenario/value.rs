//! Values of a scenario file: whether they are in range, and what names stand for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::{At, Complaint, Text, Time};

/// The places of names in a list.
pub(super) fn found(kind: &str, wanted: &[Text], names: &[&str]) -> Result<Vec<usize>, Complaint> {
    wanted.iter().map(|name| name.index_in(kind, names)).collect()
}

/// Refuses a name that is given twice.
pub(super) fn unique<'a>(
    kind: &str,
    names: impl Iterator<Item = &'a Text>,
) -> Result<(), Complaint> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(&name.value) {
            let message = format!("a second {kind} is called {:?}; rename one", &name.value);
            return Err(name.complaint(message));
        }
    }
    Ok(())
}

/// The value a word stands for; the first one without a word.
pub(super) fn one_of<T: Copy>(
    key: &str,
    given: Option<&Text>,
    known: &[(&str, T)],
) -> Result<T, Complaint> {
    let Some(given) = given else { return Ok(known[0].1) };
    let found = known.iter().find(|(word, _)| *word == given.value);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let message = format!("{:?} is no {key}; use one of {}", &given.value, words.join(", "));
        given.complaint(message)
    })
}

/// A number from 0 to 1.
pub(super) fn share(key: &str, given: Option<&At<f64>>, default: f64) -> Result<f64, Complaint> {
    given.map_or(Ok(default), |given| given.within(key, 0.0..=1.0))
}

/// A whole number, but not zero.
pub(super) fn at_least_one(key: &str, given: Option<&At<u32>>) -> Result<Option<u32>, Complaint> {
    match given {
        Some(given) if given.value == 0 => Err(given.complaint(format!("{key} is at least 1"))),
        given => Ok(given.map(|given| given.value)),
    }
}

/// A duration up to `most`, or the default.
pub(super) fn or_between(
    key: &str,
    given: Option<&Time>,
    default: Duration,
    most: Duration,
) -> Result<Duration, Complaint> {
    given.map_or(Ok(default), |given| given.between(key, Duration::ZERO, most))
}
