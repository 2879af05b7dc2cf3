//! The shape of the file, before anything is checked but names and types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rules::{table_with_rules, with_rules};
use super::value::{At, Spoken, Text, Time, words};
use crate::engine::Mode;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The daemon itself.
    pub(super) node: Option<Node>,
    /// Who is guarded: a named set of cgroups.
    #[serde(default)]
    pub(super) caller: Vec<Caller>,
    /// What they call: a named set of endpoints.
    #[serde(default)]
    pub(super) service: Vec<Service>,
    /// Which rules hold between a caller and a service.
    #[serde(default)]
    pub(super) policy: Vec<Policy>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    /// How often evidence is looked at; a fifth as often while all is well. Failures in a row are acted on at once, whatever
    /// the tick.
    #[schemars(extend("x-minimum" = "10ms", "x-maximum" = "10s", "default" = "100ms"))]
    pub(super) tick: Option<Time>,
    /// How long a verdict holds without being renewed: the longest a dead daemon can refuse
    /// anything. At least three ticks.
    #[schemars(extend("x-minimum" = "300ms", "x-maximum" = "1m", "default" = "3s"))]
    pub(super) verdict_ttl: Option<Time>,
    /// Endpoints there can be, over all callers, at about 2 KiB of kernel memory each. Takes a
    /// restart.
    #[schemars(extend("minimum" = 1, "maximum" = 65_536, "default" = 4096))]
    pub(super) max_endpoints: Option<At<u32>>,
    /// Connects that may be held at once; more go through without a hold.
    #[schemars(extend("minimum" = 1, "maximum" = 1_000_000, "default" = 1024))]
    pub(super) max_held: Option<At<u32>>,
    /// How long an endpoint that was found, not named, is kept without being called.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "7d", "default" = "10m"))]
    pub(super) forget_after: Option<Time>,
    /// The control socket. Takes a restart.
    #[schemars(extend("default" = "/run/shedder/shedder.sock"))]
    pub(super) socket: Option<String>,
    /// The group that may look at it besides root. Takes a restart.
    pub(super) socket_group: Option<String>,
    /// Address and port where /metrics, /healthz and /readyz are served; nowhere without it. Takes a restart.
    pub(super) listen: Option<Text>,
    /// Whether `listen` may be an address that other machines reach.
    #[serde(default)]
    pub(super) listen_anywhere: bool,
    /// Endpoints with series of their own among the metrics; the others are added up.
    #[schemars(extend("minimum" = 0, "maximum" = 5000, "default" = 500))]
    pub(super) metrics_endpoints: Option<At<u32>>,
    /// Where what happened is written, one JSON line each; "" for nowhere. Takes a restart.
    #[schemars(extend("default" = "/var/lib/shedder"))]
    pub(super) state_dir: Option<Text>,
    /// How much of it is kept.
    pub(super) journal: Option<Journal>,
    /// Where an OpenTelemetry collector takes spans and metrics: OTLP over HTTP, in protobuf; nowhere
    /// without it. Takes a restart.
    pub(super) otlp: Option<Text>,
    /// Headers that go with every request to it. Takes a restart.
    pub(super) otlp_headers: Option<BTreeMap<String, Text>>,
    /// How often metrics are sent to it. Takes a restart.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h", "default" = "30s"))]
    pub(super) otlp_interval: Option<Time>,
    /// Where links and maps are pinned when started with --detach-on-exit=false. Takes a restart.
    #[schemars(extend("default" = "/sys/fs/bpf/shedder"))]
    pub(super) pin_dir: Option<String>,
    /// How often cgroup patterns and endpoint names are looked up again.
    #[schemars(extend("x-minimum" = "50ms", "x-maximum" = "10m", "default" = "500ms"))]
    pub(super) rescan: Option<Time>,
    /// Whether a change of the file is taken up by itself, within about a second.
    #[schemars(extend("default" = true))]
    pub(super) watch: Option<bool>,
    /// Nothing more is opened on this node while one of these is reached. No caller takes more than half of one from the
    /// others.
    pub(super) brakes: Option<Brakes>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    /// How large a file grows before the next one is begun, in KiB.
    #[schemars(extend("minimum" = 16, "maximum" = 1_048_576, "default" = 16384))]
    pub(super) max_kib: Option<At<u32>>,
    /// How many files are kept, the one being written included.
    #[schemars(extend("minimum" = 1, "maximum" = 100, "default" = 4))]
    pub(super) files: Option<At<u32>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Brakes {
    /// Breakers opened in a minute.
    #[schemars(extend("minimum" = 1, "maximum" = 1_000_000, "default" = 10))]
    pub(super) trips_per_minute: Option<At<u32>>,
    /// Connects refused in a second.
    #[schemars(extend("minimum" = 1, "maximum" = 1_000_000_000, "default" = 10000))]
    pub(super) refusals_per_second: Option<At<u64>>,
    /// The share of one caller's connects refused in a minute.
    #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.5))]
    pub(super) caller_refused: Option<At<f64>>,
    /// The share of all services in use gone bad at once: then the node itself is at fault.
    #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.5))]
    pub(super) suspect: Option<At<f64>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    /// As people know it.
    #[schemars(extend("minLength" = 1))]
    pub(super) name: Text,
    /// Paths from the root of the cgroup2 hierarchy; `*`, `?` and `[]` match within a name, `**`
    /// any depth. Every socket made in these cgroups or below them is guarded.
    #[serde(default)]
    pub(super) cgroups: Vec<Text>,
    /// A systemd unit, wherever it is: web.service or web.slice.
    pub(super) unit: Option<Text>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    /// As people know it.
    #[schemars(extend("minLength" = 1))]
    pub(super) name: Text,
    /// `address:port`, `network:port` (endpoints are found as they are called) or `name:port`.
    #[schemars(extend("minItems" = 1))]
    pub(super) endpoints: Vec<Text>,
    /// Where a redirect may go when no endpoint of the service is well: one address and port each.
    #[serde(default)]
    pub(super) fallback: Vec<Text>,
    /// Whether these addresses mean something else in each network namespace of the caller.
    #[serde(default)]
    pub(super) separate_networks: bool,
    /// Whether UDP to the same addresses and ports is refused and redirected too. It is no
    /// evidence.
    #[serde(default)]
    pub(super) udp: bool,
    /// The protocol it speaks in plain text: an answer that says that the endpoint failed then
    /// counts as a failure. Without it no answer is read.
    pub(super) protocol: Option<At<Spoken>>,
    /// Which errors in answers count: those by which it cannot serve, or mistakes of the caller as
    /// well. Needs `protocol`.
    #[schemars(extend("default" = "server"))]
    pub(super) errors: Option<At<Counted>>,
    /// What the spans of its breakers say besides, such as `cluster_id`: 16 attributes at most.
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, Text>,
}

