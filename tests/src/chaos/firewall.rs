//! Packets that get lost, by nftables inside a scenario's own namespace.
//!
//! Invariant: what is dropped is dropped on arrival, so the sender is told nothing; the rules go with the
//! namespace.

use anyhow::Result;

use crate::netns::NetNs;

/// Loses everything to and from these addresses, such as `127.0.2.0/24`.
pub(super) fn partition(namespace: &NetNs, addresses: &str) -> Result<()> {
    rules(namespace, &format!("ip daddr {addresses} drop\nip saddr {addresses} drop"))
}

/// Loses this share of the segments to and from these addresses.
pub(super) fn lose(namespace: &NetNs, addresses: &str, percent: u32) -> Result<()> {
    let chance = format!("numgen random mod 100 < {percent} drop");
    rules(namespace, &format!("ip daddr {addresses} {chance}\nip saddr {addresses} {chance}"))
}

/// Mends the network.
pub(super) fn mend(namespace: &NetNs) -> Result<()> {
    namespace.nft("flush ruleset\n")
}

fn rules(namespace: &NetNs, rules: &str) -> Result<()> {
    let hook = "type filter hook input priority 0;";
    namespace
        .nft(&format!("flush ruleset\ntable inet chaos {{ chain in {{ {hook}\n{rules}\n}}\n}}\n"))
}
