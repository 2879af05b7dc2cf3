//! What the daemon tells the kernel about one slot.
//!
//! Only the daemon writes these rows, from one thread; the programs only read them. The action is one
//! 64-bit word, so a reader sees the old verdict or the new one and never a mixture. Why that holds:
//!
//! * *One store.* The word is eight bytes at a multiple of eight (asserted below) in memory that daemon and
//!   programs share, and the daemon stores it as an atomic of that size. No machine Linux runs BPF on in 64 bits
//!   splits such a store or such a load.
//! * *One load.* A program takes the word once for each connect, by a volatile load of eight bytes, and
//!   everything about that connect, also the epoch its socket is stamped with, comes from what it took.
//!   The compiler must not load it again, nor the one byte it needs.
//! * *The word comes last.* What belongs to it (`token_limit`, `burst_limit`, how to hold) is stored before, and the
//!   store of the word releases that. On x86, where loads are not moved before earlier loads, a program that
//!   sees the new word sees what belongs to it. Elsewhere it may for some nanoseconds see a field of the row before.
//! * *A field too old or too new decides nothing wrongly.* A program with the old word may see fields of the new one
//!   anywhere. Limits are absolute: `token_limit` counts from when the slot was made, so an old one grants
//!   less and a new one what will be granted anyway. A `burst_limit` or `hold_jiffies` of zero lets through, so the daemon
//!   leaves them be where the new word has no use for them: a breaker that opens would let through the
//!   connects that are just held back by the burst. The others say what is measured, not what is decided.
//!
//! The tests `torn::*` of the kernel tests try it: a daemon that turns a row over as fast as it can, read by
//! the memory, by a program that does nothing else, and by real connects.

use bytemuck::{Pod, Zeroable};

use crate::errno::Errno;

/// One row of the verdict array. While the daemon keeps [`crate::counters::NodeRow::verdicts_until_ns`]
/// in the future it is in force; after that everything passes.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Verdict {
    /// The packed [`VerdictWord`]; zero allows. To be loaded once, as a whole: see the [module](self).
    pub word: u64,
    /// In half-open: a token is granted while fewer than this many were ever taken.
    pub token_limit: u64,
    /// An attempt or a turn the caller gives up after at least this long counts as timed out.
    pub caller_timeout_ns: u64,
    /// A response slower than this is counted as slow, and fails a probe; zero: no limit.
    pub slow_ns: u64,
    /// The tenancy of the slot; zero: unused.
    pub generation: u32,
    /// Consecutive failures at which the daemon is woken; zero: never.
    pub failure_run_limit: u32,
    /// For a word that acts on a burst: consecutive failures from which on it sheds; zero: never.
    pub burst_limit: u32,
    /// The SYN retransmission timer of a hold, in jiffies; zero: nothing can be held.
    pub hold_jiffies: u32,
    /// How much too early the timer of a hold may fire.
    pub hold_slack_ns: u32,
    /// Turns at the start of a connection that are not measured (a TLS handshake is one or two).
    pub turns_to_skip: u16,
    /// What to measure: [`MEASURE_RTT`], [`MEASURE_CONNECTS_ONLY`].
    pub measure: u16,
    /// How much longer a hold may be, by chance, in jiffies.
    pub hold_jitter_jiffies: u32,
    /// One if datagrams to the same address and port obey the word as well.
    pub datagrams: u16,
    /// The [`crate::protocol::Protocol`] whose answers are read; zero: none is.
    pub protocol: u16,
}

const _: () = assert!(size_of::<Verdict>() == 64);
const _: () = assert!(core::mem::offset_of!(Verdict, word).is_multiple_of(8));

impl Verdict {
    /// The row of a slot nobody uses.
    pub const CLEAR: Self = Self {
        word: 0,
        token_limit: 0,
        caller_timeout_ns: 0,
        slow_ns: 0,
        generation: 0,
        failure_run_limit: 0,
        burst_limit: 0,
        hold_jiffies: 0,
        hold_slack_ns: 0,
        turns_to_skip: 0,
        measure: 0,
        hold_jitter_jiffies: 0,
        datagrams: 0,
        protocol: 0,
    };
}

/// Set in [`Verdict::measure`]: note the round-trip times of the connections.
pub const MEASURE_RTT: u16 = 1;
/// Set in [`Verdict::measure`]: look at no packet. A connection that is made went well, and that is all.
pub const MEASURE_CONNECTS_ONLY: u16 = 2;

/// What happens to a connect that is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it goes through.
    Allow,
    /// `connect()` returns this error at once.
    Deny(Errno),
    /// The SYN is held this many milliseconds.
    Delay(u16),
    /// The connect goes to this entry of the redirect table.
    Redirect(u16),
}

/// The action word, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictWord {
    /// What happens to a connect that is not admitted.
    pub action: Action,
    /// It acts for the cgroups whose [`crate::caller::CallerRow::cohort`] is below this, a percentage; for
    /// the others it only counts. Zero observes.
    pub enforce_percent: u8,
    /// Admit by token; see [`Verdict::token_limit`].
    pub half_open: bool,
    /// Shed only from [`Verdict::burst_limit`] failures in a row on: the breaker is closed, and would
    /// open if the daemon knew.
    pub on_burst: bool,
    /// Share of connects admitted without a token, in thousandths.
    pub admit_permille: u16,
    /// Stamped on sockets, so that results of an earlier state are told apart.
    pub epoch: u16,
}

