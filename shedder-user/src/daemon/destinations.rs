//! What a configuration says about endpoints, with what its names stand for now: which have a breaker
//! from the start, and which the kernel is to tell of when they are called.
//!
//! Invariant: a plain value. Two of them say what a reload adds and takes away.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use shedder_common::endpoint::{DESTINATION_OF_NETWORK, DESTINATION_SHARED, EndpointKey};

use super::cells::caller_id;
use super::names::Names;
use crate::config::{Config, EndpointSpec};

/// Every endpoint and network of a configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Destinations {
    /// Endpoints that are the same in every network namespace, with their bindings, in the policy's order.
    pub(super) named: Vec<(usize, SocketAddr)>,
    /// Endpoints that are another in each, likewise.
    separate: Vec<(usize, SocketAddr)>,
    /// What the kernel tells of: address, caller and port, length of the prefix, kind.
    pub(super) announced: BTreeMap<(EndpointKey, u32), u32>,
}

impl Destinations {
    pub(super) fn of(config: &Config, names: &Names) -> Self {
        let mut destinations = Self::default();
        for (index, binding) in config.bindings.iter().enumerate() {
            let service = &config.services[binding.service];
            for spec in service.endpoints.iter().chain(&service.fallback) {
                if let EndpointSpec::Network { address, bits, port } = spec {
                    let key = EndpointKey::new(caller_id(binding.caller), (*address, *port).into());
                    let kind = if service.separate_networks {
                        DESTINATION_OF_NETWORK
                    } else {
                        DESTINATION_SHARED
                    };
                    destinations.announced.insert((key, u32::from(*bits)), kind);
                }
                for endpoint in names.addresses(spec) {
                    destinations.add(config, index, endpoint);
                }
            }
        }
        destinations
    }

    fn add(&mut self, config: &Config, binding: usize, endpoint: SocketAddr) {
        let bound = &config.bindings[binding];
        if !config.services[bound.service].separate_networks {
            self.named.push((binding, endpoint));
            return;
        }
        let key = EndpointKey::new(caller_id(bound.caller), endpoint);
        let endpoint = key.endpoint().unwrap_or(endpoint);
        let bits = if endpoint.is_ipv4() { u32::BITS } else { u128::BITS };
        self.announced.insert((key, bits), DESTINATION_OF_NETWORK);
        if self.separate_binding(config, bound.caller, endpoint).is_none() {
            self.separate.push((binding, endpoint));
        }
    }

    /// The binding of an address that is another endpoint in each network namespace.
    pub(super) fn separate_binding(
        &self,
        config: &Config,
        caller: usize,
        endpoint: SocketAddr,
    ) -> Option<usize> {
        let mut separate = self.separate.iter();
        let is_it = |(binding, it): &&(usize, SocketAddr)| {
            config.bindings[*binding].caller == caller && *it == endpoint
        };
        separate.find(is_it).map(|(binding, _)| *binding)
    }

    /// The separate addresses of one binding, in the policy's order.
    pub(super) fn separate_of(&self, binding: usize) -> Vec<SocketAddr> {
        let own = self.separate.iter().filter(|(other, _)| *other == binding);
        own.map(|(_, endpoint)| *endpoint).collect()
    }
}

/// The binding whose network holds `endpoint`, the most precise one if several do.
pub(super) fn binding_of_network(
    config: &Config,
    caller: usize,
    endpoint: SocketAddr,
) -> Option<usize> {
    let mut best: Option<(u8, usize)> = None;
    for (index, binding) in config.bindings.iter().enumerate() {
        if binding.caller != caller {
            continue;
        }
        for spec in &config.services[binding.service].endpoints {
            if let EndpointSpec::Network { bits, .. } = spec
                && spec.may_cover(endpoint)
                && best.is_none_or(|(precision, _)| *bits > precision)
            {
                best = Some((*bits, index));
            }
        }
    }
    best.map(|(_, index)| index)
}
