//! The programs of shedder: thin readers and appliers of what the daemon decided.
//!
//! Every one of them fails open. This file is the whole table of what a program returns:
//!
//! | program | returns | when |
//! |---|---|---|
//! | connect4, connect6 | 0 with an errno | the verdict says deny; to UDP only if its service asks for that |
//! | | 1 | anything else, and every doubt |
//! | sendmsg4, sendmsg6 | 0 with an errno | the verdict says deny, and its service asks for UDP |
//! | | 1 | anything else, and every doubt |
//! | recvmsg4, recvmsg6 | 1 | always |
//! | getpeername4, getpeername6 | 1 | always |
//! | sockops | 1 | always: any other value would undo the replies of programs before it |
//! | ingress | 1 | always |
//! | egress | 0 | a SYN whose hold has not passed |
//! | | 1 | anything else, and every doubt |
//!
//! They are O(1): no loops over data, no allocation, and no formatting unless the debug switch
//! is on.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(unsafe_code, reason = "kernel contexts and map pointers")]
#![expect(clippy::inline_always, reason = "one verified program each, no calls")]
#![expect(
    missing_docs,
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the macros make undocumented `pub` functions of the programs and own their contexts"
)]

mod address;
mod announce;
mod atomic;
mod connect;
mod datagram;
mod detour;
mod evidence;
mod flight;
mod held;
mod lifecycle;
mod maps;
mod node;
mod packet;
mod refusal;
mod settings;
mod slot;
mod syn_count;
mod tag;

use aya_ebpf::macros::{cgroup_skb, cgroup_sock_addr, sock_ops};
use aya_ebpf::programs::{SkBuffContext, SockAddrContext, SockOpsContext};
use connect::Outcome;

/// Decides one IPv4 connect. Minimum kernel version: 4.17; chosen error numbers: 5.18.
#[cgroup_sock_addr(connect4)]
pub fn shedder_connect4(ctx: SockAddrContext) -> i32 {
    answer(connect::ipv4(&ctx))
}

/// Decides one IPv6 connect, which may mean an IPv4 endpoint.
#[cgroup_sock_addr(connect6)]
pub fn shedder_connect6(ctx: SockAddrContext) -> i32 {
    answer(connect::ipv6(&ctx))
}

/// Decides one IPv4 datagram sent with an address. Minimum kernel version: 4.18.
#[cgroup_sock_addr(sendmsg4)]
pub fn shedder_sendmsg4(ctx: SockAddrContext) -> i32 {
    answer(datagram::send_ipv4(&ctx))
}

/// As [`shedder_sendmsg4`], for IPv6. A datagram to a mapped address comes there.
#[cgroup_sock_addr(sendmsg6)]
pub fn shedder_sendmsg6(ctx: SockAddrContext) -> i32 {
    answer(datagram::send_ipv6(&ctx))
}

/// Shows an IPv4 socket the sender it asked for, where that was redirected. Minimum kernel version: 5.2.
#[cgroup_sock_addr(recvmsg4)]
pub fn shedder_recvmsg4(ctx: SockAddrContext) -> i32 {
    datagram::name_peer(&ctx, false);
    1
}

/// As [`shedder_recvmsg4`], for an IPv6 socket.
#[cgroup_sock_addr(recvmsg6)]
pub fn shedder_recvmsg6(ctx: SockAddrContext) -> i32 {
    datagram::name_peer(&ctx, true);
    1
}

/// Shows an IPv4 socket that was redirected the peer it asked for. Minimum kernel version: 5.8.
#[cgroup_sock_addr(getpeername4)]
pub fn shedder_getpeername4(ctx: SockAddrContext) -> i32 {
    connect::name_peer(&ctx, false);
    1
}

/// As [`shedder_getpeername4`], for an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
pub fn shedder_getpeername6(ctx: SockAddrContext) -> i32 {
    connect::name_peer(&ctx, true);
    1
}

/// Follows the life of the connections the connect programs tagged.
#[sock_ops]
pub fn shedder_sockops(ctx: SockOpsContext) -> u32 {
    lifecycle::advance(&ctx);
    1
}

/// Notes answers. Minimum kernel version: 4.10; with socket storage: 5.9.
#[cgroup_skb(ingress)]
pub fn shedder_ingress(ctx: SkBuffContext) -> i32 {
    packet::arrive(&ctx);
    1
}

/// Notes requests, and holds a SYN that is to be delayed.
#[cgroup_skb(egress)]
pub fn shedder_egress(ctx: SkBuffContext) -> i32 {
    i32::from(packet::leave(&ctx))
}

/// Never attached: run twice by the loader to learn how many jiffies a second has.
#[cgroup_skb(egress)]
pub fn shedder_clock(_ctx: SkBuffContext) -> i32 {
    settings::read_clocks();
    1
}

#[inline(always)]
fn answer(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Pass => 1,
        Outcome::Refuse(errno) => {
            settings::set_return_value(errno);
            0
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never in the object: a path that can panic does not pass the verifier.
    loop {}
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
