//! One plot in its place: axes, bands and curves.
//!
//! Invariant: nothing is drawn outside its frame.

use std::fmt::Write as _;

use super::axis::{self, Span};
use super::canvas::{Anchor, Canvas, colour, escape};
use super::{Plot, Series, count};

/// Where a plot is, with its margins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A plot to be drawn.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) plot: &'a Plot,
    pub(super) frame: Frame,
    /// Of all curves of the picture: their places are their colours.
    pub(super) names: &'a [&'a str],
    /// Whether its title stands above it.
    pub(super) is_headed: bool,
}

/// What is inside the axes.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Span,
    y: Span,
}

impl Cell<'_> {
    /// Draws all of it.
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let (plot, frame) = (self.plot, self.frame);
        let head = if self.is_headed { TITLE } else { 0.0 };
        let (top, bottom) = (frame.top + head + LABEL, frame.top + frame.height - FOOT);
        let lines = marks(bottom - top, LINES_APART);
        let (x, y) = plot.spans(lines);
        let area = Area {
            left: frame.left + LEFT,
            right: frame.left + frame.width - RIGHT,
            top,
            bottom,
            x,
            y,
        };
        if self.is_headed {
            canvas.text((area.left, frame.top + 12.0), "name", Anchor::Start, &plot.title);
        }
        let label = (frame.left + 12.0, area.top - 11.0);
        canvas.text(label, "text", Anchor::Start, &plot.y.label);
        area.draw_axes(canvas, lines);
        let middle = (f64::midpoint(area.left, area.right), area.bottom + 29.0);
        canvas.text(middle, "text", Anchor::Middle, &plot.x.label);
        for (from, to, what) in &plot.bands {
            area.draw_band(canvas, (*from, *to), what);
        }
        for series in &plot.series {
            let number = self.names.iter().position(|name| *name == series.name);
            area.draw_curve(canvas, series, &colour(number.unwrap_or_default()));
        }
    }
}

impl Area {
    fn draw_axes(&self, canvas: &mut Canvas, lines: usize) {
        let Self { left, right, bottom, .. } = *self;
        for (number, text) in self.y.marks(lines) {
            let Some(y) = self.y(number) else { continue };
            canvas.line(format_args!(r#"<path class="grid" d="M{left:.1} {y:.1}H{right:.1}"/>"#));
            canvas.text((left - 6.0, y + 4.0), "text", Anchor::End, &text);
        }
        for (number, text) in self.x.marks(marks(right - left, COLUMNS_APART)) {
            let Some(x) = self.x(number) else { continue };
            canvas.line(format_args!(r#"<path class="grid" d="M{x:.1} {bottom:.1}v4"/>"#));
            canvas.text((x, bottom + 15.0), "text", Anchor::Middle, &text);
        }
        canvas.line(format_args!(r#"<path class="grid" d="M{left:.1} {bottom:.1}H{right:.1}"/>"#));
    }

    fn draw_band(&self, canvas: &mut Canvas, (from, to): (f64, f64), what: &str) {
        let (Some(from), Some(to)) = (self.x(from), self.x(to)) else { return };
        let (top, width, height) = (self.top, (to - from).max(1.0), self.bottom - self.top);
        let title = escape(what);
        canvas.line(format_args!(
            r#"<rect class="fault" x="{from:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"><title>{title}</title></rect>"#
        ));
        // Too narrow a band has its name only for who points at it.
        if count(what.chars().count()) * LETTER < width {
            canvas.text((from + 3.0, top + 11.0), "text", Anchor::Start, what);
        }
    }

    fn draw_curve(&self, canvas: &mut Canvas, series: &Series, class: &str) {
        let places = || series.points.iter().map(|(x, y)| Some((self.x(*x)?, self.y(*y)?)));
        let mut path = String::new();
        let mut is_down = false;
        for place in places() {
            if let Some((x, y)) = place {
                let command = if is_down { 'L' } else { 'M' };
                // Writing to a text cannot fail.
                let _written = write!(path, "{command}{x:.1} {y:.1}");
            }
            is_down = place.is_some();
        }
        canvas.line(format_args!(r#"<path class="curve {class}" d="{path}"/>"#));
        // Of many the curve is enough.
        if series.points.len() > MOST_DOTS {
            return;
        }
        let name = escape(&series.name);
        for (place, point) in places().zip(&series.points) {
            let Some((x, y)) = place else { continue };
            let (across, up) = (axis::text(point.0), axis::text(point.1));
            canvas.line(format_args!(
                r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="2.6"><title>{name}: {across}, {up}</title></circle>"#
            ));
        }
    }

    fn x(&self, number: f64) -> Option<f64> {
        Some(self.left + self.x.part(number)? * (self.right - self.left))
    }

    fn y(&self, number: f64) -> Option<f64> {
        Some(self.bottom - self.y.part(number)? * (self.bottom - self.top))
    }
}

/// How many marks find room.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number"
)]
fn marks(length: f64, apart: f64) -> usize {
    (length / apart).max(2.0) as usize
}

const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TITLE: f64 = 18.0;
const LABEL: f64 = 25.0;
const FOOT: f64 = 42.0;
/// Between two marks, at least about.
const LINES_APART: f64 = 30.0;
const COLUMNS_APART: f64 = 64.0;
const LETTER: f64 = 6.2;
const MOST_DOTS: usize = 24;
