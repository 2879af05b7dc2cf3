//! The shape of a scenario file, before anything is checked but names and types. `policy` and
//! `node` are taken out of it before.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::config::{At, Text, Time};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Option<Text>,
    pub(super) summary: Option<Text>,
    pub(super) seed: Option<At<u64>>,
    pub(super) duration: Time,
    #[serde(default)]
    pub(super) network: Network,
    #[serde(default)]
    pub(super) service: Vec<Service>,
    #[serde(default)]
    pub(super) caller: Vec<Caller>,
    #[serde(default)]
    pub(super) fault: Vec<Spanned<Fault>>,
    #[serde(default)]
    pub(super) expect: Expect,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) rtt: Option<Time>,
    pub(super) loss: Option<At<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: Text,
    pub(super) endpoints: Vec<Text>,
    pub(super) response: Option<Time>,
    pub(super) workers: Option<At<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    pub(super) name: Text,
    pub(super) services: Option<Vec<Text>>,
    pub(super) rate: Option<At<f64>>,
    #[serde(default)]
    pub(super) rates: Vec<Rate>,
    #[serde(default)]
    pub(super) calls: Vec<Time>,
    pub(super) arrivals: Option<Text>,
    pub(super) concurrency: Option<At<u32>>,
    pub(super) choose: Option<Text>,
    pub(super) timeout: Option<Time>,
    pub(super) slow_after: Option<Time>,
    pub(super) retries: Option<At<u32>>,
    pub(super) retry_after: Option<Time>,
    pub(super) turns: Option<At<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    pub(super) at: Time,
    pub(super) rate: At<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) kind: Text,
    pub(super) name: Option<Text>,
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) share: Option<At<f64>>,
    pub(super) by: Option<Time>,
    pub(super) every: Option<Time>,
    pub(super) lasts: Option<Time>,
    pub(super) endpoints: Option<Vec<Text>>,
    pub(super) callers: Option<Vec<Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) never_sheds: Option<bool>,
    pub(super) first_shed: Option<Time>,
    pub(super) leaked_at_most: Option<u64>,
    pub(super) leaked_before_shed_at_most: Option<u64>,
    pub(super) false_refusals_at_most: Option<u64>,
    pub(super) opens_after_end_at_most: Option<u64>,
    pub(super) opens_at_least: Option<u64>,
    pub(super) opens_at_most: Option<u64>,
    pub(super) flaps_at_most: Option<u64>,
    pub(super) recovered_within: Option<Time>,
    pub(super) admitted_within: Option<Time>,
    pub(super) in_flight_at_most: Option<u64>,
    pub(super) success_at_least: Option<At<f64>>,
    pub(super) success_during_at_least: Option<At<f64>>,
    #[serde(default)]
    pub(super) service_success_at_least: BTreeMap<Text, At<f64>>,
    #[serde(default)]
    pub(super) sheds: Vec<Text>,
    #[serde(default)]
    pub(super) spares: Vec<Text>,
}
