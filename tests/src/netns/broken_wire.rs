//! Two namespaces joined by one wire that can be cut and mended.
//!
//! Invariant: a cut wire loses every packet without telling either side.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use super::NetNs;

/// A client's namespace and a server's. Needs root and iproute2.
#[derive(Debug)]
pub struct BrokenWire {
    client: NetNs,
    server: NetNs,
}

impl BrokenWire {
    /// Builds the network, its wire whole; both namespaces go with its drop.
    pub fn new() -> Result<Self> {
        let client = NetNs::new("wire-client")?;
        let server = NetNs::new("wire-server")?;
        let path = server.path();
        client.ip(&format!("link add name near type veth peer name far netns {path}"))?;
        client.ip("address add 10.67.0.1/24 dev near")?;
        client.ip("link set near up")?;
        server.ip("address add 10.67.0.2/24 dev far")?;
        server.ip("link set far up")?;
        Ok(Self { client, server })
    }

    /// Where callers belong.
    pub const fn client(&self) -> &NetNs {
        &self.client
    }

    /// Where backends belong.
    pub const fn server(&self) -> &NetNs {
        &self.server
    }

    /// The server's address.
    pub const fn address() -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 67, 0, 2))
    }

    /// From now on nothing the client sends arrives: the server's neighbour is a lie.
    pub fn cut(&self) -> Result<()> {
        self.client
            .ip("neighbour replace 10.67.0.2 lladdr 02:00:00:00:00:01 dev near nud permanent")
    }

    /// Undoes [`BrokenWire::cut`].
    pub fn mend(&self) -> Result<()> {
        self.client.ip("neighbour delete 10.67.0.2 dev near")
    }
}
