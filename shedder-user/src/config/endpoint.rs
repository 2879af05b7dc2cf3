//! Endpoints as people write them: `10.0.0.1:5432`, `10.0.0.0/24:5432`, `[fd00::/8]:443`,
//! `db.internal:5432`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// One entry of a service's endpoint list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointSpec {
    /// One address.
    Address(SocketAddr),
    /// Every address of a network, found as they are called.
    Network {
        /// Its first address.
        address: IpAddr,
        /// Its prefix length.
        bits: u8,
        /// The port.
        port: u16,
    },
    /// Every address a name stands for, looked up again from time to time.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no endpoint: {problem}; write 10.0.0.1:5432, 10.0.0.0/24:5432, [fd00::/8]:443 or name:5432"
)]
pub struct InvalidEndpoint {
    text: String,
    problem: &'static str,
}

impl EndpointSpec {
    /// Whether an endpoint is this one, or one of these; of a name, whether it may be.
    pub(crate) fn may_cover(&self, endpoint: SocketAddr) -> bool {
        match self {
            Self::Address(address) => *address == endpoint,
            Self::Network { address, bits, port } => {
                *port == endpoint.port() && contains(*address, *bits, endpoint.ip())
            }
            Self::Name { port, .. } => *port == endpoint.port(),
        }
    }
}

impl FromStr for EndpointSpec {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        parse(text).map_err(|problem| InvalidEndpoint { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<EndpointSpec, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let port: u16 = port.parse().map_err(|_not_a_port| "the port is no number from 1 to 65535")?;
    if port == 0 {
        return Err("the port is no number from 1 to 65535");
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let bare = bracketed.unwrap_or(host);
    if bracketed.is_none() && host.contains(':') {
        return Err("an IPv6 address needs brackets");
    }
    if let Some((address, bits)) = bare.split_once('/') {
        return network(address, bits, port);
    }
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(EndpointSpec::Address(SocketAddr::new(address.to_canonical(), port)));
    }
    if bracketed.is_some() {
        return Err("what is in brackets is no IPv6 address");
    }
    name(bare, port)
}

fn network(address: &str, bits: &str, port: u16) -> Result<EndpointSpec, &'static str> {
    let address: IpAddr = address.parse().map_err(|_not_an_address| "the network is no address")?;
    let width: u8 = if address.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.parse().map_err(|_not_a_number| "the prefix length is no number")?;
    if bits > width {
        return Err("the prefix is longer than the address");
    }
    if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        return Err("it stands for an IPv4 network and is written as one");
    }
    let (value, shift) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32 - u32::from(bits)),
        IpAddr::V6(address) => (address.to_bits(), 128 - u32::from(bits)),
    };
    let host_bits = 1_u128.checked_shl(shift).map_or(u128::MAX, |beyond| beyond - 1);
    if value & host_bits != 0 {
        return Err("the network has bits set after its prefix");
    }
    Ok(EndpointSpec::Network { address, bits, port })
}

fn name(host: &str, port: u16) -> Result<EndpointSpec, &'static str> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // What ends in a number is an address gone wrong, not a name.
    let is_numeric = host
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    if is_numeric {
        return Err("the address has a part that is out of range or missing");
    }
    if host.len() <= 253 && host.trim_end_matches('.').split('.').all(is_label) {
        Ok(EndpointSpec::Name { host: host.to_owned(), port })
    } else {
        Err("the host is neither an address nor a name")
    }
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

impl fmt::Display for EndpointSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Network { address: IpAddr::V4(address), bits, port } => {
                write!(f, "{address}/{bits}:{port}")
            }
            Self::Network { address: IpAddr::V6(address), bits, port } => {
                write!(f, "[{address}/{bits}]:{port}")
            }
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "10.0.0.1:5432",
            "10.0.0.0/24:5432",
            "0.0.0.0/0:80",
            "[fd00::/8]:443",
            "[::/0]:443",
            "[2001:db8::1]:443",
            "db.internal:5432",
            "localhost:1",
        ] {
            let spec: EndpointSpec = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, problem) in [
            ("10.0.0.1", "port is missing"),
            ("10.0.0.1:0", "1 to 65535"),
            ("10.0.0.1:70000", "1 to 65535"),
            ("10.0.0.256:80", "out of range"),
            ("10.0.0.0/33:80", "longer than the address"),
            ("10.0.0.1/24:80", "bits set after"),
            ("10.0.0.0/x:80", "prefix length"),
            ("fd00::1:80", "brackets"),
            ("[db]:80", "brackets is no IPv6"),
            ("a b:80", "neither"),
            (":80", "neither"),
        ] {
            let error = text.parse::<EndpointSpec>().expect_err(text).to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,40}") {
            let _spec = text.parse::<EndpointSpec>();
        }
    }

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
