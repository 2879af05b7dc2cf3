//! How soon the rules of a policy can act on an endpoint that fails wholly: arithmetic on their
//! constants, no evidence.
//!
//! Invariant: a lower bound. At a steady rate of calls a sliding window of time `W` reaches the
//! share `r` no sooner than `W · r` after everything began to fail, and no call is known to take
//! longer than `L` before `L` has passed.

use std::time::Duration;

use super::super::rule::{Response, Rule};
use super::super::strategy::{Limit, Measure, Strategy};
use super::super::window::Span;
use super::Policy;

/// The least it takes to act on an endpoint that fails wholly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BestCase {
    /// Since it began to fail; zero where only attempts count.
    pub time: Duration,
    /// Attempts that must have been made, at least one.
    pub attempts: u64,
}

impl Policy {
    /// The best case of the rule that can shed soonest; nothing when no rule sheds, because those
    /// that can hold at all only raise an alarm.
    pub fn best_case(&self) -> Option<BestCase> {
        let sheds = self.trip.iter().filter(|trip| trip.response != Response::Alarm);
        sheds.filter_map(|trip| trip.rule.best_case()).min()
    }
}

impl Rule {
    fn best_case(&self) -> Option<BestCase> {
        match self {
            Self::One(strategy) => strategy.best_case(),
            Self::Any(rules) => rules.iter().filter_map(Self::best_case).min(),
            Self::All(rules) => {
                let parts: Option<Vec<BestCase>> = rules.iter().map(Self::best_case).collect();
                parts?.into_iter().reduce(|one, other| BestCase {
                    time: one.time.max(other.time),
                    attempts: one.attempts.max(other.attempts),
                })
            }
            Self::Lasting { rule, evaluations, every } => {
                let BestCase { time, attempts } = rule.best_case()?;
                let more = every.saturating_mul(evaluations.saturating_sub(1));
                Some(BestCase { time: time.saturating_add(more), attempts })
            }
        }
    }
}

impl Strategy {
    /// Nothing when it can never hold.
    fn best_case(&self) -> Option<BestCase> {
        let (wait, share, sample, window) = match self {
            Self::Consecutive { failures } => {
                return Some(BestCase {
                    time: Duration::ZERO,
                    attempts: u64::from(*failures).max(1),
                });
            }
            Self::InFlight { over } => {
                return Some(BestCase { time: Duration::ZERO, attempts: over.saturating_add(1) });
            }
            Self::Surge { min_failures, .. } => {
                return Some(BestCase { time: Duration::ZERO, attempts: (*min_failures).max(1) });
            }
            &Self::FailureShare {
                at_least,
                strictly,
                z,
                min_attempts,
                min_failures,
                window,
                ..
            } => {
                if strictly && at_least >= 1.0 {
                    return None;
                }
                let sample = min_attempts.max(min_failures).max(certain(at_least, z)?);
                (Duration::ZERO, at_least, sample, window)
            }
            Self::Latency { quantile_permille, over, min_samples, window, .. } => {
                let share = 1.0 - f64::from(*quantile_permille) / 1000.0;
                (least(over), share, *min_samples, *window)
            }
            Self::SlowShare { over, at_least, z, min_samples, window, .. } => {
                (least(over), *at_least, (*min_samples).max(certain(*at_least, *z)?), *window)
            }
            Self::Apdex { within, at_least, min_samples, window } => {
                (*within, 1.0 - at_least, *min_samples, *window)
            }
            Self::SloDrift { rule, quantile_permille, min_samples, window } => {
                let share = 1.0 - f64::from(*quantile_permille) / 1000.0;
                (rule.objective, share, *min_samples, *window)
            }
            // Segments are no attempts; one attempt sends many.
            Self::RetransmitShare { over, window, .. } => (Duration::ZERO, *over, 1, *window),
            Self::Outlier { measure, floor, min_attempts, window, .. } => match measure {
                Measure::FailureShare => (Duration::ZERO, floor.min(1.0), *min_attempts, *window),
                Measure::Latency(_, permille) => {
                    let wait = Duration::try_from_secs_f64(*floor).unwrap_or(Duration::MAX);
                    (wait, 1.0 - f64::from(*permille) / 1000.0, *min_attempts, *window)
                }
            },
        };
        Some(match window {
            Span::Time(window) => {
                BestCase { time: wait.saturating_add(part(window, share)), attempts: sample.max(1) }
            }
            // All that counts is how many of the last ones are bad.
            Span::Count(count) => {
                BestCase { time: wait, attempts: rounded_up(f64::from(count) * share).max(1) }
            }
        })
    }
}

