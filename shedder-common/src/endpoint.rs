//! Who talks to whom: the key of a breaker's cell, and the slot it is kept in.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytemuck::{Pod, Zeroable};

/// `EndpointKey::family` of an IPv4 address.
pub const FAMILY_IPV4: u8 = 4;
/// `EndpointKey::family` of an IPv6 address.
pub const FAMILY_IPV6: u8 = 6;
/// `EndpointKey::protocol` of TCP, as in the IP header.
pub const PROTOCOL_TCP: u8 = 6;
/// `EndpointKey::protocol` of UDP, as in the IP header.
pub const PROTOCOL_UDP: u8 = 17;

/// One endpoint as one caller sees it: the key of the slot table.
///
/// The same bytes are the data of the destination trie, which is why caller and port come before
/// the address: a prefix covers them whole and then as much of the address as the policy names. The
/// network comes last, where no prefix reaches.
///
/// An IPv4-mapped IPv6 address is the IPv4 endpoint it means, so that a dual-stack socket and an
/// IPv4 socket share one breaker.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct EndpointKey {
    /// The caller's id, as stored with the cgroup; zero is nobody.
    pub caller: u32,
    /// Destination port, network order.
    pub port: [u8; 2],
    /// [`FAMILY_IPV4`] or [`FAMILY_IPV6`].
    pub family: u8,
    /// [`PROTOCOL_TCP`] wherever a slot is looked up: a datagram obeys the breaker of the same address and
    /// port. [`PROTOCOL_UDP`] where a refused datagram is told of.
    pub protocol: u8,
    /// The address in network order; IPv4 uses the first four bytes, the rest is zero.
    pub address: [u8; 16],
    /// The cookie of the network namespace the endpoint is in; zero where the policy does not tell
    /// them apart.
    pub network: u64,
}

impl EndpointKey {
    /// No endpoint of anybody.
    pub const NONE: Self =
        Self { caller: 0, port: [0; 2], family: 0, protocol: 0, address: [0; 16], network: 0 };

    /// The key of an IPv4 destination; `address` and `port` in network order.
    #[inline(always)]
    pub const fn ipv4(caller: u32, address: [u8; 4], port: [u8; 2]) -> Self {
        let [a, b, c, d] = address;
        Self {
            caller,
            port,
            family: FAMILY_IPV4,
            protocol: PROTOCOL_TCP,
            address: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            network: 0,
        }
    }

    /// The key of an IPv6 destination; `address` and `port` in network order.
    #[inline(always)]
    pub const fn ipv6(caller: u32, address: [u8; 16], port: [u8; 2]) -> Self {
        Self { caller, port, family: FAMILY_IPV6, protocol: PROTOCOL_TCP, address, network: 0 }
    }

    /// The key of `endpoint` as `caller` sees it.
    pub fn new(caller: u32, endpoint: SocketAddr) -> Self {
        let port = endpoint.port().to_be_bytes();
        match endpoint.ip().to_canonical() {
            IpAddr::V4(address) => Self::ipv4(caller, address.octets(), port),
            IpAddr::V6(address) => Self::ipv6(caller, address.octets(), port),
        }
    }

    /// The address and port this key stands for; nothing when the family is unknown.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(self.port);
        let [a, b, c, d, ..] = self.address;
        match self.family {
            FAMILY_IPV4 => Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port)),
            FAMILY_IPV6 => Some(SocketAddr::new(Ipv6Addr::from(self.address).into(), port)),
            _ => None,
        }
    }
}

/// Of a destination: its endpoints are the same in every network namespace.
pub const DESTINATION_SHARED: u32 = 1;
/// Of a destination: its endpoints differ between network namespaces.
pub const DESTINATION_OF_NETWORK: u32 = 2;

/// Bits of an [`EndpointKey`] before the address begins: a trie prefix is this plus the bits of
/// the network.
pub const ADDRESS_OFFSET_BITS: u32 = 64;

/// Where an endpoint's verdict, counters and histograms live.
///
/// `generation` tells a slot's tenants apart: evidence of a socket tagged for an earlier tenant
/// is dropped.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct SlotRef {
    /// Index into the slot arrays.
    pub slot: u32,
    /// The tenancy this reference belongs to; zero is never a tenant.
    pub generation: u32,
}

/// Where a redirected connect goes instead.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct RedirectTarget {
    /// The sibling as its own caller sees it; family zero means the entry is unused.
    pub key: EndpointKey,
    /// The sibling's slot, so that the evidence is its own.
    pub slot: SlotRef,
}

const _: () = {
    assert!(size_of::<EndpointKey>() == 32);
    assert!(core::mem::offset_of!(EndpointKey, address) * 8 == ADDRESS_OFFSET_BITS as usize);
    assert!(size_of::<SlotRef>() == 8);
    assert!(size_of::<RedirectTarget>() == 40);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_the_ipv4_endpoint() {
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:80".parse().unwrap();
        let plain: SocketAddr = "10.1.2.3:80".parse().unwrap();
        assert_eq!(EndpointKey::new(1, mapped), EndpointKey::new(1, plain));
    }

    #[test]
    fn a_key_gives_its_endpoint_back() {
        for text in ["10.1.2.3:80", "[2001:db8::1]:65535"] {
            let endpoint: SocketAddr = text.parse().unwrap();
            assert_eq!(EndpointKey::new(7, endpoint).endpoint(), Some(endpoint));
        }
        assert_eq!(EndpointKey::zeroed().endpoint(), None);
    }
}
