//! What becomes of connects, as data. The function is held to it on the host, and the loaded programs
//! by real connects.
//!
//! Invariant: the connects of a vector come one after another to a slot of their own. Where one passes
//! that would end a run of failures, it is the only one.

use core::iter::repeat_n;

use super::Decision::{self, Allow, AllowExpired, Observe, Probe};
use super::Shed;
use crate::counters::SlotCounters;
use crate::errno::Errno;
use crate::verdict::{ACTION_MASK, Action, DENY, VerdictWord};

/// A row, what the slot went through before, and what becomes of connects from then on.
#[derive(Clone, Copy, Debug)]
pub struct Vector {
    /// What it is about.
    pub name: &'static str,
    /// The action word as published.
    pub word: u64,
    /// Of the cgroup that connects.
    pub cohort: u16,
    /// As published.
    pub token_limit: u64,
    /// As published.
    pub burst_limit: u32,
    /// Failures since the last success.
    pub failure_run: u64,
    /// Tokens taken before.
    pub tokens_taken: u64,
    /// Turns taken before.
    pub turns: u64,
    /// Whether the daemon still stands behind its verdicts.
    pub is_in_force: bool,
    /// What becomes of the connects: so many of each.
    pub pattern: [(Decision, u32); 3],
    /// How often the pattern comes.
    pub times: u32,
    /// By how much the counters of [`counted`] grow.
    pub counts: SlotCounters,
}

impl Vector {
    /// What becomes of each connect.
    pub fn decisions(&self) -> impl Iterator<Item = Decision> {
        let pattern = self.pattern;
        let runs = (0..self.times).flat_map(move |_| pattern);
        runs.flat_map(|(decision, count)| repeat_n(decision, count as usize))
    }
}

