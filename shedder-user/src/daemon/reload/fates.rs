//! What a configuration that takes the place of another means for the cells there are.
//!
//! Invariant: a cell is kept if its caller still calls its endpoint as part of the same service,
//! whatever else changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use shedder_common::endpoint::EndpointKey;

use crate::config::Config;
use crate::daemon::cells::{Cell, caller_id};
use crate::daemon::destinations::{Destinations, binding_of_network};
use crate::engine::CellId;

/// What becomes of whom.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) kept: Vec<Kept>,
    pub(super) removed: Vec<CellId>,
    /// Endpoints without a cell, with their bindings.
    pub(super) added: Vec<(usize, SocketAddr)>,
    /// Endpoints whose cells are removed, and which get new ones for another service.
    pub(super) moved: Vec<(usize, SocketAddr)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) id: CellId,
    pub(super) binding: usize,
    pub(super) is_named: bool,
}

/// As much of a cell as its fate depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) id: CellId,
    pub(super) key: EndpointKey,
    pub(super) service: usize,
}

impl Known {
    pub(super) const fn of(cell: &Cell) -> Self {
        Self { id: cell.id, key: cell.key, service: cell.service }
    }
}

impl Fates {
    pub(super) fn of(
        cells: impl Iterator<Item = Known>,
        config: &Config,
        destinations: &Destinations,
    ) -> Self {
        let key = |(binding, endpoint): &(usize, SocketAddr)| {
            EndpointKey::new(caller_id(config.bindings[*binding].caller), *endpoint)
        };
        let mut named: BTreeMap<EndpointKey, Vec<usize>> = BTreeMap::new();
        for it in &destinations.named {
            named.entry(key(it)).or_default().push(it.0);
        }
        let mut fates = Self::default();
        let (mut kept, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for cell in cells {
            if let Some((binding, is_named)) = binding_of(&cell, config, destinations, &named) {
                kept.insert(cell.key);
                fates.kept.push(Kept { id: cell.id, binding, is_named });
            } else {
                removed.insert(cell.key);
                fates.removed.push(cell.id);
            }
        }
        for it in &destinations.named {
            let key = key(it);
            if !kept.insert(key) {
                continue;
            }
            let fate = if removed.contains(&key) { &mut fates.moved } else { &mut fates.added };
            fate.push(*it);
        }
        fates
    }
}

/// The binding of a cell's own service that still has its endpoint, and whether it names it.
fn binding_of(
    cell: &Known,
    config: &Config,
    destinations: &Destinations,
    named: &BTreeMap<EndpointKey, Vec<usize>>,
) -> Option<(usize, bool)> {
    let is_own = |binding: &usize| config.bindings[*binding].service == cell.service;
    let endpoint = cell.key.endpoint()?;
    let caller = (cell.key.caller as usize).checked_sub(1)?;
    let is_separate = cell.key.network != 0;
    let by_name = if is_separate {
        destinations.separate_binding(config, caller, endpoint).into_iter().collect()
    } else {
        named.get(&cell.key).cloned().unwrap_or_default()
    };
    if !by_name.is_empty() {
        return by_name.into_iter().find(is_own).map(|binding| (binding, !is_separate));
    }
    binding_of_network(config, caller, endpoint)
        .filter(is_own)
        .filter(|_| config.services[cell.service].separate_networks == is_separate)
        .map(|binding| (binding, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::names::Names;

    /// A file in which `app` calls each of these services at its endpoints.
    fn config(services: &[(&str, &str)]) -> Config {
        let caller = "[[caller]]\nname = \"app\"\ncgroups = [\"/app\"]\n".to_owned();
        let services = services.iter().map(|(name, rest)| {
            let policy = format!("[[policy]]\ncaller = \"app\"\nservice = \"{name}\"\n");
            format!("[[service]]\nname = \"{name}\"\n{rest}\n{policy}")
        });
        let text: String = std::iter::once(caller).chain(services).collect();
        Config::parse("f", &text).expect("good")
    }

    /// The fate of one cell of the first service of `before`, and how many are added and moved.
    fn fate(
        cell: &str,
        network: u64,
        before: &[(&str, &str)],
        after: &[(&str, &str)],
    ) -> (Option<bool>, usize, usize) {
        let running = config(before);
        let config = config(after).taking_over(&running, 2);
        let destinations = Destinations::of(&config, &Names::new());
        let endpoint = cell.parse().expect("an address");
        let key = EndpointKey { network, ..EndpointKey::new(caller_id(0), endpoint) };
        let known = Known { id: CellId(7), key, service: 0 };
        let fates = Fates::of(std::iter::once(known), &config, &destinations);
        assert_eq!(fates.kept.len() + fates.removed.len(), 1);
        (fates.kept.first().map(|kept| kept.is_named), fates.added.len(), fates.moved.len())
    }

    const NAMED: (&str, &str) = ("a", "endpoints = [\"10.0.0.1:1\"]");
    const NETWORK: (&str, &str) = ("a", "endpoints = [\"10.0.0.0/8:1\"]");
    const ELSEWHERE: (&str, &str) = ("a", "endpoints = [\"10.9.9.9:1\"]");
    const OTHER: (&str, &str) = ("b", "endpoints = [\"10.0.0.1:1\"]");
    const SEPARATE: (&str, &str) = ("a", "endpoints = [\"10.0.0.1:1\"]\nseparate_networks = true");

    #[test]
    fn what_a_service_still_has_is_kept() {
        let cell = |before, after: &[_]| fate("10.0.0.1:1", 0, &[before], after);
        assert_eq!(cell(NAMED, &[NAMED]), (Some(true), 0, 0));
        assert_eq!(cell(NAMED, &[OTHER, ELSEWHERE]).0, None);
        assert_eq!(cell(NAMED, &[NETWORK]), (Some(false), 0, 0));
        assert_eq!(cell(NETWORK, &[NAMED]), (Some(true), 0, 0));
        assert_eq!(cell(NAMED, &[ELSEWHERE]), (None, 1, 0));
        let fallback = ("a", "endpoints = [\"10.9.9.9:1\"]\nfallback = [\"10.0.0.1:1\"]");
        assert_eq!(cell(NAMED, &[fallback]), (Some(true), 1, 0));
    }

    /// An address of another service is more precise than the network it was found in.
    #[test]
    fn what_another_service_takes_over_begins_afresh() {
        let cell = |before, after: &[_]| fate("10.0.0.1:1", 0, &[before], after);
        assert_eq!(cell(NETWORK, &[NETWORK, OTHER]), (None, 0, 1));
        assert_eq!(cell(NAMED, &[OTHER]), (None, 0, 1));
    }

    #[test]
    fn an_endpoint_told_apart_by_network_is_another() {
        assert_eq!(fate("10.0.0.1:1", 5, &[SEPARATE], &[SEPARATE]), (Some(false), 0, 0));
        assert_eq!(fate("10.0.0.1:1", 5, &[SEPARATE], &[NAMED]), (None, 1, 0));
        assert_eq!(fate("10.0.0.1:1", 0, &[NAMED], &[SEPARATE]), (None, 0, 0));
        let network = ("a", "endpoints = [\"10.0.0.0/8:1\"]\nseparate_networks = true");
        assert_eq!(fate("10.0.0.1:1", 5, &[network], &[network]), (Some(false), 0, 0));
        assert_eq!(fate("10.0.0.1:1", 5, &[network], &[NETWORK]), (None, 0, 0));
    }
}