with_rules!(table_with_rules! {
    struct Policy {
        /// Shown in status and events; `caller:service` by default.
        name: Option<Text>,
        /// The name of the `[[caller]]`.
        caller: Text,
        /// The name of the `[[service]]`.
        service: Text,
        /// `observe` counts what would have been shed and sheds nothing; `enforce` sheds.
        #[schemars(extend("default" = "observe"))]
        mode: Option<At<Mode>>,
        /// For how many percent of the caller's cgroups `enforce` acts; for the others it only
        /// counts.
        #[schemars(extend("minimum" = 1, "maximum" = 100, "default" = 100))]
        enforce_percent: Option<At<u8>>,
        /// Where the rules start from; what is set beside it overrides it field by field. `shedder
        /// presets` lists them.
        #[schemars(extend("default" = "default"))]
        preset: Option<Text>,
        /// How soon an endpoint that fails should be shed. Nothing acts on it; `shedder check`
        /// warns when the rules cannot do it.
        target: Option<Time>,
    }
});

/// Which errors count: [`shedder_common::protocol::Errors`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    Server,
    All,
}

words!("choice of errors", Counted {
    "server" => Self::Server,
    "all" => Self::All,
});

words!("mode", Mode {
    "observe" => Self::Observe,
    "enforce" => Self::Enforce,
});
