//! Where the demo speaks: a terminal with a panel that is redrawn in place, plain lines, or
//! nothing but the result.
//!
//! Invariant: what is said stays, in order, above the panel, and the terminal is as it was when
//! the screen is dropped.

use std::env;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::live::Frame;
use super::text::{Colour, Paint};
use crate::clock::now;

/// How to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A terminal.
    Live,
    /// A file or a pipe: one line a second.
    Lines,
    /// Only the result.
    Silent,
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Screen {
    mode: Mode,
    paint: Paint,
    panel_height: usize,
    last_line: Option<Instant>,
}

impl Mode {
    /// What suits standard output.
    pub(super) fn suitable() -> Self {
        let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        if stdout().is_terminal() && !is_dumb { Self::Live } else { Self::Lines }
    }
}

impl Screen {
    pub(super) fn new(mode: Mode) -> Self {
        let may_colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let paint = Paint { is_on: mode == Mode::Live && may_colour };
        Self { mode, paint, panel_height: 0, last_line: None }
    }

    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    /// A new act.
    pub(super) fn heading(&mut self, title: &str, why: &str) -> Result<()> {
        let title = self.paint.apply(Colour::Bold, title);
        self.say(&format!("\n{title}\n  {why}"))
    }

    /// What the daemon said happened, and why; on two lines where one is too short.
    pub(super) fn narrate(&mut self, change: &str, why: &str) -> Result<()> {
        let is_long = change.len() + 1 + why.len() > COLUMNS;
        let gap = if is_long { "\n           " } else { " " };
        let said = self.paint.apply(Colour::Cyan, &format!("{change}{gap}{why}"));
        self.say(&said)
    }

    /// Text that stays.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        if self.mode == Mode::Silent {
            return Ok(());
        }
        self.clear_panel()?;
        self.print(text)
    }

    /// The picture of this moment; as a line only once a second.
    pub(super) fn show(&mut self, frame: &Frame) -> Result<()> {
        match self.mode {
            Mode::Silent => Ok(()),
            Mode::Live => self.draw(frame),
            Mode::Lines if self.last_line.is_some_and(|at| at.elapsed() < LINE_PERIOD) => Ok(()),
            Mode::Lines => {
                self.last_line = Some(now());
                self.print(&frame.line())
            }
        }
    }

    /// Removes the panel, if there is one.
    pub(super) fn clear_panel(&mut self) -> Result<()> {
        let height = std::mem::take(&mut self.panel_height);
        if height == 0 { Ok(()) } else { write(&erase(height)) }
    }

    /// Text that stays, in every mode.
    #[expect(clippy::unused_self, reason = "whoever prints holds the screen")]
    pub(super) fn print(&self, text: &str) -> Result<()> {
        write(&format!("{text}\n"))
    }

    /// One write, so that no half of a panel is ever seen.
    fn draw(&mut self, frame: &Frame) -> Result<()> {
        let lines = frame.panel(self.paint);
        let height = lines.len() + 1;
        let before = if self.panel_height == 0 { String::new() } else { erase(self.panel_height) };
        self.panel_height = height;
        // Without wrapping a narrow terminal cuts lines off, and their number stays known.
        write(&format!("{HIDE_CURSOR}{NO_WRAP}{before}\n{}\n{WRAP}", lines.join("\n")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.mode == Mode::Live {
            // Without a terminal there is nothing to put right.
            drop(write(&format!("{WRAP}{SHOW_CURSOR}")));
        }
    }
}

fn write(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to the output")
}

/// Up to the first line of the panel, and nothing below.
fn erase(height: usize) -> String {
    format!("\x1b[{height}F\x1b[J")
}

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const COLUMNS: usize = 80;
const LINE_PERIOD: Duration = Duration::from_secs(1);
