//! `HAProxy` as a proxy of TCP: its program and its configuration.
//!
//! Invariant: one process of two threads, in the foreground.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use crate::program;

/// Where the program is.
pub(super) fn program() -> Result<String> {
    let path = program::find_tool("haproxy", "haproxy/usr/sbin").ok();
    Ok(path.context("there is no haproxy: run `cargo xtask bench peers`")?.display().to_string())
}

/// The version in what `-v` prints: `HAProxy version 2.6.12-1+deb12u3 2025/10/03 - …`.
pub(super) fn version(said: &str) -> Option<&str> {
    said.strip_prefix("HAProxy version ")?.split_whitespace().next()
}

/// In the foreground; nothing said but errors.
pub(super) fn command(config: &str) -> Result<Vec<String>> {
    Ok([&program()?, "-db", "-f", config].map(str::to_owned).to_vec())
}

/// The file.
pub(super) fn config(listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let mut text = format!(
        "global
    nbthread 2
    maxconn 9000

listen proxy
    mode tcp
    bind {listen}
    balance roundrobin
    timeout connect 1s
    # Idle connections stay.
    timeout client 10m
    timeout server 10m
    # A connect that fails is tried again, at another endpoint.
    retries 3
    option redispatch 1
    # It connects once a second to see, and watches the traffic: the fifth connect that fails in a row takes
    # an endpoint down, and ends its connections. Three checks that succeed bring it back, with a share that
    # grows over five seconds.
    default-server check inter 1s rise 3 slowstart 5s
    default-server observe layer4 error-limit 5 on-error mark-down
    default-server on-marked-down shutdown-sessions
"
    );
    for (number, upstream) in upstreams.iter().enumerate() {
        // Writing to a text cannot fail.
        let _written = writeln!(text, "    server e{number} {upstream}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found() {
        let said = "HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/\nStatus\n";
        assert_eq!(version(said), Some("2.6.12-1+deb12u3"));
        assert_eq!(version("no"), None);
    }
}
