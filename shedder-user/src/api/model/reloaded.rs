//! What is asked and answered when the policy file is taken up again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/reload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// Only tell what would change.
    #[serde(default)]
    pub check: bool,
}

/// Answer to `POST /v1/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether anything was changed: not when only asked, and not when nothing is different.
    pub applied: bool,
    /// Of the configuration in force; rises with each reload that changes anything.
    pub generation: u32,
    /// One line for each change.
    pub changes: Vec<String>,
    /// What becomes of the breakers.
    pub breakers: Fates,
}

/// How many breakers fare how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    /// Untouched.
    pub kept: usize,
    /// Kept in their state, under a changed policy.
    pub changed: usize,
    /// Endpoints that had none.
    pub added: usize,
    /// Endpoints the policy no longer has.
    pub removed: usize,
}

impl fmt::Display for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, changed, added, removed } = self;
        write!(
            f,
            "breakers: {kept} untouched, {changed} under a changed policy, {added} added, {removed} removed"
        )
    }
}
