//! connect4 and connect6: which endpoint, which verdict, and what follows from it.
//!
//! Lookups on the allow path: the caller's id (no search), the slot (hash), verdict and counters
//! (arrays, inlined), the socket's tag. Helper calls: caller, return value, slot, tag.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use aya_ebpf::programs::SockAddrContext;
use aya_log_ebpf::debug;
use shedder_common::caller::CallerRow;
use shedder_common::counters::SlotCounters;
use shedder_common::decision::{Ask, Decision, Shed, decide};
use shedder_common::endpoint::{EndpointKey, SlotRef};
use shedder_common::tag::ADMITTED;
use shedder_common::verdict::{self, Verdict};

use crate::address::{IPPROTO_TCP, owner, rewrite, socket};
use crate::maps::{COUNTERS, NODE, REDIRECTS, VERDICTS};
use crate::refusal::{self, Refusal};
use crate::settings::{is_debug, is_refused_already, now_ns};
use crate::tag::{HOLD_NONE, HOLD_PENDING, NO_ORIGIN, Tag};
use crate::{address, announce, atomic, datagram, flight, held, node, slot};

/// What the connect program answers.
#[derive(Clone, Copy)]
pub enum Outcome {
    Pass,
    /// Fail the call with this error number.
    Refuse(u8),
}

#[inline(always)]
pub fn ipv4(ctx: &SockAddrContext) -> Outcome {
    if address::protocol(ctx) != IPPROTO_TCP {
        return datagram::ipv4(ctx);
    }
    let Some(caller) = slot::caller() else { return Outcome::Pass };
    let mut key = address::ipv4(ctx, caller.id);
    steer(ctx, caller, &mut key, false)
}

#[inline(always)]
pub fn ipv6(ctx: &SockAddrContext) -> Outcome {
    if address::protocol(ctx) != IPPROTO_TCP {
        return datagram::ipv6(ctx);
    }
    let Some(caller) = slot::caller() else { return Outcome::Pass };
    let mut key = address::ipv6(ctx, caller.id);
    steer(ctx, caller, &mut key, true)
}

/// Applies the verdict of one endpoint. `is_ipv6` tells which kind of socket it is.
#[inline(always)]
fn steer(
    ctx: &SockAddrContext,
    caller: CallerRow,
    key: &mut EndpointKey,
    is_ipv6: bool,
) -> Outcome {
    let Some(slot) = slot::find(ctx, caller, key) else {
        Tag::forget(owner(ctx));
        announce::discovery(ctx, caller, key);
        return Outcome::Pass;
    };
    let (Some(verdict), Some(counters)) =
        (VERDICTS.get(slot.slot), COUNTERS.get_ptr_mut(slot.slot))
    else {
        Tag::forget(owner(ctx));
        return Outcome::Pass;
    };
    if is_refused_already() {
        Tag::forget(owner(ctx));
        return Outcome::Pass;
    }
    // In this order: see `Row::read`.
    let mut row = Row::read(counters);
    let word = slot::word(verdict);
    let decision = decide(word, verdict, caller.cohort, &mut row);
    if is_debug() {
        debug!(ctx, "connect slot {} word {:x}", slot.slot, word);
    }
    count(counters, decision, word);
    slot::mark(slot.slot);
    match decision {
        Decision::Allow | Decision::AllowExpired | Decision::Observe(_) => {
            tag(ctx, slot, word, verdict, Extra::None);
            Outcome::Pass
        }
        Decision::Probe => {
            tag(ctx, slot, word, verdict, Extra::Probe);
            Outcome::Pass
        }
        Decision::Shed(Shed::Deny(errno)) => {
            Tag::forget(owner(ctx));
            refusal::tell(&Refusal { key, slot, word, errno }, counters, socket(ctx));
            Outcome::Refuse(errno)
        }
        Decision::Shed(Shed::Delay(milliseconds)) => {
            tag(ctx, slot, word, verdict, Extra::Hold(milliseconds));
            Outcome::Pass
        }
        Decision::Shed(Shed::Redirect(target)) => {
            Tag::forget(owner(ctx));
            redirect(ctx, slot, target, is_ipv6);
            Outcome::Pass
        }
    }
}

