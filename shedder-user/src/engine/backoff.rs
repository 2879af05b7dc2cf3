//! How long a breaker stays open: doubled with every trip it remembers, capped, jittered.

use std::time::Duration;

use super::policy::OpenRule;

/// A deterministic source of chance (splitmix64, public domain by its author).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly distributed over all values.
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// The open time before jitter: `base · 2^level`, at most the cap.
pub(super) fn full(rule: &OpenRule, level: u32) -> Duration {
    // Twenty-four doublings of the shortest base a policy may have reach the longest cap.
    rule.base.saturating_mul(1 << level.min(MAX_LEVEL)).min(rule.max)
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

/// Trips a breaker remembers at most.
pub(super) const MAX_LEVEL: u32 = 24;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(base_ms: u64, max_ms: u64, jitter_permille: u16) -> OpenRule {
        OpenRule {
            base: Duration::from_millis(base_ms),
            max: Duration::from_millis(max_ms),
            jitter_permille,
        }
    }

    proptest! {
        #[test]
        fn open_time_is_monotone_and_capped(base in 1_u64..100_000, max in 1_u64..1_000_000, level in 0_u32..100) {
            let rule = rule(base, max, 0);
            prop_assert!(full(&rule, level) <= full(&rule, level + 1));
            prop_assert!(full(&rule, level) <= rule.max);
        }

        #[test]
        fn jitter_only_shortens_and_by_no_more_than_its_share(
            base in 1_u64..100_000, jitter in 0_u16..=1000, level in 0_u32..20, seed: u64,
        ) {
            let rule = rule(base, u64::MAX / 1_000_000_000, jitter);
            let time = jittered(&rule, level, &mut Chance::new(seed));
            let full = full(&rule, level);
            prop_assert!(time <= full);
            prop_assert!(time.as_nanos() >= full.as_nanos() * u128::from(1000 - jitter) / 1000);
        }
    }
}
