//! Chance that can be had again.
//!
//! Invariant: the same seed gives the same numbers.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A deterministic source of chance (xorshift).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// From a seed that is not zero.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// For one of several that share a seed, which may be any number.
    pub(crate) const fn of_part(seed: u64, part: u64) -> Self {
        // The finalizer of splitmix64 (public domain by its author); near seeds become far ones.
        let value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(part + 1);
        let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((value ^ value >> 31) | 1)
    }

    /// A seed short enough to be typed, another one each time.
    pub(crate) fn fresh_seed() -> u64 {
        RandomState::new().build_hasher().finish() % 1_000_000
    }

    /// Evenly distributed below `limit`.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_near_seeds_differ_and_can_be_had_again() {
        let numbers = |seed, part| {
            let mut chance = Chance::of_part(seed, part);
            [chance.below(1000), chance.below(1000), chance.below(1000)]
        };
        assert_eq!(numbers(0, 0), numbers(0, 0));
        assert_ne!(numbers(0, 0), numbers(0, 1));
        assert_ne!(numbers(0, 0), numbers(1, 0));
    }
}
