//! The shape of the file, before anything is checked but names and types.

use serde::Deserialize;

use super::rules::Rules;
use super::value::{Number, Text, Time};

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
    pub(super) max_endpoints: Option<Number<u32>>,
    pub(super) socket: Option<String>,
    pub(super) socket_group: Option<String>,
    pub(super) pin_dir: Option<String>,
    pub(super) rescan: Option<Time>,
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
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) name: Option<Text>,
    pub(super) caller: Text,
    pub(super) service: Text,
    pub(super) mode: Option<Text>,
    pub(super) preset: Option<Text>,
    // The tables of `Rules`, spelled out because flattening would lose unknown keys.
    pub(super) trip: Option<super::rules::Trip>,
    pub(super) open: Option<super::rules::Open>,
    pub(super) half_open: Option<super::rules::HalfOpen>,
    pub(super) recovery: Option<super::rules::Recovery>,
    pub(super) caller_timeout: Option<Time>,
    pub(super) turns_to_skip: Option<Number<u8>>,
}

impl Policy {
    /// The rules this policy sets itself.
    pub(super) fn rules(&self) -> Rules {
        Rules {
            trip: self.trip.clone(),
            open: self.open.clone(),
            half_open: self.half_open.clone(),
            recovery: self.recovery.clone(),
            caller_timeout: self.caller_timeout.clone(),
            turns_to_skip: self.turns_to_skip.clone(),
        }
    }
}
