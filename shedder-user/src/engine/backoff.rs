//! How long a breaker stays open: longer with every trip it remembers, capped, jittered.

use std::time::Duration;

use super::policy::{Growth, OpenRule};

/// A deterministic source of chance (splitmix64, public domain by its author).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly distributed over all values.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// The open time before jitter, at most the cap.
pub(super) fn full(rule: &OpenRule, level: u32) -> Duration {
    let level = level.min(MAX_LEVEL);
    let grown = match rule.growth {
        Growth::Constant => rule.base,
        Growth::Linear => rule.base.saturating_mul(level + 1),
        Growth::Exponential(factor) => {
            let seconds = rule.base.as_secs_f64() * factor.powi(level.cast_signed());
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        }
    };
    grown.min(rule.max)
}

/// The open time at `level`, shortened by up to the jitter share, so that breakers of one node,
/// and one breaker on many nodes, do not probe in step.
pub(super) fn jittered(rule: &OpenRule, level: u32, chance: &mut Chance) -> Duration {
    let full = full(rule, level);
    let per_mille = u64::from(rule.jitter_permille.min(1000));
    let cut = chance.next() % (per_mille + 1);
    let nanoseconds = full.as_nanos() * u128::from(1000 - cut) / 1000;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Trips a breaker remembers at most: as many doublings of the shortest base reach the longest cap.
pub(super) const MAX_LEVEL: u32 = 24;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(base_ms: u64, max_ms: u64, growth: Growth, jitter_permille: u16) -> OpenRule {
        OpenRule {
            base: Duration::from_millis(base_ms),
            max: Duration::from_millis(max_ms),
            growth,
            jitter_permille,
        }
    }

    fn growth() -> impl Strategy<Value = Growth> {
        prop_oneof![
            Just(Growth::Constant),
            Just(Growth::Linear),
            (1.0..10.0).prop_map(Growth::Exponential),
        ]
    }

    #[test]
    fn growth_is_as_named() {
        let seconds = |growth| {
            [0, 1, 2, 3].map(|level| full(&rule(1_000, 60_000, growth, 0), level).as_secs())
        };
        assert_eq!(seconds(Growth::Exponential(2.0)), [1, 2, 4, 8]);
        assert_eq!(seconds(Growth::Linear), [1, 2, 3, 4]);
        assert_eq!(seconds(Growth::Constant), [1, 1, 1, 1]);
    }

    /// The first values of the reference implementation for this seed.
    #[test]
    fn chance_is_splitmix64() {
        let mut chance = Chance::new(1_234_567);
        assert_eq!(
            [chance.next(), chance.next(), chance.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    proptest! {
        #[test]
        fn open_time_is_monotone_and_capped(
            base in 1_u64..100_000, max in 1_u64..1_000_000, growth in growth(), level in 0_u32..100,
        ) {
            let rule = rule(base, max, growth, 0);
            prop_assert!(full(&rule, level) <= full(&rule, level + 1));
            prop_assert!(full(&rule, level) <= rule.max);
        }

        #[test]
        fn jitter_only_shortens_and_by_no_more_than_its_share(
            base in 1_u64..100_000, jitter in 0_u16..=1000, level in 0_u32..20, seed: u64,
        ) {
            let max = u64::MAX / 1_000_000_000;
            let rule = rule(base, max, Growth::Exponential(2.0), jitter);
            let time = jittered(&rule, level, &mut Chance::new(seed));
            let full = full(&rule, level);
            prop_assert!(time <= full);
            prop_assert!(time.as_nanos() >= full.as_nanos() * u128::from(1000 - jitter) / 1000);
        }
    }
}
