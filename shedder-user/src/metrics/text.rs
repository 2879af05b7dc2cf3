//! The text format of Prometheus, version 0.0.4.
//!
//! Invariant: every line is well-formed, whatever names the policy file gives.

use std::fmt::{Display, Write as _};

use super::{Family, Histogram};

/// A text in the making.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// Labels in braces, without them.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(String);

/// Where the series of one family go.
#[derive(Debug)]
pub(super) struct Series<'text> {
    name: &'static str,
    text: &'text mut String,
}

impl Text {
    /// Begins a family; all its series follow.
    pub(super) fn family(&mut self, family: &Family) -> Series<'_> {
        let Family { name, kind, help, .. } = family;
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
        Series { name: family.name, text: &mut self.0 }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn push(&mut self, line: impl Display) {
        write!(self.0, "{line}").expect("to a string");
    }
}

impl Series<'_> {
    /// One series and its value.
    pub(super) fn put(&mut self, labels: &Labels, value: impl Display) {
        self.line("", labels, value);
    }

    /// All series of a histogram.
    pub(super) fn put_histogram(&mut self, labels: &Labels, histogram: &Histogram) {
        for (bound, count) in histogram.cumulative() {
            self.line("_bucket", &labels.and("le", &bound.to_string()), count);
        }
        self.line("_bucket", &labels.and("le", "+Inf"), histogram.count());
        self.line("_sum", labels, histogram.sum());
        self.line("_count", labels, histogram.count());
    }

    fn line(&mut self, suffix: &str, labels: &Labels, value: impl Display) {
        let name = self.name;
        let labels = if labels.0.is_empty() { String::new() } else { format!("{{{}}}", labels.0) };
        writeln!(self.text, "{name}{suffix}{labels} {value}").expect("to a string");
    }
}

impl Labels {
    /// These labels and one more.
    pub(super) fn and(&self, name: &str, value: &str) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        Self(format!("{}{comma}{name}=\"{}\"", self.0, escaped(value)))
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;

    #[test]
    fn any_name_fits_in_a_label() {
        let labels = Labels::default().and("a", "1").and("b", "back\\slash \"quote\"\nline");
        assert_eq!(labels.0, r#"a="1",b="back\\slash \"quote\"\nline""#);
    }

    #[test]
    fn a_family_is_its_head_and_its_series() {
        let family = Family { name: "a_total", kind: Kind::Counter, labels: "b", help: "What." };
        let mut text = Text::default();
        let mut series = text.family(&family);
        series.put(&Labels::default(), 1);
        series.put(&Labels::default().and("b", "c"), 0.5);
        assert_eq!(
            text.finish(),
            "# HELP a_total What.\n# TYPE a_total counter\na_total 1\na_total{b=\"c\"} 0.5\n"
        );
    }
}
