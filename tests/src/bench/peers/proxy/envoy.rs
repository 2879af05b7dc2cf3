//! Envoy as a proxy of TCP: its program, and its configuration as it comes and tuned.
//!
//! Invariant: both tunings differ in what is about failing endpoints, and in nothing else.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use crate::program;

/// How outlier detection is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuning {
    /// Asked for, and left as it is.
    Default,
    /// To act as fast as a breaker should.
    Breaker,
}

/// Where the program is.
pub(super) fn program() -> Result<String> {
    let path = program::find_tool("envoy", "envoy/envoy/_bin").ok();
    Ok(path.context("there is no envoy: run `cargo xtask bench peers`")?.display().to_string())
}

/// The version in what `--version` prints: `… version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
pub(super) fn version(said: &str) -> Option<&str> {
    said.split_once("version:")?.1.split('/').nth(1)
}

/// Two workers, no place to be asked at, and nothing said but errors.
pub(super) fn command(config: &str) -> Result<Vec<String>> {
    let rest = ["--concurrency", "2", "--disable-hot-restart", "-l", "error", "-c", config];
    Ok([program()?].into_iter().chain(rest.map(str::to_owned)).collect())
}

/// The file.
pub(super) fn config(tuning: Tuning, listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let mut endpoints = String::new();
    for upstream in upstreams {
        // Writing to a text cannot fail.
        let _written =
            writeln!(endpoints, "        - endpoint: {{ address: {} }}", address(*upstream));
    }
    let (proxy, cluster) = match tuning {
        Tuning::Default => ("", "    outlier_detection: {}\n"),
        Tuning::Breaker => (TUNED_PROXY, TUNED_CLUSTER),
    };
    format!(
        r#"static_resources:
  listeners:
  - address: {listen}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: endpoints
{proxy}  clusters:
  - name: endpoints
    lb_policy: ROUND_ROBIN
    connect_timeout: 1s
    # Not one connection is turned away for their number.
    circuit_breakers:
      thresholds: [{{ max_connections: 20000, max_pending_requests: 20000 }}]
{cluster}    load_assignment:
      cluster_name: endpoints
      endpoints:
      - lb_endpoints:
{endpoints}"#,
        listen = address(listen),
    )
}

fn address(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(r#"{{ socket_address: {{ address: "{ip}", port_value: {port} }} }}"#)
}

const TUNED_PROXY: &str = "          \
          # A connection that cannot be made is tried elsewhere before the caller hears of it.
          max_connect_attempts: 3
";

const TUNED_CLUSTER: &str = "    \
    outlier_detection:
      # Connects that fail or time out count by themselves, apart from answers, which TCP has none of.
      split_external_local_origin_errors: true
      # Five in a row eject, at once.
      consecutive_local_origin_failure: 5
      enforcing_consecutive_local_origin_failure: 100
      consecutive_5xx: 5
      enforcing_consecutive_5xx: 100
      consecutive_gateway_failure: 5
      enforcing_consecutive_gateway_failure: 100
      # How often it looks whose time is over: an endpoint comes back at most so late.
      interval: 0.2s
      # As long as it is ejected the first time; times two, three and so on when it fails again, to the most.
      base_ejection_time: 1s
      max_ejection_time: 5s
      # By default a tenth: of fewer than ten endpoints none could ever be ejected.
      max_ejection_percent: 50
    common_lb_config:
      # By default all endpoints are used again when half of them are ejected.
      healthy_panic_threshold: { value: 0 }
      # By default workers hear of an ejection up to a second late.
      update_merge_window: 0s
    # Connections to an endpoint that is ejected are of no use either.
    close_connections_on_host_health_failure: true
    # Besides, it connects once a second to see: who is gone stays away, and no call has to find out.
    health_checks:
    - timeout: 1s
      interval: 1s
      unhealthy_threshold: 2
      healthy_threshold: 2
      tcp_health_check: {}
    # Who is well again gets a share that grows over five seconds.
    round_robin_lb_config:
      slow_start_config: { slow_start_window: 5s }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found() {
        let said = "\nenvoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n";
        assert_eq!(version(said), Some("1.40.0"));
        assert_eq!(version("no"), None);
    }
}