impl VerdictWord {
    /// The word of a closed breaker.
    pub const fn allow(epoch: u16) -> Self {
        Self {
            action: Action::Allow,
            enforce_percent: 0,
            half_open: false,
            on_burst: false,
            admit_permille: 0,
            epoch,
        }
    }

    /// The packed form. An `admit_permille` over 1000 becomes 1000, an `enforce_percent` over 100 becomes 100.
    pub const fn pack(self) -> u64 {
        let (code, argument, errno) = match self.action {
            Action::Allow => (ALLOW, 0, 0),
            Action::Deny(errno) => (DENY, 0, errno as u64),
            Action::Delay(milliseconds) => (DELAY, milliseconds as u64, 0),
            Action::Redirect(target) => (REDIRECT, target as u64, 0),
        };
        let admit_permille = if self.admit_permille > 1000 { 1000 } else { self.admit_permille };
        let enforce_percent = if self.enforce_percent > 100 { 100 } else { self.enforce_percent };
        code | (self.half_open as u64) << HALF_OPEN_SHIFT
            | (self.on_burst as u64) << BURST_SHIFT
            | (enforce_percent as u64) << ENFORCE_SHIFT
            | errno << ERRNO_SHIFT
            | (admit_permille as u64) << ADMIT_SHIFT
            | argument << ARGUMENT_SHIFT
            | (self.epoch as u64) << EPOCH_SHIFT
    }

    /// The meaning of a packed word; nothing when no such word is ever published.
    pub fn unpack(word: u64) -> Option<Self> {
        let argument = argument(word);
        let action = match word & ACTION_MASK {
            ALLOW => Action::Allow,
            DENY => {
                let errno = errno(word);
                Action::Deny(Errno::ALL.into_iter().find(|known| *known as u8 == errno)?)
            }
            DELAY => Action::Delay(argument),
            REDIRECT => Action::Redirect(argument),
            _ => return None,
        };
        Some(Self {
            action,
            enforce_percent: enforce_percent(word),
            half_open: is_half_open(word),
            on_burst: is_on_burst(word),
            admit_permille: admit_permille(word),
            epoch: epoch(word),
        })
    }
}

pub(crate) const ACTION_MASK: u64 = 0b111;
pub(crate) const ALLOW: u64 = 0;
pub(crate) const DENY: u64 = 1;
pub(crate) const DELAY: u64 = 2;
pub(crate) const REDIRECT: u64 = 3;

/// The epoch of a packed word.
#[inline(always)]
pub const fn epoch(word: u64) -> u16 {
    (word >> EPOCH_SHIFT & 0xffff) as u16
}

#[inline(always)]
pub(crate) const fn enforce_percent(word: u64) -> u8 {
    (word >> ENFORCE_SHIFT & 0x7f) as u8
}

/// Whether a packed word admits by token.
#[inline(always)]
pub const fn is_half_open(word: u64) -> bool {
    word >> HALF_OPEN_SHIFT & 1 == 1
}

/// Whether a packed word admits a share.
#[inline(always)]
pub const fn is_shared(word: u64) -> bool {
    admit_permille(word) != 0
}

/// Whether a packed word sheds only from a run of failures on.
#[inline(always)]
pub const fn is_on_burst(word: u64) -> bool {
    word >> BURST_SHIFT & 1 == 1
}

#[inline(always)]
pub(crate) const fn errno(word: u64) -> u8 {
    (word >> ERRNO_SHIFT & 0xff) as u8
}

#[inline(always)]
pub(crate) const fn admit_permille(word: u64) -> u16 {
    (word >> ADMIT_SHIFT & 0x3ff) as u16
}

#[inline(always)]
pub(crate) const fn argument(word: u64) -> u16 {
    (word >> ARGUMENT_SHIFT & 0xffff) as u16
}

const HALF_OPEN_SHIFT: u32 = 3;
const BURST_SHIFT: u32 = 4;
const ENFORCE_SHIFT: u32 = 5;
const ERRNO_SHIFT: u32 = 12;
const ADMIT_SHIFT: u32 = 20;
const ARGUMENT_SHIFT: u32 = 32;
const EPOCH_SHIFT: u32 = 48;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn actions() -> impl Strategy<Value = Action> {
        prop_oneof![
            Just(Action::Allow),
            (0..Errno::ALL.len()).prop_map(|index| Action::Deny(Errno::ALL[index])),
            any::<u16>().prop_map(Action::Delay),
            any::<u16>().prop_map(Action::Redirect),
        ]
    }

    proptest! {
        #[test]
        fn a_packed_word_unpacks_to_itself(
            action in actions(), enforce_percent in 0_u8..=100, half_open: bool, on_burst: bool, admit_permille in 0_u16..=1000, epoch: u16,
        ) {
            let word = VerdictWord { action, enforce_percent, half_open, on_burst, admit_permille, epoch };
            prop_assert_eq!(VerdictWord::unpack(word.pack()), Some(word));
        }

        #[test]
        fn any_word_unpacks_without_panic(word: u64) {
            let _unpacked = VerdictWord::unpack(word);
        }
    }

    #[test]
    fn the_zero_row_allows() {
        let row = Verdict::zeroed();
        assert_eq!(VerdictWord::unpack(row.word), Some(VerdictWord::allow(0)));
    }
}
