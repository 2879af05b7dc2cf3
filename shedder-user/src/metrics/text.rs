//! The text format of Prometheus, version 0.0.4.
//!
//! Invariant: every line is well-formed, whatever names the policy file gives.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use super::form::{Form, Labels, Value};
use super::{Family, Histogram};

/// A text in the making.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    /// The family whose series come.
    name: &'static str,
}

impl Text {
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &str, value: impl Display) {
        let name = self.name;
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        writeln!(self.text, "{name}{suffix}{labels} {value}").expect("to a string");
    }
}

impl Form for Text {
    fn family(&mut self, family: &'static Family) -> &mut Self {
        let Family { name, kind, help, .. } = family;
        let kind = kind.name();
        write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("to a string");
        self.name = name;
        self
    }

    fn put(&mut self, labels: &Labels<'_>, value: impl Into<Value>) {
        self.line("", &written(labels), value.into());
    }

    fn put_histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) {
        let written = written(labels);
        let comma = if written.is_empty() { "" } else { "," };
        for (bound, count) in histogram.cumulative() {
            self.line("_bucket", &format!("{written}{comma}le=\"{bound}\""), count);
        }
        self.line("_bucket", &format!("{written}{comma}le=\"+Inf\""), histogram.count());
        self.line("_sum", &written, histogram.sum());
        self.line("_count", &written, histogram.count());
    }
}

/// Labels as they stand between braces.
fn written(labels: &Labels<'_>) -> String {
    let mut text = String::new();
    for (name, value) in labels.iter() {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{name}=\"{}\"", escaped(value)).expect("to a string");
    }
    text
}

/// Most names need nothing, and there are many.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;

    #[test]
    fn any_name_fits_in_a_label() {
        let labels = Labels::default().and("a", "1").and("b", "back\\slash \"quote\"\nline");
        assert_eq!(written(&labels), r#"a="1",b="back\\slash \"quote\"\nline""#);
    }

    #[test]
    fn a_family_is_its_head_and_its_series() {
        static FAMILY: Family =
            Family { name: "a_total", kind: Kind::Counter, labels: "b", help: "What." };
        let mut text = Text::default();
        let series = text.family(&FAMILY);
        series.put(&Labels::default(), 1_u64);
        series.put(&Labels::default().and("b", "c"), 0.5);
        assert_eq!(
            text.finish(),
            "# HELP a_total What.\n# TYPE a_total counter\na_total 1\na_total{b=\"c\"} 0.5\n"
        );
    }
}
