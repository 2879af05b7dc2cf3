//! Which endpoints have a breaker: those the policy names from the start or by name, those of a
//! network as they are called, and where addresses mean something else in each network namespace,
//! those of a namespace as it is first met.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use shedder_common::endpoint::{DESTINATION_OF_NETWORK, DESTINATION_SHARED, EndpointKey};

use super::Daemon;
use super::cells::{Target, caller_id};
use super::networks::Network;
use crate::config::{Config, EndpointSpec};
use crate::kernel::SlotError;

/// Addresses the policy names that are another endpoint in each network namespace, in its order.
#[derive(Debug, Default)]
pub(super) struct Separate(Vec<Watched>);

#[derive(Debug, PartialEq, Eq)]
struct Watched {
    caller: usize,
    endpoint: SocketAddr,
    binding: usize,
}

impl Separate {
    fn binding(&self, caller: usize, endpoint: SocketAddr) -> Option<usize> {
        let mut watched = self.0.iter();
        let found = watched.find(|it| it.caller == caller && it.endpoint == endpoint);
        found.map(|watched| watched.binding)
    }
}

impl Daemon {
    /// Gives known addresses their slots and the kernel the networks to watch for.
    pub(super) fn add_destinations(&mut self) -> anyhow::Result<()> {
        let config = Arc::clone(&self.config);
        for (index, binding) in config.bindings.iter().enumerate() {
            let service = &config.services[binding.service];
            for spec in service.endpoints.iter().chain(&service.fallback) {
                match spec {
                    EndpointSpec::Address(endpoint) if service.separate_networks => {
                        self.watch(index, *endpoint)?;
                    }
                    EndpointSpec::Address(endpoint) => {
                        let target = Target::named(*endpoint);
                        self.cells
                            .add(&mut self.kernel, &mut self.engine, &config, index, target)
                            .with_context(|| format!("service {}", service.name))?;
                    }
                    EndpointSpec::Network { address, bits, port } => {
                        let network = (*address, *port).into();
                        let key = EndpointKey::new(caller_id(binding.caller), network);
                        let kind = if service.separate_networks {
                            DESTINATION_OF_NETWORK
                        } else {
                            DESTINATION_SHARED
                        };
                        self.kernel.add_destination(key, u32::from(*bits), kind)?;
                    }
                    EndpointSpec::Name { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// Gives a destination the kernel met its breaker.
    pub(super) fn discover(&mut self, key: EndpointKey, pid: u32) {
        let Some(endpoint) = key.endpoint() else { return };
        let Some(caller) = (key.caller as usize).checked_sub(1) else { return };
        if key.network == 0 {
            if let Some(binding) = binding_of(&self.config, caller, endpoint) {
                self.add(binding, Target { endpoint, network: None, is_named: false });
            }
            return;
        }
        let network = self.networks.meet(key.network, pid);
        match self.separate.binding(caller, endpoint) {
            Some(binding) => self.add_all_of(binding, &network),
            None => {
                if let Some(binding) = binding_of(&self.config, caller, endpoint) {
                    self.add(binding, Target { endpoint, network: Some(network), is_named: false });
                }
            }
        }
    }

    /// Gives the addresses of a name their breakers. Addresses that are gone keep theirs: sockets
    /// may still use them, and a breaker without traffic costs next to nothing.
    pub(super) fn add_named(&mut self, host: &str, port: u16, addresses: &[SocketAddr]) {
        let config = Arc::clone(&self.config);
        let is_named = |spec: &EndpointSpec| matches!(spec, EndpointSpec::Name { host: h, port: p } if h == host && *p == port);
        for (index, binding) in config.bindings.iter().enumerate() {
            let service = &config.services[binding.service];
            if !service.endpoints.iter().any(is_named) {
                continue;
            }
            for address in addresses {
                if !service.separate_networks {
                    self.add(index, Target::named(*address));
                } else if let Err(error) = self.watch(index, *address) {
                    self.journal.error(&format!("{address} gets no breaker: {error}"));
                }
            }
        }
    }

    /// Has the kernel tell when an address is called from a network namespace.
    fn watch(&mut self, binding: usize, endpoint: SocketAddr) -> Result<(), SlotError> {
        let caller = self.config.bindings[binding].caller;
        let key = EndpointKey::new(caller_id(caller), endpoint);
        let endpoint = key.endpoint().unwrap_or(endpoint);
        let bits = if endpoint.is_ipv4() { u32::BITS } else { u128::BITS };
        self.kernel.add_destination(key, bits, DESTINATION_OF_NETWORK)?;
        if self.separate.binding(caller, endpoint).is_none() {
            self.separate.0.push(Watched { caller, endpoint, binding });
        }
        Ok(())
    }

    /// Gives every address a policy names its breaker for one namespace, in the policy's order, so
    /// that each can stand in for the others there.
    fn add_all_of(&mut self, binding: usize, network: &Network) {
        let all = self.separate.0.iter().filter(|watched| watched.binding == binding);
        let all: Vec<SocketAddr> = all.map(|watched| watched.endpoint).collect();
        for endpoint in all {
            let network = Some(network.clone());
            self.add(binding, Target { endpoint, network, is_named: false });
        }
    }
}

/// The binding whose network holds `endpoint`, the most precise one if several do.
fn binding_of(config: &Config, caller: usize, endpoint: SocketAddr) -> Option<usize> {
    let mut best: Option<(u8, usize)> = None;
    for (index, binding) in config.bindings.iter().enumerate() {
        if binding.caller != caller {
            continue;
        }
        for spec in &config.services[binding.service].endpoints {
            if let EndpointSpec::Network { address, bits, port } = spec
                && *port == endpoint.port()
                && contains(*address, *bits, endpoint.ip())
                && best.is_none_or(|(precision, _)| *bits > precision)
            {
                best = Some((*bits, index));
            }
        }
    }
    best.map(|(_, index)| index)
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let (network, address, width) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let shift = width - u32::from(bits);
    network.checked_shr(shift).unwrap_or(0) == address.checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        let holds = |network: &str, bits, address: &str| {
            contains(network.parse().unwrap(), bits, address.parse().unwrap())
        };
        assert!(holds("10.1.0.0", 16, "10.1.255.3"));
        assert!(!holds("10.1.0.0", 16, "10.2.0.0"));
        assert!(holds("0.0.0.0", 0, "203.0.113.9"));
        assert!(holds("::", 0, "fd00::1"));
        assert!(!holds("::", 0, "10.0.0.1"));
        assert!(holds("fd00::", 8, "fdff::1"));
    }
}
