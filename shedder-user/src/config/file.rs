//! The shape of the file, before anything is checked but names and types.

use serde::Deserialize;

use super::rules::{table_with_rules, with_rules};
use super::value::{At, Spoken, Text, Time, words};
use crate::engine::Mode;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) node: Option<Node>,
    #[serde(default)]
    pub(super) caller: Vec<Caller>,
    #[serde(default)]
    pub(super) service: Vec<Service>,
    #[serde(default)]
    pub(super) policy: Vec<Policy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) tick: Option<Time>,
    pub(super) verdict_ttl: Option<Time>,
    pub(super) max_endpoints: Option<At<u32>>,
    pub(super) max_held: Option<At<u32>>,
    pub(super) forget_after: Option<Time>,
    pub(super) socket: Option<String>,
    pub(super) socket_group: Option<String>,
    pub(super) listen: Option<Text>,
    #[serde(default)]
    pub(super) listen_anywhere: bool,
    pub(super) metrics_endpoints: Option<At<u32>>,
    pub(super) state_dir: Option<Text>,
    pub(super) journal: Option<Journal>,
    pub(super) pin_dir: Option<String>,
    pub(super) rescan: Option<Time>,
    pub(super) watch: Option<bool>,
    pub(super) brakes: Option<Brakes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    pub(super) max_kib: Option<At<u32>>,
    pub(super) files: Option<At<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Brakes {
    pub(super) trips_per_minute: Option<At<u32>>,
    pub(super) refusals_per_second: Option<At<u64>>,
    pub(super) caller_refused: Option<At<f64>>,
    pub(super) suspect: Option<At<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) cgroups: Vec<Text>,
    pub(super) unit: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: Text,
    pub(super) endpoints: Vec<Text>,
    #[serde(default)]
    pub(super) fallback: Vec<Text>,
    #[serde(default)]
    pub(super) separate_networks: bool,
    #[serde(default)]
    pub(super) udp: bool,
    pub(super) protocol: Option<At<Spoken>>,
    pub(super) errors: Option<At<Counted>>,
}

with_rules!(table_with_rules! {
    struct Policy {
        name: Option<Text>,
        caller: Text,
        service: Text,
        mode: Option<At<Mode>>,
        enforce_percent: Option<At<u8>>,
        preset: Option<Text>,
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
