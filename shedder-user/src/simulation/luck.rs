//! Chance without order: every roll is a function of the seed and of what it is for.
//!
//! Invariant: what one call meets does not depend on what became of another, so that the same calls
//! meet the same luck under every policy.

/// The source of the rolls for one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Luck(u64);

impl Luck {
    pub(super) const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The luck of part number `part` of this thing.
    pub(super) const fn of(self, part: u64) -> Self {
        Self(mix(self.0 ^ mix(part.wrapping_add(1))))
    }

    /// Evenly distributed over all values.
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// At least zero and below one.
    pub(super) fn unit(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
        let unit = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }

    /// Exponentially distributed around one.
    pub(super) fn exponential(self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

/// The finalizer of splitmix64 (public domain by its author).
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolls_are_spread_and_repeatable() {
        let rolls: Vec<f64> = (0..10_000).map(|part| Luck::new(7).of(part).unit()).collect();
        let mean = rolls.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        assert!(rolls.iter().all(|roll| (0.0..1.0).contains(roll)));
        assert_eq!(Luck::new(7).of(3), Luck::new(7).of(3));
        assert_ne!(Luck::new(7).of(3), Luck::new(8).of(3));
        let waits = (0..10_000).map(|part| Luck::new(7).of(part).exponential()).sum::<f64>();
        assert!((9_700.0..10_300.0).contains(&waits), "{waits}");
    }
}
