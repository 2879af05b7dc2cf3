//! A program that reads one verdict again and again and counts what it sees.
//!
//! Invariant: it is written as instructions, so that each look is one load of eight bytes, as that of the
//! programs is.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};

use aya::maps::MapFd;

use super::Seen;

/// The program, loaded, with the counts it keeps.
pub(super) struct Program {
    program: OwnedFd,
    counts: OwnedFd,
}

impl Program {
    /// Reads row `row` of `verdicts`, whose word it takes for one of `words` or for torn.
    pub(super) fn load(verdicts: &MapFd, row: u32, words: [u64; 2]) -> io::Result<Self> {
        let counts = bpf(MAP_CREATE, &mut [pair(ARRAY, 4), pair(COUNTS_BYTES, 1)])?;
        let verdicts = verdicts.as_fd().as_raw_fd();
        let code = code(verdicts, counts.as_raw_fd(), row, words);
        let instructions = u32::try_from(code.len()).map_err(io::Error::other)?;
        let address = code.as_ptr() as u64;
        let mut load =
            [pair(SOCKET_FILTER, instructions), address, c"GPL".as_ptr() as u64, 0, 0, 0];
        Ok(Self { program: bpf(PROG_LOAD, &mut load)?, counts })
    }

    /// Lets it read at least so often.
    pub(super) fn run(&self, reads: u64) -> io::Result<()> {
        let packet = [0_u8; PACKET_BYTES as usize];
        let times = u32::try_from(reads.div_ceil(LOOKS.into())).map_err(io::Error::other)?;
        let mut run = [
            pair(self.program.as_raw_fd().cast_unsigned(), 0),
            pair(PACKET_BYTES, 0),
            packet.as_ptr() as u64,
            0,
            pair(times, 0),
        ];
        command(PROG_TEST_RUN, &mut run).map(drop)
    }

    /// Everything it has seen so far.
    pub(super) fn seen(&self) -> Seen {
        let (key, mut counts) = (0_u32, Counts::default());
        let mut look = [
            u64::from(self.counts.as_raw_fd().cast_unsigned()),
            (&raw const key) as u64,
            (&raw mut counts) as u64,
        ];
        command(MAP_LOOKUP, &mut look).expect("it has one row");
        let [one, other, torn] = counts;
        Seen { known: [one, other], torn }
    }
}

/// How often the one word, the other, and anything else.
type Counts = [u64; 3];

fn code(verdicts: i32, counts: i32, row: u32, words: [u64; 2]) -> Vec<u64> {
    let wide = |register: u64, source: u64, value: u64| {
        let (low, high) = (value & 0xffff_ffff, value >> 32);
        [0x18 | register << 8 | source << 12 | low << 32, high << 32]
    };
    let fd = |fd: i32| u64::from(fd.cast_unsigned());
    let one = |code: u64, to: u64, from: u64, offset: i16, value: i32| {
        let (offset, value) = (u64::from(offset.cast_unsigned()), fd(value));
        code | to << 8 | from << 12 | offset << 16 | value << 32
    };
    // What was seen is one more: number `place` of the counts.
    let count = |place: i16| {
        [
            one(0x79, 4, 7, place * 8, 0), // r4 = counts[place]
            one(0x07, 4, 0, 0, 1),         // r4 += 1
            one(0x7b, 7, 4, place * 8, 0), // counts[place] = r4
        ]
    };
    let mut code = vec![
        one(0x62, 10, 0, -4, row.cast_signed()), // the row's number, on the stack
        one(0xbf, 2, 10, 0, 0),
        one(0x07, 2, 0, 0, -4),
    ];
    code.extend(wide(1, MAP_BY_FD, fd(verdicts)));
    code.extend([
        one(0x85, 0, 0, 0, 1), // r0 = the row
        one(0x55, 0, 0, 2, 0), // none:
        one(0xb7, 0, 0, 0, 0), // return 0
        one(0x95, 0, 0, 0, 0),
        one(0xbf, 6, 0, 0, 0),
    ]);
    code.extend(wide(7, VALUE_BY_FD, fd(counts)));
    code.extend(wide(8, 0, words[0]));
    code.extend(wide(9, 0, words[1]));
    code.push(one(0xb7, 5, 0, 0, 0)); // r5: looks so far
    code.extend([
        one(0x79, 1, 6, 0, 0), // r1 = the word
        one(0x1d, 1, 8, 5, 0), // the one
        one(0x1d, 1, 9, 8, 0), // the other
    ]);
    code.extend(count(2));
    code.push(one(0x05, 0, 0, 7, 0));
    code.extend(count(0));
    code.push(one(0x05, 0, 0, 3, 0));
    code.extend(count(1));
    code.extend([
        one(0x07, 5, 0, 0, 1),
        one(0xa5, 5, 0, -16, LOOKS.cast_signed()), // again
        one(0xb7, 0, 0, 0, 0),
        one(0x95, 0, 0, 0, 0),
    ]);
    code
}

/// A command that makes something.
fn bpf(what: i32, attributes: &mut [u64]) -> io::Result<OwnedFd> {
    let made = command(what, attributes)?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

fn command(what: i32, attributes: &mut [u64]) -> io::Result<i32> {
    // SAFETY: the attributes are as long as is said, and what they point to outlives the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, what, attributes.as_mut_ptr(), size_of_val(attributes))
    };
    let answer = i32::try_from(answer).map_err(io::Error::other)?;
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Two numbers of 32 bits, side by side.
fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

/// Looks of one run; more, and the verifier has too many to follow.
const LOOKS: u32 = 1000;
const COUNTS_BYTES: u32 = 24;
const _: () = assert!(size_of::<Counts>() == COUNTS_BYTES as usize);
/// A packet nobody looks at; a shorter one is refused.
const PACKET_BYTES: u32 = 64;
const MAP_CREATE: i32 = 0;
const MAP_LOOKUP: i32 = 1;
const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const ARRAY: u32 = 2;
const SOCKET_FILTER: u32 = 1;
/// What the two kinds of wide constants mean to the verifier.
const MAP_BY_FD: u64 = 1;
const VALUE_BY_FD: u64 = 2;
