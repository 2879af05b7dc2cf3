//! What is usual for an endpoint: learned in health only, free to fall, slow to rise.

use std::time::Duration;

use shedder_common::time::Monotonic;

/// How a breaker learns what is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnRule {
    /// After this long half of what was learned has been replaced.
    pub half_life: Duration,
    /// The greatest factor by which the usual may rise within a half-life, above one.
    pub max_rise: f64,
    /// How long it learns before anything is judged by it.
    pub warm_up: Duration,
    /// And from how many values.
    pub min_samples: u64,
}

impl Default for LearnRule {
    fn default() -> Self {
        Self {
            half_life: Duration::from_mins(30),
            max_rise: 1.5,
            warm_up: Duration::from_mins(10),
            min_samples: 200,
        }
    }
}

/// A learned value, in the unit of what it was taught.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    value: f64,
    samples: u64,
    since: Monotonic,
    updated: Monotonic,
}

impl Baseline {
    pub(super) const fn new(now: Monotonic) -> Self {
        Self { value: 0.0, samples: 0, since: now, updated: now }
    }

    /// What is usual; nothing before enough was learned.
    pub(super) fn usual(&self, rule: &LearnRule, now: Monotonic) -> Option<f64> {
        let is_ready = self.samples >= rule.min_samples && now.since(self.since) >= rule.warm_up;
        is_ready.then_some(self.value)
    }

    /// Learns that the value was `seen` lately, by `samples` new values.
    pub(super) fn learn(&mut self, seen: f64, samples: u64, rule: &LearnRule, now: Monotonic) {
        if !seen.is_finite() || samples == 0 {
            return;
        }
        let passed = now.since(self.updated).as_secs_f64();
        let known = self.updated.since(self.since).as_secs_f64();
        let half_lives = passed / rule.half_life.as_secs_f64().max(f64::MIN_POSITIVE);
        // At the beginning the plain mean over time: the first value deserves no special weight.
        let faded = 1.0 - (-half_lives).exp2();
        let plain = if passed + known > 0.0 { passed / (passed + known) } else { 1.0 };
        let weight = faded.max(plain).clamp(0.0, 1.0);
        let is_ready = self.usual(rule, now).is_some();
        let target =
            if self.samples == 0 { seen } else { self.value + (seen - self.value) * weight };
        let ceiling = self.value * rule.max_rise.powf(half_lives);
        self.value = if is_ready { target.min(ceiling) } else { target };
        self.samples = self.samples.saturating_add(samples);
        self.updated = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: LearnRule = LearnRule {
        half_life: Duration::from_mins(30),
        max_rise: 1.5,
        warm_up: Duration::from_mins(10),
        min_samples: 200,
    };

    fn minutes(minutes: u64) -> Monotonic {
        Monotonic::from_nanos(minutes * 60_000_000_000)
    }

    /// Learns `value` once a minute, ten samples each, over `range`.
    fn teach(baseline: &mut Baseline, range: std::ops::Range<u64>, value: f64) {
        for minute in range {
            baseline.learn(value, 10, &RULE, minutes(minute));
        }
    }

    #[test]
    fn nothing_is_judged_before_the_warm_up() {
        let mut baseline = Baseline::new(minutes(0));
        teach(&mut baseline, 0..9, 100.0);
        assert_eq!(baseline.usual(&RULE, minutes(9)), None);
        teach(&mut baseline, 9..20, 100.0);
        assert!(
            baseline.usual(&RULE, minutes(20)).is_some_and(|usual| (usual - 100.0).abs() < 1e-9)
        );
        let mut rare = Baseline::new(minutes(0));
        rare.learn(100.0, 1, &RULE, minutes(60));
        assert_eq!(rare.usual(&RULE, minutes(60)), None);
    }

    #[test]
    fn it_rises_by_no_more_than_its_rate() {
        let mut baseline = Baseline::new(minutes(0));
        teach(&mut baseline, 0..30, 100.0);
        teach(&mut baseline, 30..60, 10_000.0);
        let usual = baseline.usual(&RULE, minutes(60)).expect("it is warm");
        assert!((140.0..=150.5).contains(&usual), "{usual}");
    }

    #[test]
    fn it_falls_freely() {
        let mut baseline = Baseline::new(minutes(0));
        teach(&mut baseline, 0..60, 100.0);
        teach(&mut baseline, 60..120, 10.0);
        let usual = baseline.usual(&RULE, minutes(120)).expect("it is warm");
        assert!(usual < 40.0, "{usual}");
    }

    #[test]
    fn nothing_is_learned_from_nothing() {
        let mut baseline = Baseline::new(minutes(0));
        baseline.learn(100.0, 200, &RULE, minutes(20));
        baseline.learn(1.0, 0, &RULE, minutes(40));
        baseline.learn(f64::NAN, 10, &RULE, minutes(40));
        assert!(baseline.usual(&RULE, minutes(40)).is_some_and(|usual| is_near(usual, 100.0)));
    }

    /// While it learns, each value weighs by the time it stands for.
    #[test]
    fn it_begins_with_the_mean_over_time() {
        let mut baseline = Baseline::new(minutes(0));
        baseline.learn(100.0, 10, &RULE, minutes(3));
        // Another of the same moment stands for no time at all.
        baseline.learn(900.0, 10, &RULE, minutes(3));
        assert!(is_near(baseline.value, 100.0), "{}", baseline.value);
        baseline.learn(200.0, 10, &RULE, minutes(4));
        assert!(is_near(baseline.value, 125.0), "{}", baseline.value);
    }

    #[test]
    fn after_a_half_life_half_of_it_is_new() {
        let mut baseline = Baseline::new(minutes(0));
        baseline.learn(100.0, 200, &RULE, minutes(600));
        baseline.learn(20.0, 1, &RULE, minutes(630));
        assert!(is_near(baseline.value, 60.0), "{}", baseline.value);
    }

    fn is_near(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-9
    }
}
