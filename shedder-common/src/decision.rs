//! The decision about one connect: the same function in the kernel and on the host.
//!
//! It fails open: whatever it cannot make sense of passes.

pub mod vectors;

use crate::caller::is_reached;
use crate::verdict::{
    ACTION_MASK, DELAY, DENY, REDIRECT, Verdict, admit_permille, argument, enforce_percent, errno,
    is_half_open, is_on_burst,
};

/// What to do with one connect.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it through: nothing is wrong, or it belongs to the admitted share.
    Allow,
    /// Let it through: a shedding verdict was found, but the daemon no longer renews it.
    AllowExpired,
    /// Let it through as one of the half-open probes.
    Probe,
    /// Let it through, because the verdict does not act for this cgroup, and count that `Shed` would have
    /// happened.
    Observe(Shed),
    /// Do not let it through as it is.
    Shed(Shed),
}

/// How a connect is shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// Return this error number, which is in `1..=255`.
    Deny(u8),
    /// Hold the SYN this many milliseconds.
    Delay(u16),
    /// Send it to this entry of the redirect table.
    Redirect(u16),
}

/// What the decision may ask, and change, about a slot. Each is asked at most once, and only as far as
/// the verdict makes it matter: one that sheds nothing asks nothing.
pub trait Ask {
    /// Failures since the last success.
    fn failure_run(&mut self) -> u64;
    /// Whether the daemon still stands behind its verdicts.
    fn is_in_force(&mut self) -> bool;
    /// Takes a half-open token if fewer than `limit` were ever taken, atomically.
    fn take_token(&mut self, limit: u64) -> bool;
    /// Counts the connects that reach the admitted share, atomically, from zero.
    fn next_turn(&mut self) -> u64;
}

/// Decides one connect of a cgroup of this [`crate::caller::CallerRow::cohort`]. `word` is that of `verdict`,
/// read once: it may have another by now.
#[inline(always)]
pub fn decide(word: u64, verdict: &Verdict, cohort: u16, slot: &mut impl Ask) -> Decision {
    let shed = match word & ACTION_MASK {
        DENY if errno(word) != 0 => Shed::Deny(errno(word)),
        DELAY => Shed::Delay(argument(word)),
        REDIRECT => Shed::Redirect(argument(word)),
        _ => return Decision::Allow,
    };
    if is_on_burst(word) {
        let limit = verdict.burst_limit;
        if limit == 0 || slot.failure_run() < u64::from(limit) {
            return Decision::Allow;
        }
    }
    if !slot.is_in_force() {
        return Decision::AllowExpired;
    }
    if is_half_open(word) && slot.take_token(verdict.token_limit) {
        return Decision::Probe;
    }
    let permille = admit_permille(word);
    if permille != 0 && admits(slot.next_turn(), permille) {
        return Decision::Allow;
    }
    if is_reached(cohort, enforce_percent(word)) {
        Decision::Shed(shed)
    } else {
        Decision::Observe(shed)
    }
}

/// Whether turn number `turn` belongs to an admitted share of `permille` thousandths.
///
/// Deterministic and evenly spread: of any 1000 turns in a row exactly `permille` are admitted,
/// and the first turn always is.
#[inline(always)]
pub const fn admits(turn: u64, permille: u16) -> bool {
    turn % 1000 * permille as u64 % 1000 < permille as u64
}

#[cfg(test)]
mod tests {
    use core::ops::RangeInclusive;

    use bytemuck::Zeroable;
    use proptest::prelude::*;

    use super::vectors::{VECTORS, Vector};
    use super::*;
    use crate::verdict::VerdictWord;

    /// A slot with real tokens and turns, whose daemon lives.
    #[derive(Default)]
    struct Slot {
        failure_run: u64,
        is_abandoned: bool,
        tokens: u64,
        turns: u64,
    }

    impl Ask for Slot {
        fn failure_run(&mut self) -> u64 {
            self.failure_run
        }

        fn is_in_force(&mut self) -> bool {
            !self.is_abandoned
        }

        fn take_token(&mut self, limit: u64) -> bool {
            let is_left = self.tokens < limit;
            self.tokens += u64::from(is_left);
            is_left
        }

        fn next_turn(&mut self) -> u64 {
            self.turns += 1;
            self.turns - 1
        }
    }

    /// Must not be asked anything.
    struct Silent;

    impl Ask for Silent {
        fn failure_run(&mut self) -> u64 {
            unreachable!()
        }

        fn is_in_force(&mut self) -> bool {
            unreachable!()
        }

        fn take_token(&mut self, _: u64) -> bool {
            unreachable!()
        }

        fn next_turn(&mut self) -> u64 {
            unreachable!()
        }
    }

    #[test]
    fn the_vectors_hold() {
        for vector in VECTORS {
            let Vector { name, word, token_limit, burst_limit, counts, .. } = *vector;
            let verdict = Verdict { word, token_limit, burst_limit, ..Verdict::zeroed() };
            let mut slot = Slot {
                failure_run: vector.failure_run,
                is_abandoned: !vector.is_in_force,
                tokens: vector.tokens_taken,
                turns: vector.turns,
            };
            for (connect, decision) in vector.decisions().enumerate() {
                assert_eq!(
                    decide(word, &verdict, vector.cohort, &mut slot),
                    decision,
                    "{name}, connect {connect}"
                );
            }
            let (taken, turns) = (slot.tokens - vector.tokens_taken, slot.turns - vector.turns);
            assert_eq!((taken, turns), (counts.tokens_taken, counts.turns), "{name}");
        }
    }

    #[test]
    fn what_allows_asks_nothing() {
        let words = [0, VerdictWord::allow(9).pack(), DENY];
        for word in words.into_iter().chain(ALL_UNKNOWN) {
            let verdict = Verdict { word, ..Verdict::zeroed() };
            assert_eq!(decide(word, &verdict, 0, &mut Silent), Decision::Allow, "{word:#b}");
        }
    }

    /// Actions that no word has.
    const ALL_UNKNOWN: RangeInclusive<u64> = REDIRECT + 1..=ACTION_MASK;

    proptest! {
        #[test]
        fn the_admitted_share_is_exact(permille in 0_u16..=1000, start in 0_u64..1_000_000) {
            let admitted = (start..start + 1000).filter(|turn| admits(*turn, permille)).count();
            prop_assert_eq!(admitted, usize::from(permille));
        }

        #[test]
        fn any_row_decides_without_panic(
            word: u64, burst_limit: u32, failure_run: u64, is_abandoned: bool, tokens in 0..u64::MAX,
            turns in 0..u64::MAX, cohort: u16,
        ) {
            let verdict = Verdict { word, burst_limit, ..Verdict::zeroed() };
            let mut slot = Slot { failure_run, is_abandoned, tokens, turns };
            let _decision = decide(word, &verdict, cohort, &mut slot);
        }
    }
}
