//! A picture of what policies did: for each the states of its breakers over the traffic they shed and
//! the success of the calls.
//!
//! Invariant: text only, with colours that can be read on light and on dark ground.

use std::fmt::Write as _;
use std::time::Duration;

use shedder_common::time::{Monotonic, nanos};

use crate::engine::State;

/// What is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Picture<'a> {
    /// In large letters.
    pub(crate) title: String,
    /// Below it.
    pub(crate) summary: &'a str,
    /// How long it all lasts.
    pub(crate) duration: Duration,
    /// Times when something was wrong: what, from when, until when.
    pub(crate) bands: Vec<(&'a str, Monotonic, Monotonic)>,
    /// One below the other.
    pub(crate) panels: Vec<Panel<'a>>,
}

/// What became of it under one policy.
#[derive(Clone, Debug)]
pub(crate) struct Panel<'a> {
    /// The policy.
    pub(crate) name: &'a str,
    /// Each breaker with its states and when they began.
    pub(crate) lanes: &'a [(String, Vec<(Monotonic, State)>)],
    /// One for each second.
    pub(crate) points: Vec<Point>,
}

/// What happened within a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Point {
    /// Calls that ended, shed ones included.
    pub(crate) calls: u64,
    /// Those that succeeded.
    pub(crate) served: u64,
    /// Connects asked for.
    pub(crate) tries: u64,
    /// Those that were shed.
    pub(crate) shed: u64,
}

