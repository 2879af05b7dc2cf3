//! What a daemon leaves of a breaker for the one after it. The programs do not look at it.

use bytemuck::{Pod, Zeroable};

use crate::endpoint::EndpointKey;

/// One row of the breaker array, by slot. Times are of `CLOCK_MONOTONIC`, in nanoseconds; zero: none.
///
/// What rules have seen in their windows is not part of it: the next daemon looks anew.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct BreakerRow {
    /// Whose slot it is.
    pub key: EndpointKey,
    /// A hash of the names of caller and service: the numbers in `key` mean these.
    pub names: u64,
    /// Since when it is in its present state.
    pub since_ns: u64,
    /// Recovering: when the share began to grow.
    pub from_ns: u64,
    /// Open: until when. Half-open: when the probes are judged. Recovering: when all is admitted.
    pub until_ns: u64,
    /// Half-open: when tokens are granted anew.
    pub refill_ns: u64,
    /// Until when an operator's order holds.
    pub forced_until_ns: u64,
    /// Closed: when one level is forgotten.
    pub forget_ns: u64,
    /// How long it was open the last time.
    pub last_open_ns: u64,
    /// When it left closed by itself.
    pub tripped_ns: u64,
    /// Of when the penalty for trips is.
    pub flap_ns: u64,
    /// Connects refused in the present open and half-open time.
    pub refused: u64,
    /// Half-open tokens ever taken when the epoch began.
    pub tokens_before: u64,
    /// The tenancy of the slot; zero: there is nothing in this row.
    pub generation: u32,
    /// Trips remembered.
    pub level: u32,
    /// Half-open: probes admitted,
    pub admitted: u32,
    /// of them those that succeeded,
    pub successes: u32,
    /// those that failed,
    pub failures: u32,
    /// successes since the last failure,
    pub run: u32,
    /// results there were when they were last judged,
    pub concluded: u32,
    /// batches of tokens granted,
    pub grants: u32,
    /// and tokens granted again.
    pub void: u32,
    /// The penalty for trips.
    pub flap_penalty: f32,
    /// Connects a second before the last trip.
    pub usual_rate: f32,
    /// How bad the reason of the last trip was, 0 to 1.
    pub severity: f32,
    /// Of the evidence that counts.
    pub epoch: u16,
    /// Throttled: the share shed, in thousandths.
    pub shed_permille: u16,
    /// One of the `STAGE_` codes.
    pub stage: u8,
    /// One of the `FORCED_` codes.
    pub forced: u8,
    /// A set of the `FLAG_` bits.
    pub flags: u8,
    /// Bytes of `cause`.
    pub cause_len: u8,
    /// Why it is not closed, as a sentence in UTF-8, cut where it is longer.
    pub cause: [u8; 192],
    /// Zero.
    pub reserved: u64,
}

/// Of [`BreakerRow::stage`].
pub const STAGE_CLOSED: u8 = 0;
/// Of [`BreakerRow::stage`].
pub const STAGE_THROTTLED: u8 = 1;
/// Of [`BreakerRow::stage`].
pub const STAGE_OPEN: u8 = 2;
/// Of [`BreakerRow::stage`].
pub const STAGE_HALF_OPEN: u8 = 3;
/// Of [`BreakerRow::stage`].
pub const STAGE_RECOVERING: u8 = 4;

/// Of [`BreakerRow::forced`]: nothing is ordered.
pub const FORCED_NOT: u8 = 0;
/// Of [`BreakerRow::forced`].
pub const FORCED_OPEN: u8 = 1;
/// Of [`BreakerRow::forced`].
pub const FORCED_CLOSED: u8 = 2;

/// Of [`BreakerRow::flags`]: probes have failed since the last trip.
pub const FLAG_FAILED_PROBES: u8 = 1;
/// Of [`BreakerRow::flags`]: it has tripped so often that it is kept open for longer.
pub const FLAG_FLAPPING: u8 = 2;
/// Of [`BreakerRow::flags`]: its policy has refused too much wrongly and only observes.
pub const FLAG_SUSPENDED: u8 = 4;

const _: () = assert!(size_of::<BreakerRow>() == 384);

impl BreakerRow {
    /// Of a slot of which nothing is known.
    pub const CLEAR: Self = Self {
        key: EndpointKey::NONE,
        names: 0,
        since_ns: 0,
        from_ns: 0,
        until_ns: 0,
        refill_ns: 0,
        forced_until_ns: 0,
        forget_ns: 0,
        last_open_ns: 0,
        tripped_ns: 0,
        flap_ns: 0,
        refused: 0,
        tokens_before: 0,
        generation: 0,
        level: 0,
        admitted: 0,
        successes: 0,
        failures: 0,
        run: 0,
        concluded: 0,
        grants: 0,
        void: 0,
        flap_penalty: 0.0,
        usual_rate: 0.0,
        severity: 0.0,
        epoch: 0,
        shed_permille: 0,
        stage: STAGE_CLOSED,
        forced: FORCED_NOT,
        flags: 0,
        cause_len: 0,
        cause: [0; 192],
        reserved: 0,
    };

    /// Keeps a sentence, as much of it as there is room for.
    pub fn set_cause(&mut self, sentence: &str) {
        let kept = &sentence.as_bytes()[..sentence.floor_char_boundary(self.cause.len())];
        self.cause = [0; 192];
        self.cause[..kept.len()].copy_from_slice(kept);
        self.cause_len = u8::try_from(kept.len()).unwrap_or(u8::MAX);
    }

    /// The sentence that was kept; nothing where it is none.
    pub fn cause(&self) -> Option<&str> {
        let bytes = self.cause.get(..usize::from(self.cause_len))?;
        core::str::from_utf8(bytes).ok().filter(|sentence| !sentence.is_empty())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_long_sentence_is_cut_between_letters() {
        let mut row = BreakerRow::CLEAR;
        assert_eq!(row.cause(), None);
        row.set_cause("6 failures in a row (limit 5)");
        assert_eq!(row.cause(), Some("6 failures in a row (limit 5)"));
        row.set_cause(&"µ".repeat(100));
        assert_eq!(row.cause().map(str::len), Some(192));
        row.set_cause(&std::format!("a{}", "µ".repeat(100)));
        assert_eq!(row.cause().map(str::len), Some(191));
        row.cause[3] = 0xff;
        assert_eq!(row.cause(), None);
        row.cause_len = 255;
        assert_eq!(row.cause(), None);
    }
}
