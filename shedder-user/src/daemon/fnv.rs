//! Numbers that stand for texts, on every node and in every version: FNV-1a.

/// Of a text; the same for ever, because people and later daemons rely on it.
pub(super) fn hash(text: impl Iterator<Item = u8>) -> u64 {
    text.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
