//! What the subcommands share in speaking to people: tables, colours, units.

use std::io::{IsTerminal as _, stdout};
use std::time::SystemTime;

/// Whether colours are welcome: not where `NO_COLOR` is set.
pub(super) fn wants_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How text is coloured; only on a terminal, and not where `NO_COLOR` is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    enabled: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Cyan,
    Faint,
    Bold,
}

impl Colour {
    /// Of a breaker in that state.
    pub(super) fn of_state(state: &str) -> Self {
        match state {
            "closed" => Self::Green,
            "open" | "forced_open" => Self::Red,
            "throttled" | "half_open" | "recovering" => Self::Yellow,
            "forced_closed" => Self::Cyan,
            _ => Self::Faint,
        }
    }
}

impl Paint {
    /// For standard output.
    pub(super) fn stdout() -> Self {
        Self { enabled: stdout().is_terminal() && wants_colours() }
    }

    /// For text that stays without colours.
    #[cfg(test)]
    pub(super) const fn plain() -> Self {
        Self { enabled: false }
    }

    /// Whether there are colours.
    pub(super) const fn is_enabled(self) -> bool {
        self.enabled
    }

    pub(super) fn apply(self, colour: Colour, text: &str) -> String {
        if !self.enabled {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Cyan => "36",
            Colour::Faint => "2",
            Colour::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// What bars and curves are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyphs {
    Unicode,
    Ascii,
}

impl Glyphs {
    /// What the locale of this process lets one expect of its terminal.
    pub(super) fn of_locale() -> Self {
        let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
        let locale = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
        let locale = locale.to_string_lossy().to_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") {
            Self::Unicode
        } else {
            Self::Ascii
        }
    }

    /// Parts of a bar's last cell, from the least to a full one.
    pub(super) const fn bars(self) -> &'static [char] {
        match self {
            Self::Unicode => &['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'],
            Self::Ascii => &['#'],
        }
    }

    /// Heights of one cell of a curve, from nothing to a full one.
    pub(super) const fn heights(self) -> &'static [char] {
        match self {
            Self::Unicode => &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => &['_', '.', ':', '-', '=', '+', '*', '#'],
        }
    }
}

/// A table with a heading, its columns as wide as their widest cell.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The lines, the heading bold; `colour` may colour any other cell, given its column and text.
    pub(super) fn render(
        &self,
        paint: Paint,
        colour: impl Fn(usize, &str) -> Option<Colour>,
    ) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let is_last = column + 1 == row.len();
                let padding = if is_last { 0 } else { widths[column] - cell.chars().count() + 2 };
                let colour = if index == 0 { Some(Colour::Bold) } else { colour(column, cell) };
                match colour {
                    Some(colour) => line.push_str(&paint.apply(colour, cell)),
                    None => line.push_str(cell),
                }
                line.push_str(&" ".repeat(padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A latency with a unit that keeps it short.
pub(super) fn latency(microseconds: Option<u64>) -> String {
    match microseconds {
        None => "-".to_owned(),
        Some(us) if us < 1_000 => format!("{us}us"),
        Some(us) if us < 100_000 => format!("{}.{}ms", us / 1000, us % 1000 / 100),
        Some(us) if us < 10_000_000 => format!("{}ms", us / 1000),
        Some(us) => format!("{}s", us / 1_000_000),
    }
}

/// A size with a unit that keeps it short.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        ..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000.. => format!("{} MB", bytes / 1_000_000),
    }
}

/// A time in seconds; a dash when there is none.
pub(super) fn time(milliseconds: Option<u64>) -> String {
    milliseconds.map_or_else(dash, |ms| match ms {
        ..10_000 => format!("{}.{:02}s", ms / 1000, ms % 1000 / 10),
        _ => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
    })
}

/// What stands where there is nothing.
pub(super) fn dash() -> String {
    "-".to_owned()
}

/// The time span between an RFC 3339 time and now, to the second; a dash when it cannot be read.
pub(super) fn span(time: &str) -> String {
    span_at(time, crate::clock::wall(crate::clock::now()))
}

/// As [`span`], at another time than now.
pub(super) fn span_at(time: &str, now: SystemTime) -> String {
    humantime::parse_rfc3339(time).map_or_else(
        |_unreadable| "-".to_owned(),
        |time| {
            let span = time.duration_since(now).or_else(|_past| now.duration_since(time));
            let seconds = span.unwrap_or_default().as_secs();
            humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
        },
    )
}

/// An error and its causes in one line, without those that say what was said already.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| {
        match (said.is_empty(), said.contains(&cause)) {
            (true, _) => cause,
            (false, true) => said,
            (false, false) => format!("{said}: {cause}"),
        }
    })
}

/// Lets a closed pipe end the process as it ends other tools, instead of a panic on the next line.
#[expect(unsafe_code, reason = "restores the signal's default action before any thread exists")]
pub(super) fn die_quietly_with_reader() {
    // SAFETY: no other thread runs yet and no handler of ours is replaced.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["A", "LONG"]);
        table.push(vec!["wide".to_owned(), "x".to_owned()]);
        let text = table.render(Paint::plain(), |_, _| None);
        assert_eq!(text, "A     LONG\nwide  x\n");
    }

    #[test]
    fn an_error_says_nothing_twice() {
        let cause = std::io::Error::other("no space");
        let error =
            anyhow::Error::from(cause).context("cannot write").context("cannot write: no space");
        assert_eq!(sentence(&error), "cannot write: no space");
    }

    #[test]
    fn latencies_are_short() {
        let shown: Vec<_> =
            [Some(7), Some(1_250), Some(250_000), Some(12_000_000), None].map(latency).into();
        assert_eq!(shown, ["7us", "1.2ms", "250ms", "12s", "-"]);
    }
}
