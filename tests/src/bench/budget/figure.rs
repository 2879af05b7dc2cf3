//! One figure of a program, and what becomes of it.
//!
//! Invariant: a figure and its ceiling have the same unit.

use std::fmt;

use serde::Serialize;

/// What was measured, before it is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) program: &'static str,
    /// None for what belongs to the whole program.
    pub(super) path: Option<&'static str>,
    pub(super) unit: Unit,
    /// None where the kernel does not tell.
    pub(super) value: Option<u32>,
}

/// What was measured, with its ceiling.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    pub(super) program: &'static str,
    pub(super) path: Option<&'static str>,
    pub(super) unit: Unit,
    pub(super) value: Option<u32>,
    pub(super) ceiling: Option<u32>,
    pub(super) verdict: Verdict,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// That the verifier went through.
    Instructions,
    /// Of a run.
    Nanoseconds,
}

/// How a figure compares with its ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Not above it.
    Within,
    /// Above it.
    Passed,
    /// Above it, which says little here: the ceiling was taken on another kernel or CPU.
    PassedElsewhere,
    /// The kernel does not tell the figure.
    NotTold,
    /// There is none.
    NoCeiling,
}

impl Measured {
    pub(super) const fn instructions(program: &'static str, value: Option<u32>) -> Self {
        Self { program, path: None, unit: Unit::Instructions, value }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a run takes less than four seconds, and a cast saturates"
    )]
    pub(super) fn nanoseconds(program: &'static str, path: &'static str, value: f64) -> Self {
        let value = Some(value.round() as u32);
        Self { program, path: Some(path), unit: Unit::Nanoseconds, value }
    }
}

impl Figure {
    /// `is_at_home` tells whether the ceiling was taken on a machine like this one.
    pub(super) fn new(measured: Measured, ceiling: Option<u32>, is_at_home: bool) -> Self {
        let Measured { program, path, unit, value } = measured;
        let verdict = match (value, ceiling) {
            (_, None) => Verdict::NoCeiling,
            (None, _) => Verdict::NotTold,
            (Some(value), Some(ceiling)) if value <= ceiling => Verdict::Within,
            (Some(_), Some(_)) if is_at_home => Verdict::Passed,
            (Some(_), Some(_)) => Verdict::PassedElsewhere,
        };
        Self { program, path, unit, value, ceiling, verdict }
    }

    /// Program and path, as people read it.
    pub(super) fn name(&self) -> String {
        let path = self.path.map(|path| format!(" {}", path.replace('_', " ")));
        format!("{}{}", self.program, path.unwrap_or_default())
    }

    /// Where its ceiling is in the file.
    pub(super) fn place(&self) -> String {
        match (self.unit, self.path) {
            (Unit::Nanoseconds, Some(path)) => {
                format!("`{path}` under [nanoseconds.{}]", self.program)
            }
            (unit, _) => format!("`{}` under [{}]", self.program, unit.table()),
        }
    }
}

impl Unit {
    /// Its table in the file.
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Nanoseconds => "nanoseconds",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instructions => "verified instructions",
            Self::Nanoseconds => "ns a run",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Within => "within",
            Self::Passed => "PASSED",
            Self::PassedElsewhere => "passed, taken elsewhere",
            Self::NotTold => "not told by this kernel",
            Self::NoCeiling => "NO CEILING",
        })
    }
}
