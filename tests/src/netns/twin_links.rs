//! A machine with two links, at the far ends of which two others have the same addresses.
//!
//! Invariant: which of the two answers is decided by the link alone: by the scope of a link-local
//! address, or by the device a socket is bound to.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use anyhow::{Context as _, Result};
use rustix::net::netdevice::name_to_index;

use super::NetNs;
use crate::backend::{Backend, Behaviour};

/// Three namespaces: a client's and those at the ends of its two links. Needs root and iproute2.
#[derive(Debug)]
pub struct TwinLinks {
    client: NetNs,
    backends: [Backend; 2],
    /// Held so that the network lives as long as its backends.
    _ends: [NetNs; 2],
}

impl TwinLinks {
    /// The client's interfaces, in the order of [`Self::backends`].
    pub const DEVICES: [&str; 2] = ["left", "right"];

    /// Builds the network and starts a server at the end of each link; all goes with its drop.
    pub fn new() -> Result<Self> {
        let client = NetNs::new("client")?;
        let [left, right] = Self::DEVICES;
        let (left_end, left) = end_of(left, &client)?;
        let (right_end, right) = end_of(right, &client)?;
        Ok(Self { client, backends: [left, right], _ends: [left_end, right_end] })
    }

    /// Where callers have to be.
    pub fn client(&self) -> &NetNs {
        &self.client
    }

    /// The servers at the ends of the links, at first healthy.
    pub fn backends(&self) -> &[Backend; 2] {
        &self.backends
    }

    /// The IPv4 address at both ends; the device of a socket decides between them.
    pub fn ipv4(&self) -> SocketAddr {
        SocketAddr::from((FAR_IPV4, PORT))
    }

    /// The IPv6 link-local address at both ends, without the scope that decides between them.
    pub fn link_local(&self) -> SocketAddr {
        SocketAddr::from((FAR_IPV6, PORT))
    }

    /// [`Self::link_local`] with the scope of a device.
    pub fn link_local_by(&self, device: &str) -> Result<SocketAddr> {
        let index = self.client.enter(|| -> std::io::Result<u32> {
            let any_socket = std::net::UdpSocket::bind("[::]:0")?;
            Ok(name_to_index(&any_socket, device)?)
        })?;
        let index = index.with_context(|| format!("{device} is no device of the client"))?;
        Ok(SocketAddrV6::new(FAR_IPV6, PORT, 0, index).into())
    }
}

/// A namespace at the end of a new link, and what answers there.
fn end_of(device: &str, client: &NetNs) -> Result<(NetNs, Backend)> {
    let end = NetNs::new(device)?;
    client.link(device, &end, "client")?;
    for (namespace, interface, host) in [(client, device, 1), (&end, "client", 2)] {
        namespace.ip(&format!("address add 10.67.0.{host}/24 dev {interface}"))?;
        // Usable at once: nobody else has it.
        namespace.ip(&format!("address add fe80::{host}/64 dev {interface} nodad"))?;
        namespace.ip(&format!("link set {interface} up"))?;
    }
    let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
    let backend = end.enter(|| Backend::start_at(everywhere, Behaviour::Healthy))??;
    Ok((end, backend))
}

const FAR_IPV4: Ipv4Addr = Ipv4Addr::new(10, 67, 0, 2);
const FAR_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const PORT: u16 = 7000;
