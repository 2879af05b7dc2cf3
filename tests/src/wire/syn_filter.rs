//! The classic BPF program that lets only the SYNs to one port through.
//!
//! Invariant: it sees packets from their IP header on. Loopback packets pass twice, out and in;
//! it accepts them on their way out, which is part of the sender's own system call.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_LD, BPF_LDX, BPF_MSH,
    BPF_RET, sock_filter,
};

/// Accepts outgoing TCP SYNs without ACK to `port`, IPv4 and IPv6. IPv6 extension headers are
/// not looked through: a SYN of a plain socket has none.
pub(super) fn syn_filter(port: u16) -> Vec<sock_filter> {
    let port = u32::from(port);
    let ipv4 = all_of(&[
        Step::Load(BPF_LD | BPF_B | BPF_ABS, PACKET_TYPE),
        Step::Require(PACKET_OUTGOING),
        Step::Load(BPF_LD | BPF_B | BPF_ABS, 9),
        Step::Require(TCP),
        // The length of the IPv4 header, which the indirect loads add.
        Step::Load(BPF_LDX | BPF_B | BPF_MSH, 0),
        Step::Load(BPF_LD | BPF_H | BPF_IND, 2),
        Step::Require(port),
        Step::Load(BPF_LD | BPF_B | BPF_IND, 13),
        Step::Mask(SYN | ACK),
        Step::Require(SYN),
    ]);
    let ipv6 = all_of(&[
        Step::Require(0x60),
        Step::Load(BPF_LD | BPF_B | BPF_ABS, PACKET_TYPE),
        Step::Require(PACKET_OUTGOING),
        Step::Load(BPF_LD | BPF_B | BPF_ABS, 6),
        Step::Require(TCP),
        Step::Load(BPF_LD | BPF_H | BPF_ABS, IPV6_HEADER + 2),
        Step::Require(port),
        Step::Load(BPF_LD | BPF_B | BPF_ABS, IPV6_HEADER + 13),
        Step::Mask(SYN | ACK),
        Step::Require(SYN),
    ]);
    let mut program = vec![
        instruction(BPF_LD | BPF_B | BPF_ABS, 0),
        instruction(BPF_ALU | BPF_AND, 0xf0),
        sock_filter { jf: distance(ipv4.len()), ..instruction(BPF_JMP | BPF_JEQ, 0x40) },
    ];
    program.extend(ipv4);
    program.extend(ipv6);
    program
}

enum Step {
    /// Loads from the packet: how, and where from.
    Load(u32, u32),
    /// Keeps some bits of what was loaded.
    Mask(u32),
    /// Rejects the packet unless what was loaded is this.
    Require(u32),
}

/// A program that accepts a packet for which all requirements hold.
fn all_of(steps: &[Step]) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        // The steps that follow, and the acceptance.
        let to_reject = distance(steps.len() - position);
        program.push(match *step {
            Step::Load(how, from) => instruction(how, from),
            Step::Mask(bits) => instruction(BPF_ALU | BPF_AND, bits),
            Step::Require(value) => {
                sock_filter { jf: to_reject, ..instruction(BPF_JMP | BPF_JEQ, value) }
            }
        });
    }
    program.push(instruction(BPF_RET, 1));
    program.push(instruction(BPF_RET, 0));
    program
}

fn instruction(code: u32, operand: u32) -> sock_filter {
    let code = u16::try_from(code).expect("instruction codes have 16 bits");
    sock_filter { code, jt: 0, jf: 0, k: operand }
}

fn distance(instructions: usize) -> u8 {
    u8::try_from(instructions).expect("a block of a few instructions")
}

/// Where the kernel shows a filter which way a packet goes (`SKF_AD_OFF + SKF_AD_PKTTYPE`).
const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
const PACKET_OUTGOING: u32 = 4;
const TCP: u32 = 6;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;
const IPV6_HEADER: u32 = 40;
