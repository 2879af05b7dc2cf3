//! The decision about one connect: the same function in the kernel and on the host.
//!
//! It fails open: whatever it cannot make sense of passes.

use crate::verdict::{
    ACTION_MASK, DELAY, DENY, REDIRECT, Verdict, admit_permille, argument, errno, is_half_open,
    is_observe,
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

/// Decides one connect.
///
/// `now_ns` reads the clock; a verdict that sheds nothing does not ask for it. `take_token` takes a half-open token if fewer than its argument were ever taken, atomically.
/// `next_turn` counts the connects that reach the admitted share, atomically, from zero. Each is
/// called at most once.
#[inline(always)]
pub fn decide(
    verdict: &Verdict,
    now_ns: impl FnOnce() -> u64,
    take_token: impl FnOnce(u64) -> bool,
    next_turn: impl FnOnce() -> u64,
) -> Decision {
    let word = verdict.word;
    let shed = match word & ACTION_MASK {
        DENY if errno(word) != 0 => Shed::Deny(errno(word)),
        DELAY => Shed::Delay(argument(word)),
        REDIRECT => Shed::Redirect(argument(word)),
        _ => return Decision::Allow,
    };
    if now_ns() >= verdict.expires_ns {
        return Decision::AllowExpired;
    }
    if is_half_open(word) && take_token(verdict.token_limit) {
        return Decision::Probe;
    }
    let permille = admit_permille(word);
    if permille != 0 && admits(next_turn(), permille) {
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
    use core::cell::Cell;

    use bytemuck::Zeroable;
    use proptest::prelude::*;

    use super::*;
    use crate::errno::Errno;
    use crate::verdict::{Action, VerdictWord};

    const EXPIRES: u64 = 1_000;

    fn row(word: VerdictWord) -> Verdict {
        Verdict { word: word.pack(), expires_ns: EXPIRES, token_limit: 3, ..Verdict::zeroed() }
    }

    fn open() -> VerdictWord {
        VerdictWord { action: Action::Deny(Errno::ConnectionRefused), ..VerdictWord::allow(1) }
    }

    /// Decides `connects` times in a row with real tokens and turns.
    fn run(word: VerdictWord, now_ns: u64, connects: u64) -> impl Iterator<Item = Decision> {
        let verdict = row(word);
        let tokens = Cell::new(0);
        let turns = Cell::new(0);
        (0..connects).map(move |_| {
            decide(
                &verdict,
                || now_ns,
                |limit| tokens.replace(tokens.get() + 1) < limit,
                || turns.replace(turns.get() + 1),
            )
        })
    }

    #[test]
    fn no_verdict_allows() {
        let decision = decide(&Verdict::zeroed(), || 5, |_| unreachable!(), || unreachable!());
        assert_eq!(decision, Decision::Allow);
    }

    #[test]
    fn closed_allows_and_never_expires() {
        assert!(run(VerdictWord::allow(9), EXPIRES * 2, 3).all(|d| d == Decision::Allow));
    }

    #[test]
    fn open_sheds_until_it_expires() {
        let refused = Decision::Shed(Shed::Deny(Errno::ConnectionRefused as u8));
        assert!(run(open(), EXPIRES - 1, 3).all(|d| d == refused));
        assert!(run(open(), EXPIRES, 3).all(|d| d == Decision::AllowExpired));
    }

    #[test]
    fn observe_lets_everything_through_and_says_what_it_would_do() {
        let word = VerdictWord { observe: true, action: Action::Delay(20), ..open() };
        assert!(run(word, 0, 3).all(|d| d == Decision::Observe(Shed::Delay(20))));
    }

    #[test]
    fn half_open_admits_exactly_its_tokens() {
        let word = VerdictWord { half_open: true, action: Action::Redirect(4), ..open() };
        let probes = run(word, 0, 64).filter(|d| *d == Decision::Probe).count();
        assert_eq!(probes, 3);
        assert_eq!(run(word, 0, 4).last(), Some(Decision::Shed(Shed::Redirect(4))));
    }

    #[test]
    fn unknown_words_allow() {
        let verdict = Verdict { word: 0b111, expires_ns: u64::MAX, ..Verdict::zeroed() };
        assert_eq!(decide(&verdict, || 0, |_| true, || 0), Decision::Allow);
        let no_errno = Verdict { word: DENY, expires_ns: u64::MAX, ..Verdict::zeroed() };
        assert_eq!(decide(&no_errno, || 0, |_| true, || 0), Decision::Allow);
    }

    proptest! {
        #[test]
        fn the_admitted_share_is_exact(permille in 0_u16..=1000, start in 0_u64..1_000_000) {
            let admitted = (start..start + 1000).filter(|turn| admits(*turn, permille)).count();
            prop_assert_eq!(admitted, usize::from(permille));
        }

        #[test]
        fn any_row_decides_without_panic(word: u64, expires_ns: u64, now: u64, turn: u64, token: bool) {
            let verdict = Verdict { word, expires_ns, ..Verdict::zeroed() };
            let _decision = decide(&verdict, || now, |_| token, || turn);
        }
    }
}
