//! What the person at the terminal reads: timed steps, progress and errors.
//!
//! Invariant: all of it goes to standard error, so that standard output stays what the demo, the
//! benchmark or tidy print; colours only on a terminal and never with `NO_COLOR`.

#![expect(clippy::print_stderr, reason = "telling the person at the terminal is the purpose")]

use std::env;
use std::fmt;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use anyhow::Result;

/// What a step found or did.
#[derive(Debug)]
pub(crate) struct Done<T> {
    /// What later steps use.
    pub(crate) value: T,
    /// Whether the machine is different now.
    pub(crate) change: Change,
    /// One line for the person: which, what version, where.
    pub(crate) detail: String,
}

/// Whether a step changed the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was all there.
    None,
    /// Something was installed.
    Installed,
}

/// Which steps are worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// All of them: setup is what was asked for.
    Everything,
    /// Those that changed the machine or failed: setup is on the way to something else.
    OnlyChanges,
}

impl Report {
    /// Do one step and say how it went and how long it took.
    pub(crate) fn step<T>(self, name: &str, work: impl FnOnce() -> Result<Done<T>>) -> Result<T> {
        let watch = Stopwatch::start();
        match work() {
            Ok(done) => {
                let Done { value, change, detail } = done;
                match change {
                    Change::None if self == Self::OnlyChanges => {}
                    Change::None => tagged(GREEN, "ok", &format!("{name}: {detail}  {watch}")),
                    Change::Installed => {
                        tagged(GREEN, "installed", &format!("{name}: {detail}  {watch}"));
                    }
                }
                Ok(value)
            }
            Err(error) => {
                tagged(RED, "missing", &format!("{name}  {watch}"));
                Err(error)
            }
        }
    }
}

/// Say what is about to take more than a moment.
pub(crate) fn announce(what: &str) {
    tagged(YELLOW, "..", what);
}

/// Say something worth knowing that stops nothing.
pub(crate) fn note(what: &str) {
    tagged(YELLOW, "note", what);
}

/// Print one line that begins with `[tag]`.
pub(crate) fn tagged(colour: Colour, tag: &str, text: &str) {
    let (on, off) = if colours() { (colour.0, "\x1b[0m") } else { ("", "") };
    eprintln!("[{on}{tag}{off}] {text}");
}

/// Print a line as it is.
pub(crate) fn plain(text: &str) {
    eprintln!("{text}");
}

/// Print the error that ends the chore.
pub(crate) fn print_error(error: &anyhow::Error) {
    let (on, off) = if colours() { (RED.0, "\x1b[0m") } else { ("", "") };
    eprintln!("{on}error{off}: {error:#}");
}

/// Measures how long something takes and prints it in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Start measuring.
    #[expect(clippy::disallowed_methods, reason = "times what a person waits for, not the kernel")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

impl fmt::Display for Stopwatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&seconds(self.elapsed()))
    }
}

/// A duration as a person reads it: `0.02 s`, `57.1 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.2} s") } else { format!("{seconds:.1} s") }
}

fn colours() -> bool {
    stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A terminal colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Colour(&'static str);

/// All is well.
pub(crate) const GREEN: Colour = Colour("\x1b[32m");
/// Something failed.
pub(crate) const RED: Colour = Colour("\x1b[31m");
/// Something to know or to wait for.
pub(crate) const YELLOW: Colour = Colour("\x1b[33m");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_the_digits_that_matter() {
        assert_eq!(seconds(Duration::from_millis(21)), "0.02 s");
        assert_eq!(seconds(Duration::from_millis(57_140)), "57.1 s");
    }
}
