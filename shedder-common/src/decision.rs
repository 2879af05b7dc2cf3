//! The decision about one connect: the same function in the kernel and on the host.
//!
//! It fails open: whatever it cannot make sense of passes.

use crate::verdict::{
    ACTION_MASK, DELAY, DENY, REDIRECT, Verdict, admit_permille, argument, errno, is_half_open,
    is_observe, is_on_burst,
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
    /// Let it through and count that `Shed` would have happened.
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

/// Decides one connect.
#[inline(always)]
pub fn decide(verdict: &Verdict, slot: &mut impl Ask) -> Decision {
    let word = verdict.word;
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
    if is_observe(word) { Decision::Observe(shed) } else { Decision::Shed(shed) }
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
    use bytemuck::Zeroable;
    use proptest::prelude::*;

    use super::*;
    use crate::errno::Errno;
    use crate::verdict::{Action, VerdictWord};

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
            self.tokens += 1;
            self.tokens <= limit
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

    fn row(word: VerdictWord) -> Verdict {
        Verdict { word: word.pack(), token_limit: 3, burst_limit: 5, ..Verdict::zeroed() }
    }

    fn open() -> VerdictWord {
        VerdictWord { action: Action::Deny(Errno::ConnectionRefused), ..VerdictWord::allow(1) }
    }

    const REFUSED: Decision = Decision::Shed(Shed::Deny(Errno::ConnectionRefused as u8));

    /// Decides `connects` times in a row.
    fn run(word: VerdictWord, mut slot: Slot, connects: u64) -> impl Iterator<Item = Decision> {
        let verdict = row(word);
        (0..connects).map(move |_| decide(&verdict, &mut slot))
    }

    #[test]
    fn what_allows_asks_nothing() {
        assert_eq!(decide(&Verdict::zeroed(), &mut Silent), Decision::Allow);
        assert_eq!(decide(&row(VerdictWord::allow(9)), &mut Silent), Decision::Allow);
    }

    #[test]
    fn open_sheds_until_it_is_abandoned() {
        assert!(run(open(), Slot::default(), 3).all(|d| d == REFUSED));
        let abandoned = Slot { is_abandoned: true, ..Slot::default() };
        assert!(run(open(), abandoned, 3).all(|d| d == Decision::AllowExpired));
    }

    #[test]
    fn a_burst_sheds_from_its_limit_on() {
        let on_burst = VerdictWord { on_burst: true, ..open() };
        let after = |failure_run| Slot { failure_run, ..Slot::default() };
        assert!(run(on_burst, after(4), 3).all(|d| d == Decision::Allow));
        assert!(run(on_burst, after(5), 3).all(|d| d == REFUSED));
        let abandoned = Slot { is_abandoned: true, ..after(5) };
        assert!(run(on_burst, abandoned, 3).all(|d| d == Decision::AllowExpired));
        let without_limit = Verdict { burst_limit: 0, ..row(on_burst) };
        assert_eq!(decide(&without_limit, &mut after(u64::MAX)), Decision::Allow);
    }

    #[test]
    fn observe_lets_everything_through_and_says_what_it_would_do() {
        let word = VerdictWord { observe: true, action: Action::Delay(20), ..open() };
        let mut decisions = run(word, Slot::default(), 3);
        assert!(decisions.all(|d| d == Decision::Observe(Shed::Delay(20))));
    }

    #[test]
    fn half_open_admits_exactly_its_tokens() {
        let word = VerdictWord { half_open: true, action: Action::Redirect(4), ..open() };
        let run = |connects| run(word, Slot::default(), connects);
        assert_eq!(run(64).filter(|d| *d == Decision::Probe).count(), 3);
        assert_eq!(run(4).last(), Some(Decision::Shed(Shed::Redirect(4))));
    }

    #[test]
    fn unknown_words_allow() {
        let unknown = Verdict { word: 0b111, ..Verdict::zeroed() };
        assert_eq!(decide(&unknown, &mut Silent), Decision::Allow);
        let no_errno = Verdict { word: DENY, ..Verdict::zeroed() };
        assert_eq!(decide(&no_errno, &mut Silent), Decision::Allow);
    }

    proptest! {
        #[test]
        fn the_admitted_share_is_exact(permille in 0_u16..=1000, start in 0_u64..1_000_000) {
            let admitted = (start..start + 1000).filter(|turn| admits(*turn, permille)).count();
            prop_assert_eq!(admitted, usize::from(permille));
        }

        #[test]
        fn any_row_decides_without_panic(
            word: u64, burst_limit: u32, failure_run: u64, is_abandoned: bool, tokens in 0..u64::MAX,
            turns in 0..u64::MAX,
        ) {
            let verdict = Verdict { word, burst_limit, ..Verdict::zeroed() };
            let mut slot = Slot { failure_run, is_abandoned, tokens, turns };
            let _decision = decide(&verdict, &mut slot);
        }
    }
}
