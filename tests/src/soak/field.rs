//! The endpoints as callers see them: where each is, and whether it is well.
//!
//! Invariant: an endpoint is called well only while nothing is wrong with it and nothing that was wrong
//! can still matter; when in doubt it is not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// All endpoints, by number.
#[derive(Debug)]
pub(super) struct Field {
    endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
struct Endpoint {
    address: SocketAddr,
    /// Even while the endpoint is well; rises when it falls ill and when it is well again.
    turns: AtomicU64,
}

/// The state of an endpoint when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spell(u64);

impl Field {
    pub(super) fn new(addresses: impl Iterator<Item = SocketAddr>) -> Self {
        let endpoint = |address| Endpoint { address, turns: AtomicU64::new(0) };
        Self { endpoints: addresses.map(endpoint).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    pub(super) fn address(&self, endpoint: usize) -> SocketAddr {
        self.endpoints[endpoint].address
    }

    /// Which endpoint has this address.
    pub(super) fn find(&self, address: &str) -> Option<usize> {
        let address: SocketAddr = address.parse().ok()?;
        self.endpoints.iter().position(|endpoint| endpoint.address == address)
    }

    /// To be compared with a later spell.
    pub(super) fn spell(&self, endpoint: usize) -> Spell {
        Spell(self.endpoints[endpoint].turns.load(Ordering::Acquire))
    }

    pub(super) fn is_well(&self, endpoint: usize) -> bool {
        self.spell(endpoint).is_well()
    }

    /// Before anything is wrong with it.
    pub(super) fn fall_ill(&self, endpoint: usize) {
        self.turn(endpoint, true);
    }

    /// After everything that was wrong has passed.
    pub(super) fn get_well(&self, endpoint: usize) {
        self.turn(endpoint, false);
    }

    fn turn(&self, endpoint: usize, from_well: bool) {
        if self.is_well(endpoint) == from_well {
            self.endpoints[endpoint].turns.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Spell {
    pub(super) const fn is_well(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_tells_whether_the_endpoint_was_ill_meanwhile() {
        let field = Field::new(["127.0.0.1:1".parse().expect("an address")].into_iter());
        let before = field.spell(0);
        assert!(before.is_well());
        field.fall_ill(0);
        field.fall_ill(0);
        assert!(!field.is_well(0));
        field.get_well(0);
        assert!(field.is_well(0));
        assert_ne!(field.spell(0), before);
        assert_eq!(field.find("127.0.0.1:1"), Some(0));
        assert_eq!(field.find("127.0.0.1:2"), None);
    }
}
