//! `cgroup_skb`: when requests leave and answers arrive, and the SYN hold.
//!
//! Nothing is parsed beyond the TCP header, so encrypted traffic is measured like any other, unless a
//! service names the protocol it speaks: then the first bytes of each answer are read. A packet without
//! payload that is no SYN leaves after reading a few header bytes.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::programs::SkBuffContext;
use shedder_common::ending::Outcome;
use shedder_common::histogram::HistogramKind;
use shedder_common::in_flight::Kind;
use shedder_common::protocol::{self, START, Start};
use shedder_common::tag::{CONNECTING, ESTABLISHED};
use shedder_common::verdict;

use crate::evidence::{measure, record, rows};
use crate::settings::now_ns;
use crate::tag::{HOLD_PASSED, HOLD_PENDING, Owner, Tag};
use crate::{atomic, flight, held, slot};

/// A packet on its way out; whether it may go.
#[inline(always)]
pub fn leave(ctx: &SkBuffContext) -> bool {
    let Some(segment) = Segment::read(ctx) else { return true };
    if !segment.is_syn && segment.payload == 0 {
        return true;
    }
    let Some(tag) = tag(ctx) else { return true };
    if segment.is_syn && !may_connect(tag) {
        return false;
    }
    // A request can leave with the SYN (TCP Fast Open).
    let is_asking = segment.payload != 0 && !tag.measures_connects_only();
    if is_asking && matches!(tag.phase, CONNECTING | ESTABLISHED) {
        note_request(ctx, tag, &segment);
    }
    true
}

/// A packet on its way in.
#[inline(always)]
pub fn arrive(ctx: &SkBuffContext) {
    let Some(segment) = Segment::read(ctx) else { return };
    if segment.payload == 0 {
        return;
    }
    let Some(tag) = tag(ctx) else { return };
    if tag.phase == ESTABLISHED && !tag.measures_connects_only() && is_new(tag, &segment) {
        note_answer(ctx, tag, &segment);
    }
}

/// Whether these bytes have not come before. What the peer sends again, because an acknowledgement
/// was lost, answers nothing.
#[inline(always)]
fn is_new(tag: &mut Tag, segment: &Segment) -> bool {
    let end = segment.end();
    if tag.has_answered != 0 && end.wrapping_sub(tag.received_end).cast_signed() <= 0 {
        return false;
    }
    tag.received_end = end;
    true
}

/// Whether the hold of this SYN, if any, has passed.
#[inline(always)]
fn may_connect(tag: &mut Tag) -> bool {
    if tag.hold != HOLD_PENDING || tag.phase != CONNECTING {
        return true;
    }
    let now = now_ns();
    if now < tag.hold_until_ns {
        return false;
    }
    tag.hold = HOLD_PASSED;
    held::end(tag);
    tag.started_ns = now;
    slot::mark(tag.slot.slot);
    flight::begin(tag, Kind::Connecting, now);
    true
}

#[inline(always)]
fn note_request(ctx: &SkBuffContext, tag: &mut Tag, segment: &Segment) {
    let end = segment.end();
    // Bytes sent before are a retransmission and do not move the start of the wait.
    if tag.last_out_ns != 0 && end.wrapping_sub(tag.sent_end).cast_signed() <= 0 {
        return;
    }
    tag.sent_end = end;
    let departure_ns = departure_ns(ctx);
    tag.last_out_ns = departure_ns;
    // Until the handshake is complete that is what is open.
    let is_open = tag.phase == ESTABLISHED;
    if tag.is_waiting != 0 {
        if is_open {
            flight::go_on(tag, departure_ns);
        }
        return;
    }
    tag.is_waiting = 1;
    slot::mark(tag.slot.slot);
    if let Some(rows) = rows(tag) {
        tag.turn_epoch = verdict::epoch(rows.verdict.word);
        // SAFETY: a row of the counter array.
        unsafe { atomic::add(&raw mut (*rows.counters).requests, 1) };
    }
    if is_open {
        flight::begin(tag, Kind::Waiting, departure_ns);
    }
}

