//! connect4 and connect6: which endpoint, which verdict, and what follows from it.
//!
//! Lookups on the allow path: the caller's id (no search), the slot (hash), verdict and counters
//! (arrays, inlined), the socket's tag. Helper calls: caller, return value, slot, tag.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr};
use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_get_prandom_u32};
use aya_ebpf::programs::SockAddrContext;
use aya_log_ebpf::debug;
use shedder_common::caller::{ASKS_NETWORKS, CallerRow};
use shedder_common::counters::SlotCounters;
use shedder_common::decision::{Ask, Decision, Shed, decide};
use shedder_common::endpoint::{EndpointKey, FAMILY_IPV4, FAMILY_IPV6, SlotRef};
use shedder_common::verdict::{self, Verdict};

use crate::maps::{CALLERS, COUNTERS, NODE, REDIRECTS, SLOTS, VERDICTS};
use crate::refusal::{self, Refusal};
use crate::settings::{is_debug, is_refused_already, now_ns};
use crate::tag::{ADMITTED, HOLD_NONE, HOLD_PENDING, Tag};
use crate::{announce, atomic, flight, held, node};

/// What the connect program answers.
#[derive(Clone, Copy)]
pub enum Outcome {
    Pass,
    /// Fail the call with this error number.
    Refuse(u8),
}

#[inline(always)]
pub fn ipv4(ctx: &SockAddrContext) -> Outcome {
    let raw = ctx.sock_addr;
    // SAFETY: the kernel hands over a valid context.
    let (protocol, address, port) = unsafe { ((*raw).protocol, (*raw).user_ip4, (*raw).user_port) };
    if protocol != IPPROTO_TCP {
        return Outcome::Pass;
    }
    let Some(caller) = caller() else { return Outcome::Pass };
    let mut key = EndpointKey::ipv4(caller.id, address.to_ne_bytes(), port_bytes(port));
    steer(ctx, caller, &mut key, false)
}

#[inline(always)]
pub fn ipv6(ctx: &SockAddrContext) -> Outcome {
    let raw = ctx.sock_addr;
    // SAFETY: the kernel hands over a valid context; each word is read on its own, as the
    // verifier demands.
    let (protocol, words, port) = unsafe {
        let address = &raw const (*raw).user_ip6;
        let address = address.cast::<u32>();
        (
            (*raw).protocol,
            [
                address.read_volatile(),
                address.add(1).read_volatile(),
                address.add(2).read_volatile(),
                address.add(3).read_volatile(),
            ],
            (*raw).user_port,
        )
    };
    if protocol != IPPROTO_TCP {
        return Outcome::Pass;
    }
    let Some(caller) = caller() else { return Outcome::Pass };
    let [a, b, c, d] = words;
    let is_mapped = a == 0 && b == 0 && c == MAPPED_PREFIX;
    let mut key = if is_mapped {
        EndpointKey::ipv4(caller.id, d.to_ne_bytes(), port_bytes(port))
    } else {
        EndpointKey::ipv6(caller.id, bytes_of(words), port_bytes(port))
    };
    steer(ctx, caller, &mut key, true)
}

/// The caller this cgroup belongs to; nothing while the daemon has not said.
#[inline(always)]
fn caller() -> Option<CallerRow> {
    // SAFETY: storage of the cgroup the program is attached to; the helper cannot fail.
    let caller = unsafe { *CALLERS.get_ptr_mut() };
    (caller.id != 0).then_some(caller)
}

/// Applies the verdict of one endpoint. `is_ipv6` tells which kind of socket it is.
#[inline(always)]
fn steer(
    ctx: &SockAddrContext,
    caller: CallerRow,
    key: &mut EndpointKey,
    is_ipv6: bool,
) -> Outcome {
    let Some(slot) = slot(ctx, caller, key) else {
        Tag::forget(socket(ctx));
        announce::discovery(ctx, key);
        return Outcome::Pass;
    };
    let (Some(verdict), Some(counters)) =
        (VERDICTS.get(slot.slot), COUNTERS.get_ptr_mut(slot.slot))
    else {
        Tag::forget(socket(ctx));
        return Outcome::Pass;
    };
    if is_refused_already() {
        Tag::forget(socket(ctx));
        return Outcome::Pass;
    }
    let decision = decide(verdict, &mut Row(counters));
    if is_debug() {
        debug!(ctx, "connect slot {} word {:x}", slot.slot, verdict.word);
    }
    count(counters, decision, verdict.word);
    match decision {
        Decision::Allow | Decision::AllowExpired | Decision::Observe(_) => {
            tag(ctx, slot, verdict, Extra::None);
            Outcome::Pass
        }
        Decision::Probe => {
            tag(ctx, slot, verdict, Extra::Probe);
            Outcome::Pass
        }
        Decision::Shed(Shed::Deny(errno)) => {
            Tag::forget(socket(ctx));
            refusal::tell(&Refusal { key, slot, word: verdict.word, errno }, counters, socket(ctx));
            Outcome::Refuse(errno)
        }
        Decision::Shed(Shed::Delay(milliseconds)) => {
            tag(ctx, slot, verdict, Extra::Hold(milliseconds));
            Outcome::Pass
        }
        Decision::Shed(Shed::Redirect(target)) => {
            Tag::forget(socket(ctx));
            redirect(ctx, slot, target, is_ipv6);
            Outcome::Pass
        }
    }
}