impl Picture<'_> {
    /// As SVG.
    pub(crate) fn draw(&self) -> String {
        let (left, width) = (0.0 - self.overhang(), WIDTH + self.overhang());
        let height = HEAD + self.panels.iter().map(Panel::height).sum::<f64>() + FOOT;
        let mut text = String::new();
        line(
            &mut text,
            format_args!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} 0 {width} {height}" role="img" font-family="system-ui, sans-serif" font-size="11">"#,
            ),
        );
        line(&mut text, format_args!("<title>{}</title>", escape(&self.title)));
        text.push_str(STYLE);
        line(
            &mut text,
            format_args!(r#"<rect class="ground" x="{left}" width="{width}" height="{height}"/>"#),
        );
        label(&mut text, LEFT, 20.0, "title", &self.title);
        label(&mut text, LEFT, 36.0, "text", self.summary);
        legend(&mut text);
        let mut top = HEAD;
        for panel in &self.panels {
            panel.draw(&mut text, self, top);
            top += panel.height();
        }
        self.axis(&mut text, top);
        text.push_str("</svg>\n");
        text
    }

    /// What the longest name of a breaker takes beyond the margin it stands in.
    fn overhang(&self) -> f64 {
        let lanes = self.panels.iter().flat_map(|panel| panel.lanes.iter().take(MOST_LANES));
        let longest = lanes.map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        (count(longest) * LETTER + 12.0 - LEFT).max(0.0).ceil()
    }

    fn plot(&self, text: &mut String, points: &[Point], top: f64) {
        let height = PLOT - 12.0;
        let bottom = top + height;
        for part in [0.0, 0.5, 1.0] {
            let y = bottom - part * height;
            line(
                text,
                format_args!(
                    r#"<path class="grid" d="M{LEFT} {y:.1}H{:.1}"/><text class="text" x="{:.1}" y="{:.1}" text-anchor="end">{:.0} %</text>"#,
                    WIDTH - RIGHT,
                    LEFT - 6.0,
                    y + 4.0,
                    part * 100.0,
                ),
            );
        }
        // A long scenario is drawn in steps of several seconds.
        let step = points.len().div_ceil(MOST_POINTS).max(1);
        let steps: Vec<Point> = points
            .chunks(step)
            .map(|chunk| chunk.iter().fold(Point::default(), Point::plus))
            .collect();
        let most = steps.iter().map(|point| point.tries).max().unwrap_or(0).max(1);
        label(
            text,
            WIDTH - RIGHT + 4.0,
            top + 8.0,
            "text",
            &format!("{:.0}/s", real(most) / count(step)),
        );
        let mut curve = |class: &str, value: &dyn Fn(&Point) -> Option<f64>| {
            let mut path = String::new();
            let mut is_down = false;
            for (index, point) in steps.iter().enumerate() {
                let Some(value) = value(point) else {
                    is_down = false;
                    continue;
                };
                let middle = (count(index) + 0.5) * count(step) * 1e9;
                let command = if is_down { 'L' } else { 'M' };
                let at =
                    (LEFT + middle / self.length() * (WIDTH - LEFT - RIGHT)).min(WIDTH - RIGHT);
                // Writing to a text cannot fail.
                let _written = write!(path, "{command}{at:.1} {:.1}", bottom - value * height);
                is_down = true;
            }
            line(text, format_args!(r#"<path class="{class}" d="{path}"/>"#));
        };
        curve("offered", &|point| Some(real(point.tries) / real(most)));
        curve("shed", &|point| Some(real(point.shed) / real(most)));
        curve("success", &Point::success);
    }

    fn axis(&self, text: &mut String, top: f64) {
        for tick in 0..=10_u32 {
            let part = f64::from(tick) / 10.0;
            let at = LEFT + part * (WIDTH - LEFT - RIGHT);
            let seconds = part * self.duration.as_secs_f64();
            line(
                text,
                format_args!(
                    r#"<text class="text" x="{at:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                    top + 6.0,
                    if self.duration.as_secs() >= 600 {
                        format!("{:.0} min", seconds / 60.0)
                    } else {
                        format!("{seconds:.0} s")
                    },
                ),
            );
        }
    }

    fn x(&self, at: Monotonic) -> f64 {
        let part = real(at.as_nanos()) / self.length();
        LEFT + part.min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    const fn end(&self) -> Monotonic {
        Monotonic::from_nanos(nanos(self.duration))
    }

    fn length(&self) -> f64 {
        real(nanos(self.duration))
    }
}

impl Point {
    /// The sum of both.
    pub(crate) const fn plus(self, other: &Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            served: self.served + other.served,
            tries: self.tries + other.tries,
            shed: self.shed + other.shed,
        }
    }

    fn success(&self) -> Option<f64> {
        (self.calls > 0).then(|| real(self.served) / real(self.calls))
    }
}

impl Panel<'_> {
    fn lanes(&self) -> usize {
        self.lanes.len().min(MOST_LANES)
    }

    fn height(&self) -> f64 {
        TITLE + count(self.lanes()) * LANE + PLOT + GAP
    }

    fn draw(&self, text: &mut String, picture: &Picture<'_>, top: f64) {
        let bottom = top + self.height() - GAP;
        label(text, LEFT, top + 12.0, "name", &format!("policy {}", self.name));
        for (name, from, to) in &picture.bands {
            let (from, to) = (picture.x(*from), picture.x(*to));
            let (y, height) = (top + TITLE - 2.0, bottom - top - TITLE + 2.0);
            line(
                text,
                format_args!(
                    r#"<rect class="fault" x="{from:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}"><title>{}</title></rect>"#,
                    to - from,
                    escape(name),
                ),
            );
        }
        for (index, lane) in self.shown().into_iter().enumerate() {
            self.draw_lane(text, picture, lane, top + TITLE + count(index) * LANE);
        }
        let plot = top + TITLE + count(self.lanes()) * LANE + 6.0;
        picture.plot(text, &self.points, plot);
    }

    /// The breakers drawn: those that did most, in their own order.
    fn shown(&self) -> Vec<usize> {
        let lanes = self.lanes;
        let mut order: Vec<usize> = (0..lanes.len()).collect();
        order.sort_by_key(|lane| std::cmp::Reverse(lanes[*lane].1.len()));
        order.truncate(MOST_LANES);
        order.sort_unstable();
        order
    }

    fn draw_lane(&self, text: &mut String, picture: &Picture<'_>, lane: usize, y: f64) {
        let (name, states) = &self.lanes[lane];
        line(
            text,
            format_args!(
                r#"<text class="text" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 6.0,
                y + LANE - 4.0,
                escape(name),
            ),
        );
        for (index, (at, state)) in states.iter().enumerate() {
            let until = states.get(index + 1).map_or_else(|| picture.end(), |(at, _)| *at);
            let (from, to) = (picture.x(*at), picture.x(until));
            line(
                text,
                format_args!(
                    r#"<rect class="{}" x="{from:.1}" y="{y:.1}" width="{:.2}" height="{:.1}"><title>{} {state}</title></rect>"#,
                    state.name(),
                    (to - from).max(0.4),
                    LANE - 3.0,
                    escape(name),
                ),
            );
        }
    }
}

