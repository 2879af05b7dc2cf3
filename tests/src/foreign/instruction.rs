//! The programs, written as the kernel reads them.
//!
//! Invariant: each is straight down, with one way out for what it lets be.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The kernel's `struct bpf_insn`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    /// The destination in the lower half.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Where in an IPv4 header the addresses are.
pub(super) const SOURCE: i16 = 12;
pub(super) const DESTINATION: i16 = 16;

/// Refuses connects to a port.
pub(super) fn deny(port: u16, errno: Option<i32>) -> Vec<Instruction> {
    let mut refuse = Vec::new();
    if let Some(errno) = errno {
        refuse.extend([set(1, -errno), call(SET_RETVAL)]);
    }
    refuse.extend([set(0, 0), EXIT]);
    let mut program = vec![read(2, 1, USER_PORT), unless(2, network_order(port), refuse.len())];
    program.extend(refuse);
    program.extend([set(0, 1), EXIT]);
    program
}

/// Rewrites one destination.
pub(super) fn balance(from: SocketAddrV4, to: SocketAddrV4) -> Vec<Instruction> {
    let address = |address: &SocketAddrV4| i32::from_ne_bytes(address.ip().octets());
    vec![
        read(2, 1, USER_IP4),
        unless(2, address(&from), 6),
        read(2, 1, USER_PORT),
        unless(2, network_order(from.port()), 4),
        set(2, address(&to)),
        write(1, USER_IP4, 2),
        set(2, network_order(to.port())),
        write(1, USER_PORT, 2),
        set(0, 1),
        EXIT,
    ]
}

/// Drops packets with an address at a place of their header.
pub(super) fn drop_where(place: i16, address: Ipv4Addr) -> Vec<Instruction> {
    vec![
        read(2, 1, DATA),
        read(4, 1, DATA_END),
        Instruction { code: 0xbf, registers: 3 | 2 << 4, offset: 0, immediate: 0 },
        Instruction { code: 0x07, registers: 3, offset: 0, immediate: 20 },
        // What is shorter than a header passes.
        Instruction { code: 0x2d, registers: 3 | 4 << 4, offset: 4, immediate: 0 },
        read(2, 2, place),
        unless(2, i32::from_ne_bytes(address.octets()), 2),
        set(0, 0),
        EXIT,
        set(0, 1),
        EXIT,
    ]
}

/// Clears the flags of a socket by which programs ask to be told.
pub(super) fn deafen() -> Vec<Instruction> {
    vec![
        read(2, 1, OPERATION),
        unless(2, ACTIVE_ESTABLISHED, 2),
        set(2, 0),
        call(SET_CALLBACK_FLAGS),
        set(0, 1),
        EXIT,
    ]
}

/// Answers the question for the first timer of a SYN.
pub(super) fn syn_timer(jiffies: Option<i32>, returns: i32) -> Vec<Instruction> {
    let mut program = Vec::new();
    if let Some(jiffies) = jiffies {
        program.extend([read(2, 1, OPERATION), unless(2, TIMEOUT_INIT, 2)]);
        program.extend([set(2, jiffies), write(1, REPLY, 2)]);
    }
    program.extend([set(0, returns), EXIT]);
    program
}

fn network_order(port: u16) -> i32 {
    i32::from(port.to_be())
}

/// `register = immediate`, without a sign.
const fn set(register: u8, immediate: i32) -> Instruction {
    Instruction { code: 0xb4, registers: register, offset: 0, immediate }
}

/// `to = *(u32 *)(from + offset)`
const fn read(to: u8, from: u8, offset: i16) -> Instruction {
    Instruction { code: 0x61, registers: to | from << 4, offset, immediate: 0 }
}

/// `*(u32 *)(to + offset) = from`
const fn write(to: u8, offset: i16, from: u8) -> Instruction {
    Instruction { code: 0x63, registers: to | from << 4, offset, immediate: 0 }
}

/// Leaves out the next `skipped` where the lower half of a register is something else.
fn unless(register: u8, immediate: i32, skipped: usize) -> Instruction {
    let offset = i16::try_from(skipped).expect("a small program");
    Instruction { code: 0x56, registers: register, offset, immediate }
}

const fn call(helper: i32) -> Instruction {
    Instruction { code: 0x85, registers: 0, offset: 0, immediate: helper }
}

const EXIT: Instruction = Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 };
/// `bpf_set_retval`.
const SET_RETVAL: i32 = 187;
/// In `struct bpf_sock_addr`.
const USER_IP4: i16 = 4;
const USER_PORT: i16 = 24;
/// In `struct __sk_buff`.
const DATA: i16 = 76;
const DATA_END: i16 = 80;
/// In `struct bpf_sock_ops`.
const OPERATION: i16 = 0;
const REPLY: i16 = 4;
/// `BPF_SOCK_OPS_TIMEOUT_INIT`.
const TIMEOUT_INIT: i32 = 1;
/// `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB`.
const ACTIVE_ESTABLISHED: i32 = 4;
/// `bpf_sock_ops_cb_flags_set`.
const SET_CALLBACK_FLAGS: i32 = 59;