/// The counters of a slot, as the decision asks for them.
pub struct Row {
    counters: *mut SlotCounters,
    failure_run: u64,
}

impl Row {
    /// To be called before the verdict is read. The daemon writes the verdict of a new epoch first and clears the
    /// run of failures behind it, so whoever finds no run any more finds that verdict. The other way round a
    /// connect that is interrupted in between would meet the old verdict without the run that held it back.
    #[inline(always)]
    pub fn read(counters: *mut SlotCounters) -> Self {
        // SAFETY: a row of the counter array.
        let failure_run = unsafe { (&raw const (*counters).failure_run).read_volatile() };
        Self { counters, failure_run }
    }
}

impl Ask for Row {
    #[inline(always)]
    fn failure_run(&mut self) -> u64 {
        self.failure_run
    }

    #[inline(always)]
    fn is_in_force(&mut self) -> bool {
        NODE.get(0).is_some_and(|node| now_ns() < node.verdicts_until_ns)
    }

    #[inline(always)]
    fn take_token(&mut self, limit: u64) -> bool {
        // SAFETY: a row of the counter array.
        unsafe {
            let taken = &raw mut (*self.counters).tokens_taken;
            taken.read_volatile() < limit && atomic::fetch_add(taken, 1) < limit
        }
    }

    #[inline(always)]
    fn next_turn(&mut self) -> u64 {
        // SAFETY: a row of the counter array.
        unsafe { atomic::fetch_add(&raw mut (*self.counters).turns, 1) }
    }
}

#[inline(always)]
fn count(counters: *mut SlotCounters, decision: Decision, word: u64) {
    // SAFETY: a row of the counter array, whose fields are aligned.
    unsafe {
        atomic::add(&raw mut (*counters).connects, 1);
        if matches!(decision, Decision::Shed(_)) && verdict::is_on_burst(word) {
            atomic::add(&raw mut (*counters).burst_shed, 1);
        }
        match decision {
            Decision::Allow => atomic::add(&raw mut (*counters).allowed, 1),
            Decision::AllowExpired => {
                atomic::add(&raw mut (*counters).allowed, 1);
                atomic::add(&raw mut (*counters).expired, 1);
            }
            Decision::Probe => {
                atomic::add(&raw mut (*counters).allowed, 1);
                atomic::add(&raw mut (*counters).probes, 1);
            }
            Decision::Observe(_) => {
                atomic::add(&raw mut (*counters).allowed, 1);
                atomic::add(&raw mut (*counters).spared, 1);
            }
            Decision::Shed(Shed::Deny(_)) => atomic::add(&raw mut (*counters).denied, 1),
            Decision::Shed(Shed::Delay(_)) => atomic::add(&raw mut (*counters).delayed, 1),
            Decision::Shed(Shed::Redirect(_)) => atomic::add(&raw mut (*counters).redirected, 1),
        }
    }
}

/// What is special about an admitted connect.
enum Extra {
    None,
    Probe,
    Hold(u16),
    /// Meant for the endpoint of this slot.
    Redirected(SlotRef),
}

