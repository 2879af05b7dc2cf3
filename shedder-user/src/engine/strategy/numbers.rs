//! The numbers of a reason in one shape, for programs.

use super::super::window::Span;
use super::{Measure, Reason};

/// What was compared with what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// What was seen.
    pub value: f64,
    /// What it was compared with.
    pub limit: f64,
    /// Of both: `failures`, `share`, `seconds`, `per_second` or `connections`.
    pub unit: &'static str,
    /// From how many outcomes, latencies, segments or endpoints.
    pub samples: u64,
    /// The window looked at, where there is one.
    pub window: Option<Span>,
}

impl Reason {
    /// The numbers that decided; of several rules that held together those of the first.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn numbers(&self) -> Option<Numbers> {
        let numbers = |value, limit, unit, samples, window| {
            Some(Numbers { value, limit, unit, samples, window })
        };
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        match *self {
            Self::Consecutive { failures, limit } => {
                numbers(failures as f64, f64::from(limit), "failures", failures, None)
            }
            Self::FailureShare { attempts, bound, at_least, window, .. } => {
                numbers(bound, at_least, "share", attempts, Some(window))
            }
            Self::SlowShare { samples, bound, at_least, window, .. } => {
                numbers(bound, at_least, "share", samples, Some(window))
            }
            Self::Latency { value, limit, samples, unfinished, window, .. } => {
                let (value, limit) = (value.as_secs_f64(), limit.as_secs_f64());
                numbers(value, limit, "seconds", samples.saturating_add(unfinished), Some(window))
            }
            Self::Apdex { satisfied, samples, at_least, window, .. } => {
                numbers(share(satisfied, samples), at_least, "share", samples, Some(window))
            }
            Self::SloDrift { value, limit, samples, .. } => {
                numbers(value.as_secs_f64(), limit.as_secs_f64(), "seconds", samples, None)
            }
            Self::RetransmitShare { retransmits, segments, over, window } => {
                numbers(share(retransmits, segments), over, "share", segments, Some(window))
            }
            Self::Outlier { measure, value, limit, peers, .. } => {
                let unit = match measure {
                    Measure::FailureShare => "share",
                    Measure::Latency(..) => "seconds",
                };
                numbers(value, limit, unit, peers as u64, None)
            }
            Self::Surge { failures, per_second, usual_per_second, times, window } => {
                let limit = usual_per_second * times;
                numbers(per_second, limit, "per_second", failures, Some(window))
            }
            Self::InFlight { in_flight, limit } => {
                numbers(in_flight as f64, limit as f64, "connections", in_flight, None)
            }
            Self::All(ref reasons) => reasons.first().and_then(Self::numbers),
            Self::Lasting { ref reason, .. } => reason.numbers(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_the_first() {
        let first = Reason::RetransmitShare {
            retransmits: 20,
            segments: 100,
            over: 0.15,
            window: Span::Count(100),
        };
        let numbers = first.numbers().expect("it has some");
        assert!((numbers.value - 0.2).abs() < 1e-12);
        assert_eq!((numbers.unit, numbers.samples), ("share", 100));
        let both = Reason::All(vec![first, Reason::InFlight { in_flight: 30, limit: 20 }]);
        assert_eq!(both.numbers(), Some(numbers));
    }

    #[test]
    fn a_surge_is_compared_with_so_many_usual_rates() {
        let (per_second, usual_per_second, times) = (3.0, 0.5, 4.0);
        let window = Span::Count(100);
        let surge = Reason::Surge { failures: 30, per_second, usual_per_second, times, window };
        let numbers = surge.numbers().expect("it has some");
        assert!((numbers.limit - 2.0).abs() < 1e-12, "{}", numbers.limit);
    }
}