#[inline(always)]
fn note_answer(ctx: &SkBuffContext, tag: &mut Tag, segment: &Segment) {
    let is_turn = tag.is_waiting != 0;
    let is_greeting = !is_turn && tag.has_answered == 0;
    tag.has_answered = 1;
    if is_turn {
        tag.is_waiting = 0;
        flight::end(tag);
        if tag.turns_to_skip != 0 {
            tag.turns_to_skip -= 1;
            return;
        }
    } else if is_greeting {
        slot::mark(tag.slot.slot);
    } else {
        return;
    }
    let Some(rows) = rows(tag) else { return };
    let epoch = if is_turn { tag.turn_epoch } else { tag.epoch };
    // Where the server speaks first it lives, but how fast it answers is not known yet.
    let mut outcome = Outcome::IdleClose;
    if is_turn {
        let elapsed_ns = now_ns().saturating_sub(tag.last_out_ns);
        if epoch == verdict::epoch(rows.verdict.word) {
            measure(tag.slot.slot, HistogramKind::Response, elapsed_ns);
        }
        outcome = Outcome::Answered(elapsed_ns);
    }
    let protocol = rows.verdict.protocol;
    if protocol != 0 && says_failure(ctx, segment, protocol) {
        outcome = Outcome::Errored;
    }
    record(tag, &rows, epoch, outcome);
}

/// Whether an answer that begins with this segment says that the endpoint failed. What cannot be read
/// says nothing.
#[inline(always)]
fn says_failure(ctx: &SkBuffContext, segment: &Segment, protocol: u16) -> bool {
    let mut start = Aligned([0; START]);
    // Of the last byte, so that the verifier sees that at least one is wanted.
    let last = atomic::opaque(segment.payload.saturating_sub(1).min(LAST));
    if last > LAST {
        return false;
    }
    let to = (&raw mut start).cast();
    // SAFETY: the buffer has room for so many bytes, and the context is the kernel's.
    let result = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), segment.headers, to, last + 1) };
    result == 0 && protocol::is_failure(protocol, &start.0)
}

/// So that it is cleared by words.
#[repr(C, align(8))]
struct Aligned(Start);

/// What the programs read of a TCP segment.
struct Segment {
    is_syn: bool,
    /// Bytes before the payload, from the IP header on.
    headers: u32,
    /// Bytes after the TCP header; a merged packet counts as one segment.
    payload: u32,
    sequence: u32,
}

impl Segment {
    /// The sequence number after its last byte. A SYN takes one before that of its first byte.
    #[inline(always)]
    const fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.payload + self.is_syn as u32)
    }

    /// Reads the headers; nothing when the packet is not plain TCP or not all in reach.
    #[inline(always)]
    fn read(ctx: &SkBuffContext) -> Option<Self> {
        let skb: *mut __sk_buff = ctx.skb.skb;
        // SAFETY: the kernel hands over a valid context; every packet byte read lies before `end`,
        // as the verifier checks.
        unsafe {
            let start = (*skb).data as usize;
            let end = (*skb).data_end as usize;
            if start + 20 > end {
                return None;
            }
            let packet = start as *const u8;
            let version = *packet >> 4;
            let header = if version == 4 && *packet.add(9) == IPPROTO_TCP {
                usize::from(*packet & 0x0f) * 4
            } else if version == 6 && *packet.add(6) == IPPROTO_TCP {
                40
            } else {
                return None;
            };
            let tcp = start + header;
            if tcp + 20 > end {
                return None;
            }
            let tcp = tcp as *const u8;
            let flags = *tcp.add(13);
            #[expect(clippy::cast_possible_truncation, reason = "at most 60")]
            let headers = header as u32 + u32::from(*tcp.add(12) >> 4) * 4;
            Some(Self {
                is_syn: flags & (SYN | ACK) == SYN,
                headers,
                payload: (*skb).len.saturating_sub(headers),
                sequence: u32::from_be(tcp.add(4).cast::<u32>().read_unaligned()),
            })
        }
    }
}

/// The tag of the packet's socket; a request or time-wait socket has none.
#[inline(always)]
fn tag<'a>(ctx: &SkBuffContext) -> Option<&'a mut Tag> {
    // SAFETY: the kernel hands over a valid context.
    let socket = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    Tag::of(Owner::new(ctx.skb.skb.cast(), socket))
}

/// When the packet was handed to the network: TCP stamps it, by the clock the programs read, so
/// that the clock need not be read again.
#[inline(always)]
fn departure_ns(ctx: &SkBuffContext) -> u64 {
    // SAFETY: the kernel hands over a valid context.
    let stamp = unsafe { (*ctx.skb.skb).tstamp };
    if stamp == 0 { now_ns() } else { stamp }
}

/// Of the last byte that is read of an answer.
const LAST: u32 = 31;
const _: () = assert!(LAST as usize + 1 == START);
const IPPROTO_TCP: u8 = 6;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
