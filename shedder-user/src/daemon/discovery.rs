//! Which endpoints have a breaker: those the policy names from the start or by name, those of a
//! network as they are called, and where addresses mean something else in each network namespace,
//! those of a namespace as it is first met.

use anyhow::Context as _;
use shedder_common::endpoint::EndpointKey;

use super::Daemon;
use super::cells::Target;
use super::destinations::{Destinations, binding_of_network};
use super::networks::Network;

impl Daemon {
    /// Gives known addresses their slots and the kernel the networks to watch for.
    pub(super) fn add_destinations(&mut self) -> anyhow::Result<()> {
        let Self { cells, kernel, engine, config, destinations, .. } = self;
        for (binding, endpoint) in &destinations.named {
            let service = &config.services[config.bindings[*binding].service];
            cells
                .add(kernel, engine, config, *binding, Target::named(*endpoint))
                .with_context(|| format!("service {}", service.name))?;
        }
        for ((key, bits), kind) in &destinations.announced {
            kernel.add_destination(*key, *bits, *kind)?;
        }
        Ok(())
    }

    /// Gives a destination the kernel met its breaker.
    pub(super) fn discover(&mut self, key: EndpointKey, pid: u32) {
        let Some(endpoint) = key.endpoint() else { return };
        let Some(caller) = (key.caller as usize).checked_sub(1) else { return };
        if key.network == 0 {
            if let Some(binding) = binding_of_network(&self.config, caller, endpoint) {
                self.add(binding, Target { endpoint, network: None, is_named: false });
            }
            return;
        }
        let network = self.networks.meet(key.network, pid);
        match self.destinations.separate_binding(&self.config, caller, endpoint) {
            Some(binding) => self.add_all_of(binding, &network),
            None => {
                if let Some(binding) = binding_of_network(&self.config, caller, endpoint) {
                    self.add(binding, Target { endpoint, network: Some(network), is_named: false });
                }
            }
        }
    }

    /// Gives the addresses of names their breakers. Addresses that are gone keep theirs: sockets
    /// may still use them, and a breaker without traffic costs next to nothing.
    pub(super) fn add_named(&mut self) {
        self.destinations = Destinations::of(&self.config, &self.names);
        for (binding, endpoint) in self.destinations.named.clone() {
            self.add(binding, Target::named(endpoint));
        }
        let Self { kernel, destinations, journal, .. } = self;
        for ((key, bits), kind) in &destinations.announced {
            if let Err(error) = kernel.add_destination(*key, *bits, *kind) {
                let endpoint = key.endpoint().map_or_else(String::new, |it| it.to_string());
                journal.error(&format!("{endpoint} gets no breaker: {error}"));
            }
        }
    }

    /// Gives every address a policy names its breaker for one namespace, in the policy's order, so
    /// that each can stand in for the others there.
    fn add_all_of(&mut self, binding: usize, network: &Network) {
        for endpoint in self.destinations.separate_of(binding) {
            let network = Some(network.clone());
            self.add(binding, Target { endpoint, network, is_named: false });
        }
    }
}