/// The counters that a decision moves.
pub const fn counted(row: &SlotCounters) -> [(&'static str, u64); 11] {
    [
        ("connects", row.connects),
        ("allowed", row.allowed),
        ("denied", row.denied),
        ("delayed", row.delayed),
        ("redirected", row.redirected),
        ("spared", row.spared),
        ("expired", row.expired),
        ("probes", row.probes),
        ("burst_shed", row.burst_shed),
        ("tokens_taken", row.tokens_taken),
        ("turns", row.turns),
    ]
}

/// How long those are held that are, in milliseconds.
pub const HOLD: u16 = 20;
/// Where those are sent that are sent elsewhere.
pub const SIBLING: u16 = 3;

/// Every vector.
pub const VECTORS: &[Vector] = &[
    pass("a closed breaker", VerdictWord::allow(0).pack()),
    pass("a closed breaker in an epoch", VerdictWord::allow(u16::MAX).pack()),
    pass("an unknown action, 4", unknown(4)),
    pass("an unknown action, 5", unknown(5)),
    pass("an unknown action, 6", unknown(6)),
    pass("an unknown action, 7", unknown(7)),
    pass("a refusal without an error", DENY),
    deny("EPERM", Errno::NotPermitted),
    deny("EACCES", Errno::AccessDenied),
    deny("ENETDOWN", Errno::NetworkDown),
    deny("ENETUNREACH", Errno::NetworkUnreachable),
    deny("ETIMEDOUT", Errno::TimedOut),
    deny("ECONNREFUSED", Errno::ConnectionRefused),
    deny("EHOSTUNREACH", Errno::HostUnreachable),
    Vector {
        name: "a hold",
        word: DELAY.pack(),
        pattern: [(HELD, 2), NONE, NONE],
        counts: SlotCounters { connects: 2, delayed: 2, ..NOTHING },
        ..BASE
    },
    Vector {
        name: "a redirect",
        word: REDIRECT.pack(),
        pattern: [(SENT, 3), NONE, NONE],
        counts: SlotCounters { connects: 3, redirected: 3, ..NOTHING },
        ..BASE
    },
    observe("a refusal only observed", observed(REFUSE), Shed::Deny(REFUSED)),
    observe("a hold only observed", observed(DELAY), Shed::Delay(HOLD)),
    observe("a redirect only observed", observed(REDIRECT), Shed::Redirect(SIBLING)),
    Vector {
        name: "a quarter, the last it acts for",
        cohort: 24,
        word: A_QUARTER.pack(),
        ..SHEDDING
    },
    Vector {
        cohort: 25,
        ..observe("a quarter, the first it spares", A_QUARTER, Shed::Deny(REFUSED))
    },
    Vector {
        name: "probing for a quarter, one that is spared",
        word: VerdictWord { half_open: true, ..A_QUARTER }.pack(),
        cohort: 99,
        ..OBSERVED_PROBING
    },
    expire("a refusal nobody renews", REFUSE),
    expire("a hold nobody renews", DELAY),
    expire("a redirect nobody renews", REDIRECT),
    expire("probing nobody renews", PROBING),
    expire("a share nobody renews", share(500)),
    Vector {
        name: "three tokens",
        word: PROBING.pack(),
        token_limit: 3,
        pattern: [(Probe, 3), (SHED, 2), NONE],
        counts: SlotCounters {
            connects: 5,
            allowed: 3,
            probes: 3,
            denied: 2,
            tokens_taken: 3,
            ..NOTHING
        },
        ..BASE
    },
    Vector {
        name: "two of three tokens taken before",
        word: PROBING.pack(),
        token_limit: 3,
        tokens_taken: 2,
        pattern: [(Probe, 1), (SHED, 2), NONE],
        counts: SlotCounters {
            connects: 3,
            allowed: 1,
            probes: 1,
            denied: 2,
            tokens_taken: 1,
            ..NOTHING
        },
        ..BASE
    },
    Vector {
        name: "every token taken before",
        word: PROBING.pack(),
        token_limit: 3,
        tokens_taken: 3,
        ..SHEDDING
    },
    Vector { name: "no tokens", word: PROBING.pack(), ..SHEDDING },
    OBSERVED_PROBING,
    Vector {
        name: "a share besides a token",
        word: VerdictWord { half_open: true, ..share(500) }.pack(),
        token_limit: 1,
        pattern: [(Probe, 1), (Allow, 1), (SHED, 1)],
        counts: SlotCounters {
            connects: 3,
            allowed: 2,
            probes: 1,
            denied: 1,
            tokens_taken: 1,
            turns: 2,
            ..NOTHING
        },
        ..BASE
    },
    Vector {
        name: "no share of 1000",
        word: share(0).pack(),
        pattern: [(SHED, 1000), NONE, NONE],
        counts: SlotCounters { connects: 1000, denied: 1000, ..NOTHING },
        ..BASE
    },
    Vector {
        name: "1 of 1000",
        word: share(1).pack(),
        pattern: [(Allow, 1), (SHED, 999), NONE],
        counts: SlotCounters { allowed: 1, denied: 999, ..THOUSAND },
        ..BASE
    },
    Vector {
        name: "500 of 1000",
        word: share(500).pack(),
        pattern: [(Allow, 1), (SHED, 1), NONE],
        times: 500,
        counts: SlotCounters { allowed: 500, denied: 500, ..THOUSAND },
        ..BASE
    },
    Vector {
        name: "999 of 1000",
        word: share(999).pack(),
        pattern: [(Allow, 1), (SHED, 1), (Allow, 998)],
        counts: SlotCounters { allowed: 999, denied: 1, ..THOUSAND },
        ..BASE
    },
    Vector {
        name: "1000 of 1000",
        word: share(1000).pack(),
        pattern: [(Allow, 1000), NONE, NONE],
        counts: SlotCounters { allowed: 1000, ..THOUSAND },
        ..BASE
    },
    Vector {
        name: "the second turn and the third",
        word: share(999).pack(),
        turns: 1,
        pattern: [(SHED, 1), (Allow, 1), NONE],
        counts: SlotCounters { connects: 2, allowed: 1, denied: 1, turns: 2, ..NOTHING },
        ..BASE
    },
    Vector {
        name: "fewer failures in a row than the limit",
        word: ON_BURST.pack(),
        burst_limit: 5,
        failure_run: 4,
        ..PASSING
    },
    Vector {
        name: "as many failures in a row as the limit",
        word: ON_BURST.pack(),
        burst_limit: 5,
        failure_run: 5,
        counts: SlotCounters { connects: 3, denied: 3, burst_shed: 3, ..NOTHING },
        ..SHEDDING
    },
    Vector {
        name: "failures in a row without a limit",
        word: ON_BURST.pack(),
        failure_run: 5,
        ..PASSING
    },
    Vector {
        name: "a burst only observed",
        word: observed(ON_BURST).pack(),
        burst_limit: 5,
        failure_run: 5,
        pattern: [(Observe(Shed::Deny(REFUSED)), 1), NONE, NONE],
        counts: SlotCounters { connects: 1, allowed: 1, spared: 1, ..NOTHING },
        ..BASE
    },
    Vector {
        name: "a burst nobody renews",
        word: ON_BURST.pack(),
        burst_limit: 5,
        failure_run: 5,
        is_in_force: false,
        pattern: [(AllowExpired, 1), NONE, NONE],
        counts: SlotCounters { connects: 1, allowed: 1, expired: 1, ..NOTHING },
        ..BASE
    },
];

const fn pass(name: &'static str, word: u64) -> Vector {
    Vector { name, word, ..PASSING }
}

const fn deny(name: &'static str, errno: Errno) -> Vector {
    let word = VerdictWord { action: Action::Deny(errno), ..REFUSE };
    let pattern = [(Decision::Shed(Shed::Deny(errno as u8)), 3), NONE, NONE];
    Vector { name, word: word.pack(), pattern, ..SHEDDING }
}

const fn observe(name: &'static str, word: VerdictWord, shed: Shed) -> Vector {
    Vector {
        name,
        word: word.pack(),
        pattern: [(Observe(shed), 3), NONE, NONE],
        counts: SlotCounters { connects: 3, allowed: 3, spared: 3, ..NOTHING },
        ..BASE
    }
}

const fn observed(word: VerdictWord) -> VerdictWord {
    VerdictWord { enforce_percent: 0, ..word }
}

const fn expire(name: &'static str, word: VerdictWord) -> Vector {
    Vector {
        name,
        word: word.pack(),
        token_limit: 3,
        is_in_force: false,
        pattern: [(AllowExpired, 3), NONE, NONE],
        counts: SlotCounters { connects: 3, allowed: 3, expired: 3, ..NOTHING },
        ..BASE
    }
}

const fn share(admit_permille: u16) -> VerdictWord {
    VerdictWord { admit_permille, ..REFUSE }
}

/// A word that nobody publishes.
const fn unknown(code: u64) -> u64 {
    REFUSE.pack() & !ACTION_MASK | code
}

const REFUSED: u8 = Errno::ConnectionRefused as u8;
const SHED: Decision = Decision::Shed(Shed::Deny(REFUSED));
const HELD: Decision = Decision::Shed(Shed::Delay(HOLD));
const SENT: Decision = Decision::Shed(Shed::Redirect(SIBLING));
const NONE: (Decision, u32) = (Allow, 0);
const NOTHING: SlotCounters = SlotCounters::CLEAR;
const THOUSAND: SlotCounters = SlotCounters { connects: 1000, turns: 1000, ..NOTHING };

const REFUSE: VerdictWord = VerdictWord {
    action: Action::Deny(Errno::ConnectionRefused),
    enforce_percent: 100,
    ..VerdictWord::allow(1)
};
const A_QUARTER: VerdictWord = VerdictWord { enforce_percent: 25, ..REFUSE };
const DELAY: VerdictWord = VerdictWord { action: Action::Delay(HOLD), ..REFUSE };
const REDIRECT: VerdictWord = VerdictWord { action: Action::Redirect(SIBLING), ..REFUSE };
const PROBING: VerdictWord = VerdictWord { half_open: true, ..REFUSE };
const ON_BURST: VerdictWord = VerdictWord { on_burst: true, ..REFUSE };

const BASE: Vector = Vector {
    name: "",
    word: 0,
    cohort: 99,
    token_limit: 0,
    burst_limit: 0,
    failure_run: 0,
    tokens_taken: 0,
    turns: 0,
    is_in_force: true,
    pattern: [NONE; 3],
    times: 1,
    counts: NOTHING,
};
const PASSING: Vector = Vector {
    pattern: [(Allow, 3), NONE, NONE],
    counts: SlotCounters { connects: 3, allowed: 3, ..NOTHING },
    ..BASE
};
const OBSERVED_PROBING: Vector = Vector {
    name: "probing only observed",
    word: observed(PROBING).pack(),
    token_limit: 1,
    pattern: [(Probe, 1), (Observe(Shed::Deny(REFUSED)), 2), NONE],
    counts: SlotCounters {
        connects: 3,
        allowed: 3,
        probes: 1,
        spared: 2,
        tokens_taken: 1,
        ..NOTHING
    },
    ..BASE
};
const SHEDDING: Vector = Vector {
    pattern: [(SHED, 3), NONE, NONE],
    counts: SlotCounters { connects: 3, denied: 3, ..NOTHING },
    ..BASE
};
