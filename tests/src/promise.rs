//! What a long run is to show, and what became of it.
//!
//! Invariant: a promise that cannot be judged is neither kept nor broken.

use std::fmt;

use serde::Serialize;

/// One promise and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Promise {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// In figures.
    pub(crate) evidence: String,
}

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Kept,
    Broken,
    NotJudged,
}

impl Promise {
    pub(crate) fn new(name: &'static str, is_kept: bool, evidence: String) -> Self {
        let verdict = if is_kept { Verdict::Kept } else { Verdict::Broken };
        Self { name, verdict, evidence }
    }

    /// For a broken one.
    pub(crate) fn complaint(&self) -> Option<String> {
        let Self { name, verdict, evidence } = self;
        (*verdict == Verdict::Broken).then(|| format!("broken promise: {name}: {evidence}"))
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Kept => "kept",
            Verdict::Broken => "BROKEN",
            Verdict::NotJudged => "not judged",
        };
        write!(formatter, "{verdict:12}{}: {}", self.name, self.evidence)
    }
}
