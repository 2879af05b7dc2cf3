//! The local ports there are for the connections of some cgroups to one endpoint.
//!
//! Invariant: read in the network namespaces of the processes; the own one stands in where there is
//! none, or none that can be entered.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::members::{Members, in_each};
use crate::kernel::network;

/// What `connect()` may choose a port from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPorts {
    /// How many there are, those of several namespaces added up.
    pub count: u64,
    reuse: Reuse,
}

/// Towards whom the port of a connection that was closed serves a new one after a second
/// (`tcp_tw_reuse`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reuse {
    Nobody,
    Loopback,
    Everybody,
}

impl LocalPorts {
    /// Those of the cgroups at these paths and below them; with a `network` only those in the network
    /// namespace with this cookie.
    pub fn of(cgroups: &[PathBuf], network: Option<u64>) -> io::Result<Self> {
        let Members { namespaces, mut trouble, .. } = Members::of(cgroups);
        let is_wanted = || network.is_none() || network::here().ok() == network;
        let found = in_each(namespaces, &mut trouble, || Ok(is_wanted().then(Self::present)));
        let found = found.into_iter().flatten().flatten().reduce(Self::and);
        found.map_or_else(Self::present, Ok)
    }

    /// Whether a closed connection to `endpoint` keeps its port for a second only.
    pub fn come_back_soon(&self, endpoint: IpAddr) -> bool {
        match self.reuse {
            Reuse::Nobody => false,
            Reuse::Loopback => endpoint.is_loopback(),
            Reuse::Everybody => true,
        }
    }

    /// Of the calling thread's namespace.
    fn present() -> io::Result<Self> {
        let range = read("ip_local_port_range")?;
        let reserved = read("ip_local_reserved_ports")?;
        let count = count(&range, &reserved)
            .ok_or_else(|| io::Error::other("ip_local_port_range cannot be understood"))?;
        Ok(Self { count, reuse: reuse(&read("tcp_tw_reuse")?, &read("tcp_timestamps")?) })
    }

    fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, reuse: self.reuse.min(other.reuse) }
    }
}

/// The files show the namespace of the thread that reads them.
fn read(setting: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/sys/net/ipv4/{setting}"))
}

/// The ports of a range without those that are reserved, both as the kernel shows them.
fn count(range: &str, reserved: &str) -> Option<u64> {
    let (first, last) = range.trim().split_once(char::is_whitespace)?;
    let range: RangeInclusive<u16> = first.parse().ok()?..=last.trim().parse().ok()?;
    let mut count = u64::from(range.end().checked_sub(*range.start())?) + 1;
    for part in reserved.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first = first.parse::<u16>().ok()?.max(*range.start());
        let last = last.parse::<u16>().ok()?.min(*range.end());
        count -= last.checked_sub(first).map_or(0, |further| u64::from(further) + 1);
    }
    Some(count)
}

/// The kernel tells an old segment from a new one by its timestamp; without them it waits.
fn reuse(setting: &str, timestamps: &str) -> Reuse {
    match (setting.trim(), timestamps.trim()) {
        (_, "0") => Reuse::Nobody,
        ("1", _) => Reuse::Everybody,
        ("2", _) => Reuse::Loopback,
        _ => Reuse::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_are_not_there() {
        assert_eq!(count("32768\t60999\n", "\n"), Some(28_232));
        assert_eq!(count("40000\t40199\n", "40000,40010-40019,8080,40190-50000\n"), Some(179));
        assert_eq!(count("9\t9\n", "9\n"), Some(0));
        assert_eq!(count("nonsense", ""), None);
    }

    #[test]
    fn ports_come_back_soon_where_the_kernel_lets_them() {
        let (loopback, far) = ("127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let soon = |setting, timestamps| {
            let ports = LocalPorts { count: 1, reuse: reuse(setting, timestamps) };
            (ports.come_back_soon(loopback), ports.come_back_soon(far))
        };
        assert_eq!(soon("2\n", "1\n"), (true, false));
        assert_eq!(soon("1\n", "2\n"), (true, true));
        assert_eq!(soon("0\n", "1\n"), (false, false));
        assert_eq!(soon("1\n", "0\n"), (false, false));
    }

    #[test]
    fn several_namespaces_add_up() {
        let one = LocalPorts { count: 200, reuse: Reuse::Everybody };
        let other = LocalPorts { count: 100, reuse: Reuse::Nobody };
        assert_eq!(one.and(other), LocalPorts { count: 300, reuse: Reuse::Nobody });
    }
}
