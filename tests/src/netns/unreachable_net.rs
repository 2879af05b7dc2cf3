//! A network with a router that cannot reach one host and says so by ICMP.
//!
//! Invariant: every SYN to the address is answered by a host-unreachable of the router, shortly
//! after the SYN and not within its system call, as on a real network.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::NetNs;

/// Two namespaces, a client's and a router's. The router looks for the host on its far segment,
/// finds nobody, and reports it. Needs root and iproute2.
#[derive(Debug)]
pub struct UnreachableNet {
    client: NetNs,
    /// Held so that the router lives as long as the network.
    _router: NetNs,
}

impl UnreachableNet {
    /// Builds the network; both namespaces go with its drop.
    pub fn new() -> Result<Self> {
        let client = NetNs::new("client")?;
        let router = NetNs::new("router")?;
        client.link("uplink", &router, "client")?;
        client.ip("address add 10.66.0.1/24 dev uplink")?;
        client.ip("link set uplink up")?;
        client.ip("route add default via 10.66.0.254")?;
        router.ip("address add 10.66.0.254/24 dev client")?;
        router.ip("link set client up")?;
        router.ip("link add name segment type veth peer name nobody")?;
        router.ip("address add 198.51.100.1/24 dev segment")?;
        router.ip("link set nobody up")?;
        router.ip("link set segment up")?;
        SETTINGS.iter().try_for_each(|(name, value)| router.set(name, value))?;
        Ok(Self { client, _router: router })
    }

    /// Where the client has to be for [`Self::address`] to be unreachable in this way.
    pub fn client(&self) -> &NetNs {
        &self.client
    }

    /// The unreachable host, with a port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((HOST, 80))
    }
}

const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

const SETTINGS: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "1"),
    // One report for each SYN.
    ("ipv4/icmp_ratelimit", "0"),
    // Gives up looking for the host after one try.
    ("ipv4/neigh/segment/mcast_solicit", "1"),
    ("ipv4/neigh/segment/retrans_time_ms", "20"),
];
