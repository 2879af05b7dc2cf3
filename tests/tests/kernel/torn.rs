//! A verdict is seen as it was or as it is, never as a mixture: one writer turns a row over as fast as it
//! can, and others read it, from memory, in the kernel and by connects.
//!
//! `SHEDDER_READS` says how often it is read at least; `100000000` takes some ten seconds for each test.

#![expect(unsafe_code, reason = "reads memory that is shared with the kernel")]

mod program;

use std::env;
use std::mem::offset_of;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use aya::maps::{MapFd, loaded_maps};
use memmap2::{MmapOptions, MmapRaw};
use shedder_common::caller::CallerRow;
use shedder_common::endpoint::{EndpointKey, SlotRef};
use shedder_common::errno::Errno;
use shedder_common::event::{Event, RefusalRecord};
use shedder_common::verdict::{Action, Verdict, VerdictWord};
use shedder_tests::caller::ConnectOptions;
use shedder_tests::cgroup::Cgroup;
use shedder_user::clock::now;
use shedder_user::kernel::{Attachment, Kernel, LoadOptions, Needs};

use self::program::Program;
use crate::scene::{LOCALHOST, attach, caller, wait_for};

/// What a reader saw.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// How often the one, and the other.
    known: [u64; 2],
    /// How often anything else.
    torn: u64,
}

#[test]
fn whoever_reads_the_memory_sees_one_verdict_or_the_other() {
    let (kernel, slot) = kernel();
    let memory = memory(&map());
    let mut seen = Seen::default();
    while_turned_over(kernel, slot, rows(slot, BITS), || {
        while !seen.is_enough() {
            for _ in 0..READS_AT_ONCE {
                let row =
                    memory.as_mut_ptr().wrapping_add(slot.slot as usize * size_of::<Verdict>());
                let word: *mut u64 = row.wrapping_add(offset_of!(Verdict, word)).cast();
                // SAFETY: an aligned word of a row inside the mapping, which others write atomically only.
                seen.note(unsafe { AtomicU64::from_ptr(word) }.load(Ordering::Acquire), BITS);
            }
        }
    });
    assert_eq!(seen.torn, 0, "{seen:?}");
}

#[test]
fn a_program_in_the_kernel_sees_one_verdict_or_the_other() {
    let (kernel, slot) = kernel();
    let program = Program::load(&map(), slot.slot, BITS).expect("root may load it");
    let mut seen = Seen::default();
    while_turned_over(kernel, slot, rows(slot, BITS), || {
        while !seen.is_enough() {
            program.run(READS_AT_ONCE).expect("it runs");
            seen = program.seen();
        }
    });
    assert_eq!(seen.torn, 0, "{seen:?}");
}

/// The error a connect fails with and the epoch that is told of it come from one verdict.
#[test]
fn a_connect_is_refused_by_one_verdict_or_the_other() {
    let (mut caller, cgroup) = caller("torn");
    let (mut kernel, _attachment, slot) = guard(&cgroup);
    let words = DENIALS.map(|(errno, epoch)| denial(errno, epoch).pack());
    kernel
        .publish(slot, &Verdict { word: words[0], generation: slot.generation, ..Verdict::CLEAR });

    let mut seen = Seen::default();
    let options = ConnectOptions::default();
    let told = while_turned_over(kernel, slot, rows(slot, words), || {
        while seen.known.into_iter().min() < Some(CONNECTS) && seen.torn == 0 {
            let attempt = caller.connect(NOBODY, &options).expect("the caller lives");
            let code = attempt.returned.map(|returned| returned.code);
            let which = DENIALS.iter().position(|(errno, _)| code == Some(i32::from(*errno as u8)));
            match which {
                Some(which) => seen.known[which] += 1,
                None => seen.torn += 1,
            }
        }
    });
    assert_eq!(seen.torn, 0, "{seen:?}");
    assert!(!told.is_empty(), "nothing was told");
    for record in told {
        let says =
            |(errno, epoch): &(Errno, u16)| (*errno as u8, *epoch) == (record.errno, record.epoch);
        assert!(DENIALS.iter().any(says), "{record:?}");
    }
}

/// A breaker opens for the burst that already holds connects back: they go on being held back. The verdict that
/// follows has no limit for bursts, and whoever still acts on the one before must not find that.
#[test]
fn a_connect_is_refused_by_the_burst_or_by_the_verdict_that_follows() {
    let (mut caller, cgroup) = caller("torn-burst");
    let (mut kernel, _attachment, slot) = guard(&cgroup);
    kernel.publish(slot, &Verdict { generation: slot.generation, ..Verdict::CLEAR });
    let options = ConnectOptions::default();
    let attempt = caller.connect(NOBODY, &options).expect("the caller lives");
    assert_eq!(attempt.returned.map(|it| it.code), Some(libc::ECONNREFUSED));
    wait_for("the failure", || kernel.counters(slot).failure_run == 1);

    let [burst, open] = DENIALS.map(|(_, epoch)| denial(Errno::HostUnreachable, epoch));
    let mut rows = rows(slot, [VerdictWord { on_burst: true, ..burst }.pack(), open.pack()]);
    rows[0].burst_limit = 1;
    kernel.publish(slot, &rows[0]);
    let mut seen = 0;
    while_turned_over(kernel, slot, rows, || {
        for _ in 0..50 * CONNECTS {
            let attempt = caller.connect(NOBODY, &options).expect("the caller lives");
            seen += u64::from(attempt.returned.map(|it| it.code) == Some(libc::EHOSTUNREACH));
        }
    });
    assert_eq!(seen, 50 * CONNECTS, "some slipped through");
}