/// Marks the socket, so that what becomes of the connect is counted for this slot.
#[inline(always)]
fn tag(ctx: &SockAddrContext, slot: SlotRef, word: u64, verdict: &Verdict, extra: Extra) {
    let Some(tag) = Tag::of_or_new(owner(ctx)) else {
        node::count(|node| &raw mut node.untagged);
        return;
    };
    // Of an earlier connect on this socket whose end was not told.
    flight::end(tag);
    held::end(tag);
    let epoch = verdict::epoch(word);
    tag.slot = slot;
    tag.started_ns = 0;
    tag.last_out_ns = 0;
    tag.segments_seen = 0;
    tag.measure = verdict.measure;
    tag.origin = NO_ORIGIN;
    tag.closing_ns = 0;
    tag.epoch = epoch;
    tag.turn_epoch = epoch;
    tag.phase = ADMITTED;
    tag.hold = HOLD_NONE;
    tag.is_probe = u8::from(matches!(extra, Extra::Probe));
    tag.is_waiting = 0;
    tag.has_answered = 0;
    tag.is_peer_closed = 0;
    tag.has_outcome = 0;
    tag.turns_to_skip = u8::try_from(verdict.turns_to_skip).unwrap_or(u8::MAX);
    if let Extra::Redirected(origin) = extra {
        tag.origin = origin;
    }
    if let Extra::Hold(milliseconds) = extra {
        if verdict.hold_jiffies == 0 {
            return node::count(|node| &raw mut node.holds_failed);
        }
        let (extra_jiffies, extra_ns) = jitter(verdict.hold_jitter_jiffies);
        let hold_ns = u64::from(milliseconds) * 1_000_000 + extra_ns;
        tag.hold = HOLD_PENDING;
        tag.hold_jiffies = verdict.hold_jiffies + extra_jiffies;
        #[expect(clippy::cast_possible_truncation, reason = "at most 20 s")]
        let hold_ms = (hold_ns / 1_000_000) as u16;
        tag.hold_ms = hold_ms;
        tag.hold_until_ns = now_ns() + hold_ns.saturating_sub(u64::from(verdict.hold_slack_ns));
    }
}

/// By how much this hold is longer than the shortest, so that connects held together do not leave
/// together: in jiffies and in nanoseconds.
#[inline(always)]
fn jitter(most_jiffies: u32) -> (u32, u64) {
    let Some(node) = NODE.get(0) else { return (0, 0) };
    if most_jiffies == 0 {
        return (0, 0);
    }
    // SAFETY: the helper has no precondition.
    let chance = unsafe { bpf_get_prandom_u32() };
    let extra = chance.checked_rem(most_jiffies.wrapping_add(1)).unwrap_or(0);
    (extra, u64::from(extra) * node.jiffy_ns)
}

/// Sends the connect to a sibling and lets the evidence count for the sibling. An unusable target
/// leaves the connect as it is.
#[inline(always)]
fn redirect(ctx: &SockAddrContext, origin: SlotRef, target: u16, is_ipv6: bool) {
    let Some(target) = REDIRECTS.get(u32::from(target)) else {
        return node::count(|node| &raw mut node.redirects_failed);
    };
    let key = &target.key;
    if !rewrite(ctx, key, is_ipv6) {
        return node::count(|node| &raw mut node.redirects_failed);
    }
    if let (Some(verdict), Some(counters)) =
        (VERDICTS.get(target.slot.slot), COUNTERS.get_ptr_mut(target.slot.slot))
    {
        // SAFETY: a row of the counter array.
        unsafe {
            atomic::add(&raw mut (*counters).connects, 1);
            atomic::add(&raw mut (*counters).allowed, 1);
        }
        slot::mark(target.slot.slot);
        tag(ctx, target.slot, slot::word(verdict), verdict, Extra::Redirected(origin));
    }
}

/// Shows a redirected connection the peer it asked for: other programs of the application look for it. When that is
/// forgotten, and its slot another's, the peer is who it is.
#[inline(always)]
pub fn name_peer(ctx: &SockAddrContext, is_ipv6: bool) {
    let Some(tag) = Tag::of(owner(ctx)) else { return datagram::name_peer(ctx, is_ipv6) };
    if tag.origin.generation == NO_ORIGIN.generation {
        return;
    }
    if let Some(origin) = REDIRECTS.get(tag.origin.slot)
        && origin.slot.generation == tag.origin.generation
    {
        rewrite(ctx, &origin.key, is_ipv6);
    }
}
