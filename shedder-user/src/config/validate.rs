//! From the shape of the file to a configuration whose parts fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::sync::Arc;

use shedder_common::protocol::Errors;

use super::error::{Complaint, place};
use super::file::{self, File};
use super::presets::{self, Preset};
use super::rules::Layer as _;
use super::value::{Text, Time};
use super::{Binding, Caller, Config, EndpointSpec, Service};
use crate::engine::{Mode, Policy};
use crate::telemetry::is_own_attribute;

mod node;

pub(super) fn config(text: &str) -> Result<Config, Complaint> {
    file(toml::from_str(text)?, text)
}

/// Checks what was read from `text`.
pub(super) fn file(file: File, text: &str) -> Result<Config, Complaint> {
    let node = node::node(file.node.unwrap_or_default())?;
    unique("caller", file.caller.iter().map(|caller| &caller.name))?;
    unique("service", file.service.iter().map(|service| &service.name))?;
    let callers = file.caller.iter().map(caller).collect::<Result<Vec<_>, _>>()?;
    let services = file.service.iter().map(service).collect::<Result<Vec<_>, _>>()?;
    if file.policy.is_empty() {
        return Err(Complaint::whole("no [[policy]]: nothing would be guarded"));
    }
    let bindings = file
        .policy
        .iter()
        .map(|policy| binding(text, policy, &callers, &services))
        .collect::<Result<Vec<_>, _>>()?;
    unread_answers(&file.policy, &bindings, &services)?;
    overlaps(&file.policy, &bindings, &services)?;
    Ok(Config { node, callers, services, bindings })
}

fn caller(caller: &file::Caller) -> Result<Caller, Complaint> {
    let mut cgroups = Vec::new();
    for pattern in &caller.cgroups {
        let text = &pattern.value;
        if !text.starts_with('/') || text.trim_matches('/').is_empty() {
            return Err(pattern.complaint(format!(
                "{text:?} is no cgroup pattern: it begins at the root of the hierarchy with a slash, and the root itself cannot be guarded"
            )));
        }
        if text.split('/').any(|name| name == "." || name == "..") {
            return Err(pattern
                .complaint(format!("{text:?} is no cgroup pattern: it must not contain . or ..")));
        }
        if let Err(error) = glob::Pattern::new(text) {
            return Err(pattern.complaint(format!("{text:?} is no cgroup pattern: {error}")));
        }
        cgroups.push(text.clone());
    }
    if let Some(unit) = &caller.unit {
        let name = &unit.value;
        if !name.contains('.') || name.contains('/') {
            return Err(unit.complaint(format!(
                "{name:?} is no systemd unit; write web.service or web.slice"
            )));
        }
        cgroups.push(format!("/**/{name}"));
    }
    let name = &caller.name.value;
    if cgroups.is_empty() {
        let message = format!("caller {name:?} has no cgroups; set cgroups or unit");
        return Err(caller.name.complaint(message));
    }
    Ok(Caller { name: name.clone(), cgroups })
}

fn service(service: &file::Service) -> Result<Service, Complaint> {
    let name = &service.name.value;
    let endpoints = endpoints(&service.endpoints)?;
    if endpoints.is_empty() {
        return Err(service.name.complaint(format!("service {name:?} has no endpoints")));
    }
    let fallback = self::endpoints(&service.fallback)?;
    if let Some(at) = fallback.iter().position(|spec| !matches!(spec, EndpointSpec::Address(_))) {
        return Err(service.fallback[at].complaint("a fallback is one address and port"));
    }
    let &file::Service { separate_networks, udp, .. } = service;
    let protocol = service.protocol.as_ref().map(|protocol| protocol.value.0);
    if let Some(errors) = &service.errors
        && protocol.is_none()
    {
        return Err(errors.complaint(
            "errors says which errors in answers count, so it needs protocol beside it",
        ));
    }
    let errors = match service.errors.as_ref().map(|errors| errors.value) {
        None | Some(file::Counted::Server) => Errors::Server,
        Some(file::Counted::All) => Errors::All,
    };
    let attributes = attributes(&service.attributes)?;
    let name = name.clone();
    Ok(Service { name, endpoints, fallback, separate_networks, udp, protocol, errors, attributes })
}

/// What spans may say besides.
fn attributes(given: &BTreeMap<String, Text>) -> Result<BTreeMap<String, String>, Complaint> {
    for (place, (name, value)) in given.iter().enumerate() {
        if name.is_empty() || is_own_attribute(name) {
            return Err(value.complaint(format!(
                "attributes cannot have the name {name:?}: the spans have it already, or it is empty"
            )));
        }
        if place == MAX_ATTRIBUTES {
            return Err(value.complaint(format!("attributes are {MAX_ATTRIBUTES} at most")));
        }
        if name.len() > MAX_ATTRIBUTE || value.value.len() > MAX_ATTRIBUTE {
            return Err(value.complaint(format!(
                "names and values of attributes have {MAX_ATTRIBUTE} bytes at most"
            )));
        }
    }
    Ok(given.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect())
}

