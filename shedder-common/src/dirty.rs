//! Which slots something happened at since the daemon last looked: one bit each, so that a look at many thousand
//! quiet endpoints costs no more than reading their bits.
//!
//! The bits are hints. A program that finds its bit set leaves it, so a change may be counted behind a look that
//! has just cleared the bit. Whoever follows them goes on looking at a slot for a while, and looks at
//! every slot now and then.

/// The word a slot's bit is in.
#[inline(always)]
pub const fn word(slot: u32) -> u32 {
    slot / BITS
}

/// A slot's bit in its word.
#[inline(always)]
pub const fn bit(slot: u32) -> u64 {
    1 << (slot % BITS)
}

/// Words for so many slots.
pub const fn words(slots: u32) -> u32 {
    slots.div_ceil(BITS)
}

/// Slots of a word.
pub const BITS: u32 = u64::BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_a_bit_of_its_own() {
        assert_eq!((word(63), bit(63)), (0, 1 << 63));
        assert_eq!((word(64), bit(64)), (1, 1));
        assert_eq!([words(1), words(64), words(65), words(65_536)], [1, 1, 2, 1024]);
    }
}