/// Has `read` read while a thread turns the verdict over; the refusals told meanwhile.
fn while_turned_over(
    mut kernel: Kernel,
    slot: SlotRef,
    rows: [Verdict; 2],
    read: impl FnOnce(),
) -> Vec<RefusalRecord> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let turning = scope.spawn(|| {
            let mut told = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                for row in &rows {
                    kernel.publish(slot, row);
                }
                if let Some(Ok(Event::Refused(record))) = kernel.poll_event() {
                    told.push(record);
                }
            }
            told
        });
        // Also where it panics.
        let over = Over(&is_over);
        read();
        drop(over);
        turning.join().expect("it only writes")
    })
}

/// Dropping it ends the turning over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Seen {
    fn note(&mut self, word: u64, words: [u64; 2]) {
        match words.iter().position(|known| *known == word) {
            Some(which) => self.known[which] += 1,
            None => self.torn += 1,
        }
    }

    /// Enough reads, and each word so often that they were not all made while the writer waited.
    fn is_enough(&self) -> bool {
        let wanted = env::var("SHEDDER_READS").ok().and_then(|reads| reads.parse().ok());
        let reads: u64 = self.known.iter().sum();
        let wanted = wanted.unwrap_or(READS);
        self.torn > 0 || reads >= wanted && self.known.iter().all(|known| *known >= wanted / 1000)
    }
}

/// The programs without a daemon, and a slot whose row says the first of [`BITS`].
fn kernel() -> (Kernel, SlotRef) {
    let options = LoadOptions { slots: slots(), round_trips: false, debug: false };
    let mut kernel = Kernel::load(&options).expect("root may load them");
    let key = EndpointKey::new(CALLER, SocketAddr::from(([10, 0, 0, 1], 80)));
    let slot = kernel.add_slot(key, now()).expect("one is free");
    kernel.publish(slot, &Verdict { word: BITS[0], ..Verdict::CLEAR });
    kernel.keep_verdicts_until(now().plus(Duration::from_hours(1)));
    (kernel, slot)
}

/// As [`kernel`], with the programs on a cgroup; the slot is that of [`NOBODY`].
fn guard(cgroup: &Cgroup) -> (Kernel, Attachment, SlotRef) {
    let (mut kernel, _) = kernel();
    let whose = CallerRow { id: CALLER, asks: 0, cohort: 0 };
    let attachment = attach(&mut kernel, cgroup, whose, NEEDS);
    let slot = kernel.add_slot(EndpointKey::new(CALLER, NOBODY), now()).expect("one is free");
    (kernel, attachment, slot)
}

/// The kernel's array of verdicts. Nothing but its length tells it from those of other tests.
fn map() -> MapFd {
    let ours = loaded_maps()
        .filter_map(Result::ok)
        .find(|map| map.name_as_str() == Some("VERDICTS") && map.max_entries() == slots());
    ours.expect("it was loaded").fd().expect("root may")
}

fn memory(map: &MapFd) -> MmapRaw {
    let length = size_of::<Verdict>() * slots() as usize;
    MmapOptions::new().len(length).map_raw(map.as_fd().as_raw_fd()).expect("it can be mapped")
}

/// A number of slots nobody else has at the moment.
fn slots() -> u32 {
    let thread = format!("{:?}", thread::current().id());
    let number: u32 = thread.chars().filter_map(|digit| digit.to_digit(10)).sum();
    1000 + process::id() % 500 + number * 500
}

/// Rows of nothing but a word.
fn rows(slot: SlotRef, words: [u64; 2]) -> [Verdict; 2] {
    words.map(|word| Verdict { word, generation: slot.generation, ..Verdict::CLEAR })
}

fn denial(errno: Errno, epoch: u16) -> VerdictWord {
    VerdictWord { action: Action::Deny(errno), enforce_percent: 100, ..VerdictWord::allow(epoch) }
}

/// Two words that differ in every bit.
const BITS: [u64; 2] = [0x0123_4567_89ab_cdef, !0x0123_4567_89ab_cdef];
const DENIALS: [(Errno, u16); 2] =
    [(Errno::ConnectionRefused, 0x1111), (Errno::HostUnreachable, 0x2222)];
/// Reads, where the environment does not ask for more.
const READS: u64 = 2_000_000;
const READS_AT_ONCE: u64 = 100_000;
/// Connects that meet each verdict.
const CONNECTS: u64 = 100;
/// Nobody listens there.
const NOBODY: SocketAddr = SocketAddr::new(LOCALHOST, 1);
const CALLER: u32 = 1;
const NEEDS: Needs = Needs { packets: false, peer_names: false, datagrams: false };