/// The endpoint's slot: that of the network namespace, if the caller tells them apart, or that of all.
#[inline(always)]
fn slot(ctx: &SockAddrContext, caller: CallerRow, key: &mut EndpointKey) -> Option<SlotRef> {
    if caller.asks & ASKS_NETWORKS != 0 {
        key.network = network(ctx);
        // SAFETY: the value is plain data the daemon replaces as a whole.
        if let Some(&slot) = unsafe { SLOTS.get(*key) } {
            return Some(slot);
        }
        key.network = 0;
    }
    // SAFETY: as above.
    unsafe { SLOTS.get(*key) }.copied()
}

/// The cookie of the network namespace the socket is in.
#[inline(always)]
pub fn network(ctx: &SockAddrContext) -> u64 {
    // SAFETY: the kernel hands over a valid context.
    unsafe { bpf_get_netns_cookie(ctx.as_ptr()) }
}

/// The counters of a slot, as the decision asks for them.
struct Row(*mut SlotCounters);

impl Ask for Row {
    #[inline(always)]
    fn failure_run(&mut self) -> u64 {
        // SAFETY: a row of the counter array.
        unsafe { (&raw const (*self.0).failure_run).read_volatile() }
    }

    #[inline(always)]
    fn is_in_force(&mut self) -> bool {
        NODE.get(0).is_some_and(|node| now_ns() < node.verdicts_until_ns)
    }

    #[inline(always)]
    fn take_token(&mut self, limit: u64) -> bool {
        // SAFETY: a row of the counter array.
        unsafe {
            let taken = &raw mut (*self.0).tokens_taken;
            taken.read_volatile() < limit && atomic::fetch_add(taken, 1) < limit
        }
    }

    #[inline(always)]
    fn next_turn(&mut self) -> u64 {
        // SAFETY: a row of the counter array.
        unsafe { atomic::fetch_add(&raw mut (*self.0).turns, 1) }
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
                atomic::add(&raw mut (*counters).would_shed, 1);
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
fn tag(ctx: &SockAddrContext, slot: SlotRef, verdict: &Verdict, extra: Extra) {
    let Some(tag) = Tag::of_or_new(socket(ctx)) else {
        node::count(|node| &raw mut node.untagged);
        return;
    };
    // Of an earlier connect on this socket whose end was not told.
    flight::end(tag);
    held::end(tag);
    let epoch = verdict::epoch(verdict.word);
    tag.slot = slot;
    tag.started_ns = 0;
    tag.last_out_ns = 0;
    tag.segments_seen = 0;
    tag.measure = verdict.measure;
    tag.origin = 0;
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
        tag.origin = origin.slot + 1;
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
    if !rewrite(ctx.sock_addr, key, is_ipv6) {
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
        tag(ctx, target.slot, verdict, Extra::Redirected(origin));
    }
}

/// Shows a redirected connection the peer it asked for: other programs of the application look for it.
#[inline(always)]
pub fn name_peer(ctx: &SockAddrContext, is_ipv6: bool) {
    let Some(tag) = Tag::of(socket(ctx)) else { return };
    let Some(origin) = tag.origin.checked_sub(1) else { return };
    if let Some(origin) = REDIRECTS.get(origin) {
        rewrite(ctx.sock_addr, &origin.key, is_ipv6);
    }
}

/// Writes the new destination into the call; whether that was possible for this kind of socket.
#[inline(always)]
fn rewrite(raw: *mut bpf_sock_addr, key: &EndpointKey, is_ipv6: bool) -> bool {
    let [a, b] = key.port;
    let port = u32::from(u16::from_ne_bytes([a, b]));
    let words = words_of(key.address);
    // SAFETY: the kernel hands over a valid context; each word is written on its own, as the
    // verifier demands.
    unsafe {
        let address = (&raw mut (*raw).user_ip6).cast::<u32>();
        match (key.family, is_ipv6) {
            (FAMILY_IPV4, false) => (*raw).user_ip4 = words[0],
            (FAMILY_IPV4, true) => {
                address.write_volatile(0);
                address.add(1).write_volatile(0);
                address.add(2).write_volatile(MAPPED_PREFIX);
                address.add(3).write_volatile(words[0]);
            }
            (FAMILY_IPV6, true) => {
                address.write_volatile(words[0]);
                address.add(1).write_volatile(words[1]);
                address.add(2).write_volatile(words[2]);
                address.add(3).write_volatile(words[3]);
            }
            _ => return false,
        }
        (*raw).user_port = port;
    }
    true
}

#[inline(always)]
fn socket(ctx: &SockAddrContext) -> *mut bpf_sock {
    // SAFETY: the kernel hands over a valid context.
    unsafe { (*ctx.as_ptr().cast::<bpf_sock_addr>()).__bindgen_anon_1.sk }
}

/// The port of the context: network order, in the low 16 bits.
#[inline(always)]
fn port_bytes(port: u32) -> [u8; 2] {
    let [first, second, ..] = port.to_le_bytes();
    // The low bits of the word are its first bytes on one kind of machine and its last on the other.
    if cfg!(target_endian = "little") { [first, second] } else { [second, first] }
}

#[inline(always)]
fn bytes_of(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: same size, no padding, any bits are valid.
    unsafe { core::mem::transmute(words) }
}

#[inline(always)]
fn words_of(bytes: [u8; 16]) -> [u32; 4] {
    // SAFETY: same size, no padding, any bits are valid.
    unsafe { core::mem::transmute(bytes) }
}

const IPPROTO_TCP: u32 = 6;
/// The third word of `::ffff:a.b.c.d` as it lies in memory.
const MAPPED_PREFIX: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
