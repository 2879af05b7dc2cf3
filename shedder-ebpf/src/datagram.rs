//! UDP: a datagram obeys the verdict of the breaker at the same address and port, where its service asks
//! for that. It is decided when a socket is connected, and for each datagram that goes elsewhere than
//! where its socket is connected to.
//!
//! A datagram is no evidence: what TCP is decided by (tokens, turns, connects) stays as it is.

use aya_ebpf::programs::SockAddrContext;
use aya_log_ebpf::debug;
use shedder_common::caller::{ASKS_UDP, CallerRow};
use shedder_common::counters::SlotCounters;
use shedder_common::decision::{Ask, Decision, Shed, decide};
use shedder_common::endpoint::{EndpointKey, PROTOCOL_UDP, SlotRef};

use crate::address::{IPPROTO_UDP, is_same, rewrite, socket};
use crate::connect::{Outcome, Row};
use crate::detour::Detour;
use crate::maps::{COUNTERS, REDIRECTS, VERDICTS};
use crate::refusal::{self, Refusal};
use crate::settings::{is_debug, is_refused_already};
use crate::{address, atomic, node, slot};

/// A UDP socket is connected.
#[inline(always)]
pub fn ipv4(ctx: &SockAddrContext) -> Outcome {
    let Some(caller) = asking(ctx) else { return Outcome::Pass };
    let mut key = address::ipv4(ctx, caller.id);
    steer(ctx, caller, &mut key, false)
}

#[inline(always)]
pub fn ipv6(ctx: &SockAddrContext) -> Outcome {
    let Some(caller) = asking(ctx) else { return Outcome::Pass };
    let mut key = address::ipv6(ctx, caller.id);
    steer(ctx, caller, &mut key, true)
}

/// A datagram is sent with an address.
#[inline(always)]
pub fn send_ipv4(ctx: &SockAddrContext) -> Outcome {
    if address::is_own_peer(ctx, false) { Outcome::Pass } else { ipv4(ctx) }
}

#[inline(always)]
pub fn send_ipv6(ctx: &SockAddrContext) -> Outcome {
    if address::is_own_peer(ctx, true) { Outcome::Pass } else { ipv6(ctx) }
}

/// Shows a socket that was redirected the peer it asked for: as that of its connection, and as the
/// sender of what it receives.
#[inline(always)]
pub fn name_peer(ctx: &SockAddrContext, is_ipv6: bool) {
    let Some((asked, target)) = Detour::of(socket(ctx)) else { return };
    let (Some(origin), Some(target)) = (REDIRECTS.get(asked.slot), REDIRECTS.get(target)) else {
        return;
    };
    if !asked.is(origin.slot) {
        return;
    }
    let caller = target.key.caller;
    let peer = if is_ipv6 { address::ipv6(ctx, caller) } else { address::ipv4(ctx, caller) };
    if is_same(&peer, &target.key) {
        rewrite(ctx, &origin.key, is_ipv6);
    }
}

/// The caller, if this is UDP and a service of its asks for that.
#[inline(always)]
fn asking(ctx: &SockAddrContext) -> Option<CallerRow> {
    if address::protocol(ctx) != IPPROTO_UDP {
        return None;
    }
    let caller = slot::caller()?;
    (caller.asks & ASKS_UDP != 0).then_some(caller)
}

/// Applies the verdict of one endpoint.
#[inline(always)]
fn steer(
    ctx: &SockAddrContext,
    caller: CallerRow,
    key: &mut EndpointKey,
    is_ipv6: bool,
) -> Outcome {
    let Some(slot) = slot::find(ctx, caller, key) else { return Outcome::Pass };
    let (Some(verdict), Some(counters)) =
        (VERDICTS.get(slot.slot), COUNTERS.get_ptr_mut(slot.slot))
    else {
        return Outcome::Pass;
    };
    if verdict.datagrams == 0 || is_refused_already() {
        return Outcome::Pass;
    }
    // SAFETY: a row of the counter array.
    let turn = unsafe { atomic::fetch_add(&raw mut (*counters).datagrams, 1) };
    slot::mark(slot.slot);
    let mut row = Datagram { row: Row::read(counters), turn };
    let word = slot::word(verdict);
    let decision = decide(word, verdict, caller.cohort, &mut row);
    if is_debug() {
        debug!(ctx, "datagram slot {} word {:x}", slot.slot, word);
    }
    match decision {
        Decision::Shed(Shed::Deny(errno)) => {
            // SAFETY: a row of the counter array.
            unsafe { atomic::add(&raw mut (*counters).datagrams_denied, 1) };
            let key = EndpointKey { protocol: PROTOCOL_UDP, ..*key };
            let refusal = Refusal { key: &key, slot, word, errno };
            refusal::tell(&refusal, counters, socket(ctx));
            return Outcome::Refuse(errno);
        }
        Decision::Shed(Shed::Redirect(target)) => redirect(ctx, slot, target, counters, is_ipv6),
        Decision::Observe(Shed::Deny(_) | Shed::Redirect(_)) => {
            // SAFETY: a row of the counter array.
            unsafe { atomic::add(&raw mut (*counters).datagrams_spared, 1) };
            Detour::forget(socket(ctx), slot);
        }
        // There is nothing about a datagram that could be held.
        Decision::Allow
        | Decision::AllowExpired
        | Decision::Probe
        | Decision::Observe(Shed::Delay(_))
        | Decision::Shed(Shed::Delay(_)) => Detour::forget(socket(ctx), slot),
    }
    Outcome::Pass
}

/// What the decision about a datagram may ask of a slot.
struct Datagram {
    row: Row,
    /// Which datagram to this slot it is, from zero.
    turn: u64,
}

impl Ask for Datagram {
    #[inline(always)]
    fn failure_run(&mut self) -> u64 {
        self.row.failure_run()
    }

    #[inline(always)]
    fn is_in_force(&mut self) -> bool {
        self.row.is_in_force()
    }

    /// None: a probe is awaited by its result, and a datagram has none.
    #[inline(always)]
    fn take_token(&mut self, _: u64) -> bool {
        false
    }

    /// Its own, so that the turns of connects stay evenly spread.
    #[inline(always)]
    fn next_turn(&mut self) -> u64 {
        self.turn
    }
}

/// Sends the datagram, or the connected socket, to a sibling. An unusable target leaves it as it is.
#[inline(always)]
fn redirect(
    ctx: &SockAddrContext,
    origin: SlotRef,
    target: u16,
    counters: *mut SlotCounters,
    is_ipv6: bool,
) {
    let Some(target) = REDIRECTS.get(u32::from(target)) else {
        return node::count(|node| &raw mut node.redirects_failed);
    };
    // Noted first: without that the answer would come from a stranger.
    if !Detour::note(socket(ctx), origin, target.slot) || !rewrite(ctx, &target.key, is_ipv6) {
        return node::count(|node| &raw mut node.redirects_failed);
    }
    // SAFETY: a row of the counter array.
    unsafe { atomic::add(&raw mut (*counters).datagrams_redirected, 1) };
}
