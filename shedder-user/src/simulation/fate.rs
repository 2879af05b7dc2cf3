//! What the network, the endpoint and the faults of the moment do to a packet or a request.
//!
//! Invariant: pure; whether a call that was shed would have been served is asked of the same
//! functions that decide what becomes of one that was not.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each step of a connection meets only some of the troubles"
)]

use std::time::Duration;

use shedder_common::time::Monotonic;

use super::luck::Luck;
use super::scenario::{Fault, Scenario, Trouble};

/// One caller calling one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) caller: usize,
    pub(super) endpoint: usize,
}

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// Nothing comes back.
    Lost,
    /// No SYN leaves: the caller has no port.
    NoPort,
    Refused,
    Unreachable,
    Accepted,
}

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// It never answers.
    Silent,
    Reset,
    /// It hangs up after a while.
    HangsUp(Duration),
    /// It answers after so much work, and is done so much later.
    Answers {
        work: Duration,
        rest: Duration,
    },
}

/// What a pooled connection turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooled {
    Alive,
    /// Closed by the peer, which the caller has overlooked.
    Closed,
    /// Forgotten by the peer.
    Forgotten,
}

impl<'a> Path<'a> {
    /// What becomes of a SYN after `sent` others.
    pub(super) fn handshake(&self, luck: Luck, sent: u32, now: Monotonic) -> Handshake {
        let mut fate = Handshake::Accepted;
        for trouble in self.troubles(luck, now) {
            match trouble {
                Trouble::NoPorts if sent == 0 => return Handshake::NoPort,
                Trouble::BlackHole => return Handshake::Lost,
                Trouble::Unreachable => fate = Handshake::Unreachable,
                Trouble::Refuse | Trouble::Down if fate == Handshake::Accepted => {
                    fate = Handshake::Refused;
                }
                _ => {}
            }
        }
        if self.is_lost(luck, SYN, sent, now) { Handshake::Lost } else { fate }
    }

    /// Whether the connection is reset as soon as it is accepted.
    pub(super) fn is_reset_at_once(&self, luck: Luck, now: Monotonic) -> bool {
        self.troubles(luck, now).any(|trouble| trouble == Trouble::AcceptReset)
    }

    /// Whether a request or an answer gets lost after `sent` copies that were.
    pub(super) fn is_cut(&self, luck: Luck, kind: u64, sent: u32, now: Monotonic) -> bool {
        self.troubles(luck, now).any(|trouble| trouble == Trouble::BlackHole)
            || self.is_lost(luck, kind, sent, now)
    }

    /// There and back.
    pub(super) fn round_trip(&self, luck: Luck, now: Monotonic) -> Duration {
        self.troubles(luck, now).fold(self.scenario.network.rtt, |sum, trouble| match trouble {
            Trouble::Latency(by) => sum + by,
            _ => sum,
        })
    }

    /// What the endpoint does with a request that arrives now.
    pub(super) fn service(&self, luck: Luck, now: Monotonic) -> Service {
        // Half of it always, half by chance: the slowest in a hundred take three times the mean.
        let mean = self.scenario.endpoints[self.endpoint].response;
        let mut work = mean.mul_f64(0.5 + 0.5 * luck.of(WORK).exponential());
        let (mut rest, mut patience) = (Duration::ZERO, None);
        for trouble in self.troubles(luck, now) {
            match trouble {
                Trouble::Reset | Trouble::Down => return Service::Reset,
                Trouble::Hang => return Service::Silent,
                Trouble::Slow(by) => work += by,
                Trouble::Drip(by) => rest += by,
                Trouble::HangUp(after) => patience = Some(after),
                _ => {}
            }
        }
        match patience {
            Some(patience) if work > patience => Service::HangsUp(patience),
            _ => Service::Answers { work, rest },
        }
    }

    /// What has become of an idle connection.
    pub(super) fn pooled(&self, luck: Luck, now: Monotonic) -> Pooled {
        self.troubles(luck, now).fold(Pooled::Alive, |fate, trouble| match trouble {
            Trouble::CloseIdle => Pooled::Closed,
            Trouble::ForgetIdle => Pooled::Forgotten,
            _ => fate,
        })
    }

    /// Whether a call that is shed now would have been served within `within`, where requests
    /// wait `queued` for a worker.
    pub(super) fn would_serve(
        &self,
        luck: Luck,
        queued: Duration,
        within: Duration,
        now: Monotonic,
    ) -> bool {
        let mut at = now;
        for sent in 0.. {
            match self.handshake(luck, sent, at) {
                Handshake::Accepted => break,
                Handshake::Lost if at.since(now) <= within => at = at.plus(syn_timer(sent)),
                _ => return false,
            }
        }
        if self.is_reset_at_once(luck, at) {
            return false;
        }
        at = at.plus(self.round_trip(luck, at));
        for kind in [REQUEST, ANSWER] {
            for sent in 0.. {
                if !self.is_cut(luck, kind, sent, at) {
                    break;
                }
                if at.since(now) > within {
                    return false;
                }
                at = at.plus(data_timer(sent));
            }
        }
        at = at.plus(self.round_trip(luck, at));
        match self.service(luck, at) {
            Service::Answers { work, rest } => at.since(now) + queued + work + rest <= within,
            Service::Silent | Service::Reset | Service::HangsUp(_) => false,
        }
    }

    fn is_lost(&self, luck: Luck, kind: u64, sent: u32, now: Monotonic) -> bool {
        let roll = |what: u64| luck.of(kind + what).of(sent.into()).unit();
        let is_faulty = |(index, fault): (u64, &Fault)| {
            fault.trouble == Trouble::Loss && roll(index + 1) < fault.share
        };
        roll(0) < self.scenario.network.loss || self.active(now).any(is_faulty)
    }

    /// The troubles that meet this connection or request.
    fn troubles(&self, luck: Luck, now: Monotonic) -> impl Iterator<Item = Trouble> + use<'a> {
        self.active(now).filter_map(move |(index, fault)| {
            let is_met = fault.share >= 1.0 || luck.of(FAULT + index).unit() < fault.share;
            is_met.then_some(fault.trouble)
        })
    }

    fn active(&self, now: Monotonic) -> impl Iterator<Item = (u64, &'a Fault)> + use<'a> {
        let Self { scenario, caller, endpoint } = *self;
        (0..)
            .zip(&scenario.faults)
            .filter(move |(_, fault)| fault.is_active(now) && fault.concerns(caller, endpoint))
    }
}

/// How long the network stack waits before it sends a SYN again.
pub(super) fn syn_timer(sent: u32) -> Duration {
    Duration::from_secs(1) * 2_u32.pow(sent.min(10))
}

/// And data.
pub(super) fn data_timer(sent: u32) -> Duration {
    Duration::from_millis(200) * 2_u32.pow(sent.min(10))
}

/// SYNs sent before the network stack gives up.
pub(super) const SYNS: u32 = 7;

// What rolls are for. Kinds of packets leave room for a roll for each fault.
pub(super) const SYN: u64 = 1 << 32;
pub(super) const REQUEST: u64 = 2 << 32;
pub(super) const ANSWER: u64 = 3 << 32;
const FAULT: u64 = 4 << 32;
const WORK: u64 = 5 << 32;
