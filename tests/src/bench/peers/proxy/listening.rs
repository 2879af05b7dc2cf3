//! Whether somebody listens, without a connection.
//!
//! Invariant: it is read from the kernel's table of sockets. To connect would be traffic, which proxies learn
//! from.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use anyhow::Result;

use crate::netns::NetNs;

/// Whether there is a socket that listens at just this address.
pub(super) fn is_listening(namespace: &NetNs, address: SocketAddr) -> Result<bool> {
    let file = if address.is_ipv4() { "tcp" } else { "tcp6" };
    let table =
        namespace.enter(|| fs::read_to_string(format!("/proc/thread-self/net/{file}")))??;
    Ok(is_in(&table, address))
}

/// A line has its number, the local address, the remote one, and the state.
fn is_in(table: &str, address: SocketAddr) -> bool {
    let local = as_in_table(address);
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(&local) && words.nth(1) == Some(LISTENING)
    })
}

/// An address is printed as the numbers that its bytes are in memory, four at a time.
fn as_in_table(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut text = String::new();
    for word in bytes.chunks_exact(4).filter_map(|word| word.try_into().ok()) {
        // Writing to a text cannot fail.
        let _written = write!(text, "{:08X}", u32::from_ne_bytes(word));
    }
    // Writing to a text cannot fail.
    let _written = write!(text, ":{:04X}", address.port());
    text
}

const LISTENING: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn an_address_is_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00\n\
            1: 0200007F:1F90 0100007F:0050 01 00000000:00000000 00\n";
        let is_there = |address: &str| is_in(table, address.parse().expect("an address"));
        assert!(is_there("127.0.0.1:8080"));
        assert!(!is_there("127.0.0.2:8080"), "it is connected");
        assert!(!is_there("127.0.0.1:80"));
        let six = as_in_table("[::1]:80".parse().expect("an address"));
        assert_eq!(six, "00000000000000000000000001000000:0050");
    }
}
