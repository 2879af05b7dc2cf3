//! The ways of being refused.
//!
//! Invariant: the first is what there is without any guard, and the others are told as a ratio to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bench::peers::proxy::Product;

/// Who refuses.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum Arm {
    /// The kernel of the endpoint, where nobody listens. Nothing is attached.
    ClosedPort,
    /// A rule of the output hook.
    Nftables,
    /// A verdict in force.
    Shedder,
    /// A proxy whose endpoints are all down.
    Proxy(Product),
}

impl Arm {
    /// In the order of the tables.
    pub(super) const ALL: [Self; 7] = [
        Self::ClosedPort,
        Self::Nftables,
        Self::Shedder,
        Self::Proxy(Product::EnvoyDefault),
        Self::Proxy(Product::EnvoyTuned),
        Self::Proxy(Product::HaProxy),
        Self::Proxy(Product::Nginx),
    ];

    /// As tables and pictures name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ClosedPort => "closed port, no guard",
            Self::Nftables => "nftables, reject with reset",
            Self::Shedder => "shedder",
            Self::Proxy(product) => product.name(),
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
