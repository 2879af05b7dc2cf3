//! Curves as pictures: one plot, or several side by side.
//!
//! Invariant: text only, with colours that can be read on light and on dark ground; one name has one colour
//! in all of a picture.

mod axis;
mod canvas;
mod cell;

use axis::Span;
use canvas::Canvas;
use cell::{Cell, Frame};

/// How an axis grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// By as much.
    Linear,
    /// By as many times. What is not above zero is left out.
    Log,
}

/// An axis; where it begins and ends follows from what is drawn.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// With the unit.
    pub(super) label: String,
    pub(super) scale: Scale,
}

/// A curve.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// In the order they are joined. One that is no number breaks the line.
    pub(super) points: Vec<(f64, f64)>,
}

/// Curves over one axis.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// In large letters.
    pub(super) title: String,
    /// Below it.
    pub(super) summary: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Of which eight can be told apart.
    pub(super) series: Vec<Series>,
    /// From where to where on the horizontal axis something was the case, and what.
    pub(super) bands: Vec<(f64, f64, String)>,
}

/// Plots in rows, with one legend for all. Each is headed by its title; their summaries are not drawn.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    /// In large letters.
    pub(super) title: String,
    /// Below it.
    pub(super) summary: String,
    /// Plots in a row, at least one.
    pub(super) columns: usize,
    pub(super) plots: Vec<Plot>,
}

impl Axis {
    /// From zero, or from the lowest where that is below.
    pub(super) fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), scale: Scale::Linear }
    }

    /// For figures of several magnitudes.
    pub(super) fn log(label: &str) -> Self {
        Self { label: label.to_owned(), scale: Scale::Log }
    }
}

impl Plot {
    /// As SVG.
    pub(super) fn draw(&self) -> String {
        draw(&self.title, &self.summary, &[self], 1, SINGLE)
    }

    /// All that is drawn across, and up, where there is room for so many marks.
    fn spans(&self, marks: usize) -> (Span, Span) {
        let points = || self.series.iter().flat_map(|series| series.points.iter().copied());
        let bands = self.bands.iter().flat_map(|(from, to, _)| [*from, *to]);
        let x = points().map(|(x, _)| x).chain(bands);
        let y = points().map(|(_, y)| y);
        (Span::tight(self.x.scale, x), Span::round(self.y.scale, y, marks))
    }
}

impl Panels {
    /// As SVG.
    pub(super) fn draw(&self) -> String {
        let plots: Vec<&Plot> = self.plots.iter().collect();
        draw(&self.title, &self.summary, &plots, self.columns.max(1), PANEL)
    }
}

/// All plots below one head, each this high.
fn draw(title: &str, summary: &str, plots: &[&Plot], columns: usize, height: f64) -> String {
    let mut names: Vec<&str> = Vec::new();
    for series in plots.iter().flat_map(|plot| &plot.series) {
        if !names.contains(&series.name.as_str()) {
            names.push(&series.name);
        }
    }
    let is_alone = columns == 1 && plots.len() == 1;
    let mut canvas = Canvas::new(WIDTH);
    let top = canvas.head(title, summary, &names);
    let width = (WIDTH - 2.0 * MARGIN) / count(columns);
    for (index, plot) in plots.iter().enumerate() {
        let (row, column) = (index / columns, index % columns);
        let frame = Frame {
            left: MARGIN + count(column) * width,
            top: top + count(row) * height,
            width,
            height,
        };
        Cell { plot, frame, names: &names, is_headed: !is_alone }.draw(&mut canvas);
    }
    canvas.finish(title, top + count(plots.len().div_ceil(columns)) * height + MARGIN)
}

#[expect(clippy::cast_precision_loss, reason = "a picture need not be exact")]
const fn count(value: usize) -> f64 {
    value as f64
}

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 12.0;
/// The height of a plot that stands alone, and of one among others.
const SINGLE: f64 = 340.0;
const PANEL: f64 = 220.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(name: &str, points: &[(f64, f64)]) -> Plot {
        Plot {
            title: "a < b & c".to_owned(),
            summary: "1 > 0".to_owned(),
            x: Axis::linear("\"seconds\""),
            y: Axis::log("µs"),
            series: vec![Series { name: name.to_owned(), points: points.to_vec() }],
            bands: vec![(0.5, 1.0, "<fault>".to_owned())],
        }
    }

    #[test]
    fn what_means_something_in_svg_is_escaped() {
        let drawn = plot("x<y", &[(0.0, 1.0), (1.0, 10.0)]).draw();
        for text in
            ["a &lt; b &amp; c", "1 &gt; 0", "&quot;seconds&quot;", "&lt;fault&gt;", "x&lt;y"]
        {
            assert!(drawn.contains(text), "{text} is not in\n{drawn}");
        }
        assert!(!drawn.contains("x<y") && !drawn.contains("<fault>"));
    }

    #[test]
    fn a_name_keeps_its_colour_and_is_told_once() {
        let plots = vec![plot("one", &[(0.0, 1.0)]), plot("two", &[]), plot("one", &[(0.0, 2.0)])];
        let panels = Panels { title: "t".to_owned(), summary: String::new(), columns: 2, plots };
        let drawn = panels.draw();
        assert_eq!(drawn.matches(">one</text>").count(), 1);
        assert_eq!(drawn.matches(r#"<circle class="dot s0""#).count(), 2);
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 0.0), (4.0, 3.0)];
        let drawn = plot("p", &points).draw();
        let path = drawn.lines().rfind(|line| line.contains(r#"class="curve s0" d="#));
        assert_eq!(path.map(|path| path.matches('M').count()), Some(3));
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
    }

    #[test]
    fn nothing_can_be_drawn() {
        let mut empty = plot("p", &[]);
        empty.bands.clear();
        assert!(empty.draw().ends_with("</svg>\n"));
    }
}
