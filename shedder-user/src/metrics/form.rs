//! What the families are told to: a text for Prometheus, or points for a collector.
//!
//! Invariant: knows no format; every form is told the same families with the same labels and values.

use std::fmt;

use super::{Family, Histogram};

/// Something that families and their series are told to.
pub trait Form {
    /// Begins a family; all its series follow.
    fn family(&mut self, family: &'static Family) -> &mut Self;

    /// One series and its value.
    fn put(&mut self, labels: &Labels<'_>, value: impl Into<Value>);

    /// All that a histogram says.
    fn put_histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram);
}

/// What tells the series of a family apart.
#[derive(Clone, Debug, Default)]
pub struct Labels<'a>(Vec<(&'static str, &'a str)>);

/// The value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number of things.
    Count(u64),
    /// A share or seconds.
    Measure(f64),
}

impl<'a> Labels<'a> {
    /// These labels and one more.
    #[must_use]
    pub fn and(&self, name: &'static str, value: &'a str) -> Self {
        let mut more = Vec::with_capacity(self.0.len() + 1);
        more.extend_from_slice(&self.0);
        more.push((name, value));
        Self(more)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.0.iter().copied()
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<f64> for Value {
    fn from(measure: f64) -> Self {
        Self::Measure(measure)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Measure(measure) => measure.fmt(f),
        }
    }
}
