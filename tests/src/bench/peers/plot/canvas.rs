//! SVG as it is written: text, lines, and what stands above the plots.
//!
//! Invariant: what comes from outside is escaped wherever it is written.

use std::fmt::{Arguments, Write as _};

use super::count;

/// A picture in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    body: String,
}

/// How a text stands to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    /// So wide; how high turns out.
    pub(super) const fn new(width: f64) -> Self {
        Self { width, body: String::new() }
    }

    /// Title, summary and what each curve is called; where the plots may begin.
    pub(super) fn head(&mut self, title: &str, summary: &str, names: &[&str]) -> f64 {
        self.text((LEFT, 22.0), "title", Anchor::Start, title);
        let mut y = 22.0;
        for line in wrapped(summary, LETTERS) {
            y += LINE;
            self.text((LEFT, y), "text", Anchor::Start, &line);
        }
        y += LINE + 6.0;
        let mut x = LEFT;
        for (number, name) in names.iter().enumerate() {
            let width = 26.0 + count(name.chars().count()) * LETTER + 18.0;
            if x + width > self.width && x > LEFT {
                (x, y) = (LEFT, y + LINE);
            }
            let class = colour(number);
            let middle = y - 4.0;
            self.line(format_args!(r#"<path class="curve {class}" d="M{x:.1} {middle:.1}h20"/>"#));
            self.text((x + 26.0, y), "text", Anchor::Start, name);
            x += width;
        }
        y + 10.0
    }

    /// A text, whatever is in it.
    pub(super) fn text(&mut self, at: (f64, f64), class: &str, anchor: Anchor, words: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let ((x, y), words) = (at, escape(words));
        self.line(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}"{anchor}>{words}</text>"#
        ));
    }

    /// An element as it is.
    pub(super) fn line(&mut self, element: Arguments<'_>) {
        // Writing to a text cannot fail.
        let _written = writeln!(self.body, "{element}");
    }

    /// The whole picture, so high.
    pub(super) fn finish(self, title: &str, height: f64) -> String {
        let Self { width, body } = self;
        let title = escape(title);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" role="img" font-family="system-ui, sans-serif" font-size="11">
<title>{title}</title>
{STYLE}<rect class="ground" width="{width}" height="{height:.0}"/>
{body}</svg>
"#
        )
    }
}

/// The class of the curve of this number.
pub(super) fn colour(number: usize) -> String {
    format!("s{}", number % COLOURS)
}

/// For text and for the value of an attribute.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Lines of at most so many letters, unless a word is longer.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

const LEFT: f64 = 24.0;
const LINE: f64 = 15.0;
/// The width of a letter, on average and a little more.
const LETTER: f64 = 6.2;
/// What a line holds.
const LETTERS: usize = 150;
const COLOURS: usize = 8;
/// Curves differ in dashes, too, for who cannot tell all colours apart; red is for what is wrong.
const STYLE: &str = "<style>
.ground{fill:#fff}.text{fill:#57606a}.title{fill:#1f2328;font-size:15px;font-weight:600}.name{fill:#1f2328;font-weight:600}
.grid{stroke:#8c959f;stroke-opacity:.35;fill:none}.fault{fill:#cf222e;fill-opacity:.10}
.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}.dot{stroke:none}
.curve.s0{stroke:#0969da}.curve.s1{stroke:#1a7f37}.curve.s2{stroke:#bc4c00}.curve.s3{stroke:#8250df}
.curve.s4{stroke:#6e5a00;stroke-dasharray:6 2}.curve.s5{stroke:#1b7c83;stroke-dasharray:3 2}.curve.s6{stroke:#bf3989;stroke-dasharray:8 2 2 2}.curve.s7{stroke:#57606a;stroke-dasharray:1.5 2}
.dot.s0{fill:#0969da}.dot.s1{fill:#1a7f37}.dot.s2{fill:#bc4c00}.dot.s3{fill:#8250df}.dot.s4{fill:#6e5a00}.dot.s5{fill:#1b7c83}.dot.s6{fill:#bf3989}.dot.s7{fill:#57606a}
@media (prefers-color-scheme:dark){.ground{fill:#0d1117}.text{fill:#9198a1}.title,.name{fill:#f0f6fc}.fault{fill:#f85149;fill-opacity:.16}
.curve.s0{stroke:#4493f8}.curve.s1{stroke:#3fb950}.curve.s2{stroke:#f0883e}.curve.s3{stroke:#ab7df8}
.curve.s4{stroke:#d2b322}.curve.s5{stroke:#39c5cf}.curve.s6{stroke:#f778ba}.curve.s7{stroke:#9198a1}
.dot.s0{fill:#4493f8}.dot.s1{fill:#3fb950}.dot.s2{fill:#f0883e}.dot.s3{fill:#ab7df8}.dot.s4{fill:#d2b322}.dot.s5{fill:#39c5cf}.dot.s6{fill:#f778ba}.dot.s7{fill:#9198a1}}
</style>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_summary_takes_several_lines() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("longer than it", 4), ["longer", "than", "it"]);
        assert!(wrapped("", 4).is_empty());
    }
}
