//! How things are drawn: colours, curves, and text cut to a width.
//!
//! Invariant: what a colour says is also said in words or by a sign.

use std::iter;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::cli::output::{Glyphs, wants_colours};

/// What the terminal and its user want.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) has_colours: bool,
    pub(super) glyphs: Glyphs,
}

impl Look {
    pub(super) fn of_terminal() -> Self {
        Self { has_colours: wants_colours(), glyphs: Glyphs::of_locale() }
    }

    /// As `shedder status` colours states.
    pub(super) fn of_state(self, state: &str) -> Style {
        let colour = match state {
            "closed" => Color::Green,
            "open" | "forced_open" => Color::Red,
            "throttled" | "half_open" | "recovering" => Color::Yellow,
            "forced_closed" => Color::Cyan,
            _ => return FAINT,
        };
        self.coloured(colour)
    }

    pub(super) fn alarm(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// The last values as a curve of `width` cells, the highest of them at the top.
    pub(super) fn curve<'a>(
        self,
        values: impl DoubleEndedIterator<Item = &'a f64>,
        width: usize,
    ) -> String {
        let mut last: Vec<f64> = values.rev().take(width).copied().collect();
        last.reverse();
        let heights = self.glyphs.heights();
        let highest = last.iter().copied().fold(0.0, f64::max);
        let curve = last.iter().map(|value| height(*value, highest, heights));
        iter::repeat_n(' ', width - last.len()).chain(curve).collect()
    }

    /// `text` in at most `width` cells; what is cut off leaves a sign.
    pub(super) fn fit(self, text: &str, width: usize) -> String {
        if text.chars().count() <= width {
            return text.to_owned();
        }
        let sign = match self.glyphs {
            Glyphs::Unicode => '…',
            Glyphs::Ascii => '~',
        };
        text.chars().take(width.saturating_sub(1)).chain(iter::once(sign)).take(width).collect()
    }

    /// As [`Look::fit`], but what identifies an endpoint, the end of it, stays.
    pub(super) fn fit_end(self, text: &str, width: usize) -> String {
        let length = text.chars().count();
        if length <= width {
            return text.to_owned();
        }
        let reversed: String = text.chars().rev().collect();
        self.fit(&reversed, width).chars().rev().collect()
    }
}

impl Look {
    fn coloured(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }
}

fn height(value: f64, highest: f64, heights: &[char]) -> char {
    if highest <= 0.0 {
        return heights[0];
    }
    #[expect(clippy::cast_precision_loss, reason = "eight of them")]
    let top = (heights.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
    let index = (value / highest * top).ceil() as usize;
    heights[index.min(heights.len() - 1)]
}

/// `text` in lines of at most `width` cells, broken between words where it can be.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        loop {
            let line = lines.last_mut().expect("there is one");
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            let length = word.chars().count();
            if used + gap + length <= width {
                line.extend(iter::repeat_n(' ', gap));
                line.push_str(&word);
                break;
            }
            if used == 0 {
                let rest = word.chars().skip(width.max(1)).collect();
                line.extend(word.chars().take(width.max(1)));
                word = rest;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// Where lines are written one below the other, as long as there is room.
#[derive(Debug)]
pub(super) struct Page<'buffer> {
    buffer: &'buffer mut Buffer,
    line: u16,
    end: u16,
}

impl<'buffer> Page<'buffer> {
    /// The lines from `line` to before `end`.
    pub(super) fn new(buffer: &'buffer mut Buffer, line: u16, end: u16) -> Self {
        let end = end.min(buffer.area.height);
        Self { buffer, line, end }
    }

    pub(super) fn width(&self) -> usize {
        self.buffer.area.width.into()
    }

    /// Lines that are left.
    pub(super) fn left(&self) -> usize {
        self.end.saturating_sub(self.line).into()
    }

    /// Writes one line of parts, each with its style.
    pub(super) fn line(&mut self, parts: &[(String, Style)]) {
        if self.line >= self.end {
            return;
        }
        let mut column = 0;
        for (text, style) in parts {
            let room = usize::from(self.buffer.area.width.saturating_sub(column));
            (column, _) = self.buffer.set_stringn(column, self.line, text, room, *style);
        }
        self.line += 1;
    }

    /// Writes one line in one style.
    pub(super) fn plain(&mut self, text: &str, style: Style) {
        self.line(&[(text.to_owned(), style)]);
    }

    /// Writes one line in one style that reaches from edge to edge.
    pub(super) fn band(&mut self, text: &str, style: Style) {
        let width = self.width();
        self.plain(&format!("{text:<width$}"), style);
    }
}

/// What matters less.
pub(super) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
/// Headings.
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
/// What is selected, and what wants an answer.
pub(super) const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);