/// Failures without a success whose share is certain to be that large; nothing if none are.
fn certain(share: f64, z: f64) -> Option<u64> {
    let z2 = z * z;
    if z2 > 0.0 && share >= 1.0 {
        return None;
    }
    // The lower end of the interval around n of n is n / (n + z²).
    Some(if z2 > 0.0 { rounded_up(z2 * share / (1.0 - share)) } else { 1 })
}

/// The least a limit can be.
const fn least(limit: &Limit) -> Duration {
    match limit {
        Limit::Fixed(over) => *over,
        Limit::Mean { floor, .. } | Limit::Baseline { floor, .. } => *floor,
    }
}

/// That share of a time, to the microsecond: shares are not exact.
fn part(time: Duration, share: f64) -> Duration {
    let micros = (time.as_secs_f64() * share * 1e6).round();
    Duration::try_from_secs_f64(micros / 1e6).unwrap_or(time)
}

fn rounded_up(value: f64) -> u64 {
    // A product of what is not exact is not rounded up for its last digits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts far below 2^53, and a cast saturates"
    )]
    let whole = (value - 1e-9).ceil().max(0.0) as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{DriftRule, LearnRule, Signal, scenarios};

    const SECOND: Duration = Duration::from_secs(1);
    const DEAD: Strategy = Strategy::Consecutive { failures: 5 };

    fn share(at_least: f64, z: f64, seconds: u64) -> Strategy {
        Strategy::FailureShare {
            at_least,
            strictly: false,
            z,
            min_attempts: 20,
            min_failures: 0,
            window: Span::Time(SECOND * u32::try_from(seconds).unwrap()),
            shrunk: None,
        }
    }

    fn best(rule: &Rule) -> Option<(u128, u64)> {
        rule.best_case().map(|best| (best.time.as_millis(), best.attempts))
    }

    fn lasting(rule: Rule) -> Rule {
        Rule::Lasting { rule: Box::new(rule), evaluations: 3, every: SECOND / 2 }
    }

    #[test]
    fn one_failure_of_one_is_all_of_them() {
        assert_eq!(certain(1.0, 0.0), Some(1));
        assert_eq!(certain(1.0, 1.96), None);
        assert_eq!(certain(0.5, 1.96), Some(4));
    }

    #[test]
    fn a_window_needs_its_share_of_time() {
        assert_eq!(best(&Rule::One(share(0.5, 0.0, 10))), Some((5_000, 20)));
        assert_eq!(best(&Rule::One(share(0.6, 0.0, 60))), Some((36_000, 20)));
        assert_eq!(best(&Rule::One(share(0.533, 0.0, 20))), Some((10_660, 20)));
        // 95 % of certainty of nine tenths takes more than the minimum.
        assert_eq!(best(&Rule::One(share(0.9, 1.96, 10))), Some((9_000, 35)));
        assert_eq!(best(&Rule::One(share(1.0, 1.96, 10))), None);
    }

    #[test]
    fn latency_shows_when_the_limit_has_passed() {
        let strategy = |window| Strategy::Latency {
            signal: Signal::Response,
            quantile_permille: 990,
            over: Limit::Fixed(2 * SECOND),
            min_samples: 20,
            window,
        };
        assert_eq!(best(&Rule::One(strategy(Span::Time(10 * SECOND)))), Some((2_100, 20)));
        assert_eq!(best(&Rule::One(strategy(Span::Count(300)))), Some((2_000, 3)));
    }

    #[test]
    fn a_share_of_slow_answers_adds_the_share_to_the_wait() {
        let (window, min_samples) = (Span::Time(10 * SECOND), 7);
        let apdex = Strategy::Apdex { within: SECOND / 5, at_least: 0.75, min_samples, window };
        assert_eq!(best(&Rule::One(apdex)), Some((2_700, 7)));
        let rule = DriftRule { objective: SECOND / 2, ..DriftRule::default() };
        let drift = Strategy::SloDrift { rule, quantile_permille: 900, min_samples, window };
        assert_eq!(best(&Rule::One(drift)), Some((1_500, 7)));
        let slow = |over, z| {
            let (signal, at_least) = (Signal::Response, 0.5);
            let slow = Strategy::SlowShare { signal, over, at_least, z, min_samples, window };
            best(&Rule::One(slow))
        };
        assert_eq!(slow(Limit::Fixed(SECOND), 0.0), Some((6_000, 7)));
        // The least a limit can be is its floor, and n of n must reach 9 / 2 of certainty.
        let mean = Limit::Mean { times: 2.0, floor: 3 * SECOND, cap: 9 * SECOND };
        assert_eq!(slow(mean, 3.0), Some((8_000, 9)));
        let outlier = |measure| {
            let (deviations, times, floor, min_attempts) = (3.0, 2.0, 0.25, 4);
            best(&Rule::One(Strategy::Outlier {
                measure,
                deviations,
                times,
                floor,
                min_attempts,
                window,
            }))
        };
        assert_eq!(outlier(Measure::FailureShare), Some((2_500, 4)));
        assert_eq!(outlier(Measure::Latency(Signal::Response, 900)), Some((1_250, 4)));
    }

    #[test]
    fn what_only_counts_takes_no_time() {
        let window = Span::Time(10 * SECOND);
        let learn = LearnRule::default();
        let surge = Strategy::Surge { times: 2.0, min_failures: 6, learn, window };
        assert_eq!(best(&Rule::One(surge)), Some((0, 6)));
        assert_eq!(best(&Rule::One(Strategy::InFlight { over: 20 })), Some((0, 21)));
    }

    /// More than everything never fails.
    #[test]
    fn a_share_that_cannot_be_exceeded_never_holds() {
        let strict = |share_| {
            let mut strategy = share(share_, 0.0, 10);
            let Strategy::FailureShare { strictly, .. } = &mut strategy else { unreachable!() };
            *strictly = true;
            best(&Rule::One(strategy))
        };
        assert_eq!(strict(1.0), None);
        assert_eq!(strict(0.5), Some((5_000, 20)));
        assert_eq!(best(&Rule::One(share(1.0, 0.0, 10))), Some((10_000, 20)));
    }

    #[test]
    fn an_alarm_sheds_nothing() {
        let mut policy = scenarios::policy(vec![DEAD, share(0.5, 0.0, 10)]);
        let time = |policy: &Policy| policy.best_case().map(|best| best.time.as_secs());
        assert_eq!(time(&policy), Some(0));
        policy.trip[0].response = Response::Alarm;
        assert_eq!(time(&policy), Some(5));
        policy.trip[1].response = Response::Alarm;
        assert_eq!(time(&policy), None);
    }

    #[test]
    fn any_takes_the_soonest_all_the_last_and_lasting_adds() {
        let slow = Rule::One(share(0.5, 0.0, 10));
        let quick = Rule::One(DEAD);
        assert_eq!(best(&Rule::Any(vec![slow.clone(), quick.clone()])), Some((0, 5)));
        let all = Rule::All(vec![slow, quick.clone()]);
        assert_eq!(best(&all), Some((5_000, 20)));
        assert_eq!(best(&lasting(all)), Some((6_000, 20)));
        let never = Rule::One(share(1.0, 1.96, 10));
        assert_eq!(best(&Rule::All(vec![never.clone(), quick.clone()])), None);
        assert_eq!(best(&Rule::Any(vec![never, quick])), Some((0, 5)));
    }
}
