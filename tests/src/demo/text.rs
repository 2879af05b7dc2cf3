//! Numbers with their units, and colours where they are wanted.
//!
//! Invariant: a missing value is a dash, never a zero.

use std::time::Duration;

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) is_on: bool,
}

/// The colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Plain,
    Bold,
    Faint,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Paint {
    /// The text, coloured. Pad it first: the colour has no width but has length.
    pub(super) fn apply(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Plain => return text.to_owned(),
            Colour::Bold => "1",
            Colour::Faint => "2",
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Cyan => "36",
        };
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A share of 0 to 1, in percent.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(dash, |share| format!("{:.1} %", share * 100.0))
}

/// In microseconds, milliseconds or seconds.
pub(super) fn latency(microseconds: Option<u64>) -> String {
    microseconds.map_or_else(dash, |microseconds| {
        let seconds = Duration::from_micros(microseconds).as_secs_f64();
        match microseconds {
            0..1_000 => format!("{microseconds} µs"),
            1_000..100_000 => format!("{:.1} ms", seconds * 1000.0),
            _ => format!("{seconds:.1} s"),
        }
    })
}

/// Seconds, to the hundredth.
pub(super) fn seconds(milliseconds: Option<u64>) -> String {
    milliseconds.map_or_else(dash, |milliseconds| {
        format!("{:.2} s", Duration::from_millis(milliseconds).as_secs_f64())
    })
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_units_and_absence_is_a_dash() {
        assert_eq!(percent(Some(0.6667)), "66.7 %");
        assert_eq!(latency(Some(230)), "230 µs");
        assert_eq!(latency(Some(2_500_123)), "2.5 s");
        assert_eq!(seconds(Some(2_120)), "2.12 s");
        assert_eq!((percent(None), latency(None), seconds(None)), (dash(), dash(), dash()));
    }
}