fn legend(text: &mut String) {
    let mut at = LEFT;
    let states = [State::Closed, State::Throttled, State::Open, State::HalfOpen, State::Recovering];
    for state in states {
        line(
            text,
            format_args!(
                r#"<rect class="{}" x="{at}" y="48" width="12" height="9"/>"#,
                state.name()
            ),
        );
        label(text, at + 16.0, 56.0, "text", state.name());
        at += 88.0;
    }
    line(text, format_args!(r#"<rect class="fault" x="{at}" y="48" width="12" height="9"/>"#));
    label(text, at + 16.0, 56.0, "text", "fault");
    at += 60.0;
    for (class, name) in [("success", "success"), ("offered", "tries/s"), ("shed", "shed/s")] {
        line(text, format_args!(r#"<path class="{class}" d="M{at} 53h14"/>"#));
        label(text, at + 18.0, 56.0, "text", name);
        at += 76.0;
    }
}

fn label(text: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let words = escape(words);
    line(text, format_args!(r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{words}</text>"#));
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _written = writeln!(text, "{words}");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[expect(clippy::cast_precision_loss, reason = "a picture need not be exact")]
const fn real(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "a picture need not be exact")]
const fn count(value: usize) -> f64 {
    value as f64
}

const STYLE: &str = "<style>
.ground{fill:#fff}.text{fill:#57606a}.title{fill:#1f2328;font-size:15px;font-weight:600}.name{fill:#1f2328;font-weight:600}
.grid{stroke:#8c959f;stroke-opacity:.35;fill:none}.fault{fill:#cf222e;fill-opacity:.10}
.closed{fill:#8c959f;fill-opacity:.35}.throttled{fill:#bf8700}.open{fill:#cf222e}.half_open{fill:#8250df}.recovering{fill:#2da44e}
.observe,.forced_open,.forced_closed{fill:#57606a}
.success{stroke:#1a7f37;stroke-width:1.8;fill:none}.offered{stroke:#0969da;stroke-width:1.1;fill:none}.shed{stroke:#cf222e;stroke-width:1.1;stroke-dasharray:3 2;fill:none}
@media (prefers-color-scheme:dark){.ground{fill:#0d1117}.text{fill:#9198a1}.title,.name{fill:#f0f6fc}.fault{fill:#f85149;fill-opacity:.16}.success{stroke:#3fb950}.offered{stroke:#4493f8}.shed{stroke:#f85149}}
</style>
";
const WIDTH: f64 = 960.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 56.0;
/// The width of a letter, on average and a little more.
const LETTER: f64 = 6.2;
const HEAD: f64 = 72.0;
const FOOT: f64 = 16.0;
const TITLE: f64 = 20.0;
const LANE: f64 = 14.0;
const PLOT: f64 = 120.0;
const GAP: f64 = 16.0;
const MOST_LANES: usize = 12;
const MOST_POINTS: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_has_room() {
        let drawn = |name: &str| {
            let lanes = [(name.to_owned(), vec![(Monotonic::default(), State::Closed)])];
            let panels = vec![Panel { name: "p", lanes: &lanes, points: Vec::new() }];
            let duration = Duration::from_secs(1);
            Picture { title: "t".to_owned(), summary: "s", duration, bands: Vec::new(), panels }
                .draw()
        };
        assert!(drawn("short").contains(r#"viewBox="0 0 960 "#));
        assert!(drawn(&"long ".repeat(10)).contains(r#"viewBox="-202 0 1162 "#));
    }
}
