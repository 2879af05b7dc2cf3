//! The address a socket call is about: as the key of an endpoint, and back.
//!
//! The verifier wants each word of the context read and written on its own.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr};
use aya_ebpf::programs::SockAddrContext;
use shedder_common::endpoint::{EndpointKey, FAMILY_IPV4, FAMILY_IPV6};

use crate::tag::Owner;

#[inline(always)]
pub fn protocol(ctx: &SockAddrContext) -> u32 {
    // SAFETY: the kernel hands over a valid context.
    unsafe { (*ctx.sock_addr).protocol }
}

#[inline(always)]
pub fn socket(ctx: &SockAddrContext) -> *mut bpf_sock {
    // SAFETY: the kernel hands over a valid context.
    unsafe { (*ctx.as_ptr().cast::<bpf_sock_addr>()).__bindgen_anon_1.sk }
}

#[inline(always)]
pub fn owner(ctx: &SockAddrContext) -> Owner {
    Owner::new(ctx.as_ptr(), socket(ctx))
}

/// What an IPv4 call asks for, as `caller` sees it.
#[inline(always)]
pub fn ipv4(ctx: &SockAddrContext, caller: u32) -> EndpointKey {
    let raw = ctx.sock_addr;
    // SAFETY: the kernel hands over a valid context.
    let (address, port) = unsafe { ((*raw).user_ip4, (*raw).user_port) };
    EndpointKey::ipv4(caller, address.to_ne_bytes(), port_bytes(port))
}

/// What an IPv6 call asks for, which may be an IPv4 endpoint.
#[inline(always)]
pub fn ipv6(ctx: &SockAddrContext, caller: u32) -> EndpointKey {
    let raw = ctx.sock_addr;
    // SAFETY: the kernel hands over a valid context.
    let (words, port) = unsafe {
        let address = (&raw const (*raw).user_ip6).cast::<u32>();
        (
            [
                address.read_volatile(),
                address.add(1).read_volatile(),
                address.add(2).read_volatile(),
                address.add(3).read_volatile(),
            ],
            (*raw).user_port,
        )
    };
    let [a, b, c, d] = words;
    if a == 0 && b == 0 && c == MAPPED_PREFIX {
        EndpointKey::ipv4(caller, d.to_ne_bytes(), port_bytes(port))
    } else {
        EndpointKey::ipv6(caller, bytes_of(words), port_bytes(port))
    }
}

/// Whether a datagram goes where its socket is connected to. That was decided at the connect; besides, an
/// answer from elsewhere would not come through. The kernel names the address of what is sent without
/// one only where an IPv6 socket is connected to an IPv4 endpoint.
#[inline(always)]
pub fn is_own_peer(ctx: &SockAddrContext, is_ipv6: bool) -> bool {
    let (raw, socket) = (ctx.sock_addr, socket(ctx));
    if socket.is_null() {
        return false;
    }
    // SAFETY: the kernel hands over a valid context and socket.
    unsafe {
        if u32::from((*socket).dst_port) != (*raw).user_port {
            return false;
        }
        if !is_ipv6 {
            return (*socket).dst_ip4 == (*raw).user_ip4;
        }
        let asked = (&raw const (*raw).user_ip6).cast::<u32>();
        let own = (&raw const (*socket).dst_ip6).cast::<u32>();
        asked.read_volatile() == own.read_volatile()
            && asked.add(1).read_volatile() == own.add(1).read_volatile()
            && asked.add(2).read_volatile() == own.add(2).read_volatile()
            && asked.add(3).read_volatile() == own.add(3).read_volatile()
    }
}

/// Writes another address into the call; whether that was possible for this kind of socket.
#[inline(always)]
pub fn rewrite(ctx: &SockAddrContext, key: &EndpointKey, is_ipv6: bool) -> bool {
    let raw = ctx.sock_addr;
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

/// Whether two keys are the same endpoint of the same caller, seen from one socket, which is in one
/// network. In words: a comparison of bytes would be a
/// loop.
#[inline(always)]
pub fn is_same(one: &EndpointKey, other: &EndpointKey) -> bool {
    // SAFETY: same size, no padding, any bits are valid.
    let [one, other] =
        [*one, *other].map(|key| unsafe { core::mem::transmute::<EndpointKey, [u32; 8]>(key) });
    one.iter().zip(&other).take(6).all(|(one, other)| one == other)
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

pub const IPPROTO_TCP: u32 = 6;
pub const IPPROTO_UDP: u32 = 17;
/// The third word of `::ffff:a.b.c.d` as it lies in memory.
const MAPPED_PREFIX: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
