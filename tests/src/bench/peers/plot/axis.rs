//! Where an axis begins and ends, and where it has marks.
//!
//! Invariant: an axis covers every number it is made for, and each mark is a round number upon it.

use super::Scale;

/// From one number to a larger one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Span {
    /// Exactly what the numbers take.
    pub(super) fn tight(scale: Scale, numbers: impl Iterator<Item = f64>) -> Self {
        let (low, high) = extremes(scale, numbers);
        let (low, high) = match scale {
            Scale::Linear if low >= high => (low - 0.5, high + 0.5),
            Scale::Log if low >= high => (low / 2.0, high * 2.0),
            Scale::Linear | Scale::Log => (low, high),
        };
        Self { scale, low, high }
    }

    /// What the numbers take, from zero or a power of ten to one of at most so many marks.
    pub(super) fn round(scale: Scale, numbers: impl Iterator<Item = f64>, most: usize) -> Self {
        let (low, high) = extremes(scale, numbers);
        match scale {
            Scale::Linear => {
                let (low, high) = (low.min(0.0), high.max(0.0));
                let high = if low >= high { low + 1.0 } else { high };
                let step = step(high - low, most);
                let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
                Self { scale, low, high }
            }
            Scale::Log => {
                let (low, high) = (low.log10().floor(), high.log10().ceil());
                let high = if low >= high { low + 1.0 } else { high };
                Self { scale, low: 10_f64.powf(low), high: 10_f64.powf(high) }
            }
        }
    }

    /// Where a number is between the ends: 0 to 1. None for what this axis cannot show.
    pub(super) fn part(self, number: f64) -> Option<f64> {
        let part = match self.scale {
            Scale::Linear => (number - self.low) / (self.high - self.low),
            Scale::Log if number > 0.0 => (number / self.low).ln() / (self.high / self.low).ln(),
            Scale::Log => return None,
        };
        part.is_finite().then(|| part.clamp(0.0, 1.0))
    }

    /// Where marks are, and what they say: at most so many, and one more where they begin at zero.
    pub(super) fn marks(self, most: usize) -> Vec<(f64, String)> {
        let numbers = match self.scale {
            Scale::Linear => self.even_marks(most),
            Scale::Log => self.decades(most),
        };
        numbers.into_iter().map(|number| (number, text(number))).collect()
    }

    fn even_marks(self, most: usize) -> Vec<f64> {
        let step = step(self.high - self.low, most);
        let first = (self.low / step - ROUNDING).ceil();
        let nth = |index: usize| (first + super::count(index)) * step;
        // Adding zero turns a negative one into zero.
        let marks = (0..=2 * most).map(nth).map(|number| number + 0.0);
        marks.take_while(|number| *number <= self.high + step * ROUNDING).collect()
    }

    /// Powers of ten, with twos and fives between them where there is room, or only some.
    fn decades(self, most: usize) -> Vec<f64> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let decades = high - low;
        let parts: &[f64] =
            if decades * 3.0 <= super::count(most) { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = (decades / super::count(most.max(1))).ceil().max(1.0);
        let mut marks = Vec::new();
        let mut decade = low.floor();
        while decade <= high + ROUNDING {
            marks.extend(parts.iter().map(|part| part * 10_f64.powf(decade)));
            decade += stride;
        }
        let (low, high) = (self.low * (1.0 - ROUNDING), self.high * (1.0 + ROUNDING));
        marks.retain(|mark| (low..=high).contains(mark));
        marks
    }
}

/// The least and the most of those that can be shown; of none, those of a plain axis.
fn extremes(scale: Scale, numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let can_be_shown =
        |number: &f64| number.is_finite() && (scale == Scale::Linear || *number > 0.0);
    let ends = numbers.filter(can_be_shown).fold(None, |ends: Option<(f64, f64)>, number| {
        let (low, high) = ends.unwrap_or((number, number));
        Some((low.min(number), high.max(number)))
    });
    ends.unwrap_or(if scale == Scale::Linear { (0.0, 1.0) } else { (1.0, 10.0) })
}

/// One, two or five of some power of ten, of which at most so many make up the length.
fn step(length: f64, most: usize) -> f64 {
    let least = length / super::count(most.max(1));
    let decade = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|part| part * decade);
    let fits = |step: &f64| *step >= least * (1.0 - ROUNDING);
    steps.into_iter().find(fits).unwrap_or(10.0 * decade)
}

/// A number as a person writes it: `0.05`, `200`, `10k`, `2M`.
pub(super) fn text(number: f64) -> String {
    let size = number.abs();
    if size < 1e-9 {
        return "0".to_owned();
    }
    let (number, unit) = match size {
        size if size >= 1e9 - 1.0 => (number / 1e9, "G"),
        size if size >= 1e6 - 1e-3 => (number / 1e6, "M"),
        size if size >= 1e4 - 1e-5 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let digits = format!("{number:.6}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}{unit}")
}

/// What arithmetic may lose, as a part of a step.
const ROUNDING: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(span: Span, most: usize) -> Vec<String> {
        span.marks(most).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn even_marks_are_round() {
        let numbers = [0.0, 3.7, 18.0].into_iter();
        assert_eq!(marks(Span::round(Scale::Linear, numbers, 5), 5), ["0", "5", "10", "15", "20"]);
        let small = Span::round(Scale::Linear, [0.02, 0.11].into_iter(), 5);
        assert_eq!(marks(small, 5), ["0", "0.05", "0.1", "0.15"]);
        let large = Span::round(Scale::Linear, [41_000.0].into_iter(), 5);
        assert_eq!(marks(large, 5), ["0", "10k", "20k", "30k", "40k", "50k"]);
        let below = Span::round(Scale::Linear, [-3.0, 4.0].into_iter(), 5);
        assert_eq!(marks(below, 5), ["-4", "-2", "0", "2", "4"]);
    }

    #[test]
    fn a_tight_axis_has_marks_inside() {
        let span = Span::tight(Scale::Linear, [1.5, 9.2].into_iter());
        assert_eq!(marks(span, 5), ["2", "4", "6", "8"]);
        let single = Span::tight(Scale::Linear, [3.0].into_iter());
        assert_eq!(marks(single, 2), ["2.5", "3", "3.5"]);
    }

    #[test]
    fn magnitudes_are_marked_by_powers_of_ten() {
        let span = Span::round(Scale::Log, [3.0, 2_000_000.0].into_iter(), 5);
        assert_eq!(marks(span, 8), ["1", "10", "100", "1000", "10k", "100k", "1M", "10M"]);
        assert_eq!(marks(span, 4), ["1", "100", "10k", "1M"]);
        let narrow = Span::tight(Scale::Log, [100.0, 1000.0].into_iter());
        assert_eq!(marks(narrow, 6), ["100", "200", "500", "1000"]);
        let below = Span::round(Scale::Log, [0.002, 0.5].into_iter(), 5);
        assert_eq!(marks(below, 5), ["0.001", "0.01", "0.1", "1"]);
    }

    #[test]
    fn what_cannot_be_shown_has_no_place() {
        let span = Span::round(Scale::Log, [0.0, f64::NAN, 10.0, 100.0].into_iter(), 5);
        assert_eq!(span.part(0.0), None);
        assert_eq!(span.part(f64::NAN), None);
        assert_eq!(span.part(10.0), Some(0.0));
        assert_eq!(span.part(100.0), Some(1.0));
    }
}
