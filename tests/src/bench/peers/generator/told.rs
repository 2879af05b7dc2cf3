//! What became of the calls, and how the generator's process tells of it.
//!
//! Invariant: what is told can be read back, and nothing is left out.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

/// All of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Story {
    /// In the order they ended.
    pub(in super::super) calls: Vec<Call>,
    /// Nanoseconds the generator's thread has run.
    pub(in super::super) cpu_ns: u64,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Call {
    /// When it was due, in microseconds from the start.
    pub(in super::super) due_us: u64,
    /// From then until it ended, in nanoseconds.
    pub(in super::super) took_ns: u64,
    /// Its end.
    pub(in super::super) fate: Fate,
    /// Addresses that were tried.
    pub(in super::super) attempts: u32,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Fate {
    /// With an answer.
    Answered,
    /// No address could be connected to; the last one's error number.
    NotConnected(i32),
    /// The connection failed with this error number while it waited.
    Lost(i32),
    /// The connection was ended without an answer.
    Ended,
    /// There was no connection in time.
    ConnectTimeout,
    /// There was no answer in time.
    Timeout,
}

impl Story {
    /// As lines of text.
    pub(super) fn tell(&self) -> String {
        let mut text = String::new();
        for Call { due_us, took_ns, fate, attempts } in &self.calls {
            let (letter, number) = fate.code();
            writeln!(text, "{due_us} {took_ns} {letter}{number} {attempts}").expect(TAKES_IT);
        }
        writeln!(text, "{CPU} {}", self.cpu_ns).expect(TAKES_IT);
        text
    }

    /// Of what was told.
    pub(super) fn read(text: &str) -> Result<Self> {
        let (calls, cpu) = text.rsplit_once(CPU).context("the generator did not finish")?;
        let cpu_ns = cpu.trim().parse().context("the generator tells no processor time")?;
        let read = |line| Call::read(line).with_context(|| format!("the generator told {line:?}"));
        Ok(Self { calls: calls.lines().map(read).collect::<Result<_>>()?, cpu_ns })
    }
}

impl Call {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            due_us: words.next()?.parse().ok()?,
            took_ns: words.next()?.parse().ok()?,
            fate: Fate::read(words.next()?)?,
            attempts: words.next()?.parse().ok()?,
        })
    }
}

impl Fate {
    const fn code(self) -> (char, i32) {
        match self {
            Self::Answered => ('a', 0),
            Self::NotConnected(errno) => ('n', errno),
            Self::Lost(errno) => ('l', errno),
            Self::Ended => ('e', 0),
            Self::ConnectTimeout => ('c', 0),
            Self::Timeout => ('t', 0),
        }
    }

    fn read(word: &str) -> Option<Self> {
        let number = word.get(1..)?.parse().ok()?;
        Some(match word.chars().next()? {
            'a' => Self::Answered,
            'n' => Self::NotConnected(number),
            'l' => Self::Lost(number),
            'e' => Self::Ended,
            'c' => Self::ConnectTimeout,
            't' => Self::Timeout,
            _ => return None,
        })
    }
}

const CPU: &str = "cpu";
const TAKES_IT: &str = "a string takes what is written to it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_can_be_read_back() {
        let fates = [
            Fate::Answered,
            Fate::NotConnected(111),
            Fate::Lost(104),
            Fate::Ended,
            Fate::ConnectTimeout,
            Fate::Timeout,
        ];
        let call = |fate| Call { due_us: 7, took_ns: 8_000, fate, attempts: 2 };
        let story = Story { calls: fates.map(call).to_vec(), cpu_ns: 9 };
        assert_eq!(Story::read(&story.tell()).expect("it is whole"), story);
        assert!(Story::read("7 8000 a0 1\n").is_err(), "it did not finish");
        assert!(Story::read("7 8000 z0 1\ncpu 1\n").is_err(), "no such end");
    }
}