fn endpoints(list: &[Text]) -> Result<Vec<EndpointSpec>, Complaint> {
    list.iter()
        .map(|text| EndpointSpec::from_str(&text.value).map_err(|error| text.complaint(error)))
        .collect()
}

fn binding(
    text: &str,
    policy: &file::Policy,
    callers: &[Caller],
    services: &[Service],
) -> Result<Binding, Complaint> {
    let callers: Vec<&str> = callers.iter().map(|caller| caller.name.as_str()).collect();
    let services: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let caller = policy.caller.index_in("caller", &callers)?;
    let service = policy.service.index_in("service", &services)?;
    let (policy_in_force, rules) = rules(policy)?;
    Ok(Binding {
        caller,
        service,
        policy: Arc::new(policy_in_force),
        rules,
        target: policy.target.as_ref().map(Time::duration),
        place: beginning(text, policy),
    })
}

/// The policy, and the lines that say all of it.
fn rules(policy: &file::Policy) -> Result<(Policy, Vec<String>), Complaint> {
    let preset = policy.preset.as_ref();
    let wanted = preset.map_or(presets::DEFAULT, |name| name.value.as_str());
    let preset = Preset::find(wanted).ok_or_else(|| {
        let message = format!("{wanted:?} is no preset; there are {}", Preset::known(wanted));
        Complaint::maybe_at(preset.and_then(|name| name.span.clone()), message)
    })?;
    if let Some(name) = &policy.name {
        name.check_as_name("policy")?;
    }
    let name = policy.name.as_ref().map_or_else(
        || format!("{}:{}", policy.caller.value, policy.service.value),
        |name| name.value.clone(),
    );
    let mode = policy.mode.as_ref().map_or(Mode::Observe, |mode| mode.value);
    let rules = policy.rules().over(preset.rules.clone());
    // A complaint about the rules as a whole is shown where the policy begins.
    let resolved = rules
        .resolve(name, mode)
        .map_err(|complaint| complaint.or_at(policy.caller.span.clone()))?;
    let resolved = Policy { enforce_percent: enforce_percent(policy)?, ..resolved };
    Ok((resolved, rules.lines()))
}

fn enforce_percent(policy: &file::Policy) -> Result<u8, Complaint> {
    match &policy.enforce_percent {
        None => Ok(100),
        Some(percent) if (1..=100).contains(&percent.value) => Ok(percent.value),
        Some(percent) => Err(percent.complaint(
            "enforce_percent goes from 1 to 100; to shed nothing, write mode = \"observe\"",
        )),
    }
}

/// Where a policy begins, as far as it shows.
fn beginning(text: &str, policy: &file::Policy) -> (usize, usize) {
    policy.caller.span.as_ref().map_or((1, 1), |span| place(text, span.start))
}

fn unique<'a>(kind: &str, names: impl Iterator<Item = &'a Text>) -> Result<(), Complaint> {
    let mut seen = BTreeSet::new();
    for name in names {
        name.check_as_name(kind)?;
        if !seen.insert(&name.value) {
            let message = format!("a second {kind} is called {:?}; rename one", name.value);
            return Err(name.complaint(message));
        }
    }
    Ok(())
}

/// Refuses a policy that looks at no packet of a service whose answers are to be read.
fn unread_answers(
    policies: &[file::Policy],
    bindings: &[Binding],
    services: &[Service],
) -> Result<(), Complaint> {
    for (policy, binding) in policies.iter().zip(bindings) {
        let service = &services[binding.service];
        if service.protocol.is_some() && !binding.policy.answers {
            let message = format!(
                "answers = false leaves out the answers that protocol of service {:?} is about: remove one of them",
                service.name,
            );
            let place = policy.rules().answers.and_then(|answers| answers.span);
            return Err(Complaint::maybe_at(place, message).or_at(policy.caller.span.clone()));
        }
    }
    Ok(())
}

/// Refuses two policies that would decide about the same endpoint for the same caller. A network
/// around an address of another service is no overlap: the more precise entry decides.
fn overlaps(
    policies: &[file::Policy],
    bindings: &[Binding],
    services: &[Service],
) -> Result<(), Complaint> {
    let mut decided: BTreeMap<(usize, &EndpointSpec), usize> = BTreeMap::new();
    for (index, binding) in bindings.iter().enumerate() {
        let service = &services[binding.service];
        for endpoint in service.endpoints.iter().chain(&service.fallback) {
            let Some(first) = decided.insert((binding.caller, endpoint), index) else { continue };
            let (line, _) = bindings[first].place;
            let message = format!(
                "this policy and the one at line {line} both decide about {endpoint} for caller {:?}; remove one",
                policies[index].caller.value,
            );
            return Err(policies[index].service.complaint(message));
        }
    }
    Ok(())
}

/// Of one service.
const MAX_ATTRIBUTES: usize = 16;
/// Bytes of a name or a value.
const MAX_ATTRIBUTE: usize = 256;
