//! From the shape of the file to a configuration whose parts fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::error::{Complaint, place};
use super::file::{self, File};
use super::presets::{self, Preset};
use super::value::{Text, Time};
use super::{Binding, Caller, Config, EndpointSpec, Node, Service};
use crate::engine::{Mode, Policy};

pub(super) fn config(text: &str) -> Result<Config, Complaint> {
    let file: File = toml::from_str(text)?;
    let node = node(file.node.unwrap_or_default())?;
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
        .map(|policy| binding(policy, &callers, &services))
        .collect::<Result<Vec<_>, _>>()?;
    overlaps(text, &file.policy, &bindings, &services)?;
    Ok(Config { node, callers, services, bindings })
}

fn node(file: file::Node) -> Result<Node, Complaint> {
    let default = Node::default();
    let file::Node { tick, verdict_ttl, max_endpoints, socket, socket_group, pin_dir, rescan } =
        file;
    let second = Duration::from_secs(1);
    let tick = within("tick", tick, default.tick, second / 100, 10 * second)?;
    let verdict_ttl =
        within("verdict_ttl", verdict_ttl, default.verdict_ttl, tick * 3, 60 * second)?;
    let rescan = within("rescan", rescan, default.rescan, second / 20, 600 * second)?;
    if let Some(slots) = &max_endpoints
        && !(1..=shedder_common::map::MAX_SLOTS).contains(slots.get_ref())
    {
        let message = format!("max_endpoints is {}, outside 1 to 65536", slots.get_ref());
        return Err(Complaint::at(slots.span(), message));
    }
    Ok(Node {
        tick,
        verdict_ttl,
        max_endpoints: max_endpoints.map_or(default.max_endpoints, Spanned::into_inner),
        socket: socket.map_or(default.socket, PathBuf::from),
        socket_group,
        pin_dir: pin_dir.map_or(default.pin_dir, PathBuf::from),
        rescan,
    })
}

fn within(
    field: &str,
    given: Option<Time>,
    default: Duration,
    least: Duration,
    most: Duration,
) -> Result<Duration, Complaint> {
    let Some(given) = given else { return Ok(default.clamp(least, most)) };
    let duration = given.duration()?;
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    let message = format!("{field} is {duration:?}, outside {least:?} to {most:?}");
    Err(Complaint::at(given.span(), message))
}

fn caller(caller: &file::Caller) -> Result<Caller, Complaint> {
    let mut cgroups = Vec::new();
    for pattern in &caller.cgroups {
        let text = pattern.get_ref();
        if !text.starts_with('/') || text.trim_matches('/').is_empty() {
            let message = format!(
                "{text:?} is no cgroup pattern: it begins at the root of the hierarchy with a slash, and the root itself cannot be guarded"
            );
            return Err(Complaint::at(pattern.span(), message));
        }
        if text.split('/').any(|name| name == "." || name == "..") {
            let message = format!("{text:?} is no cgroup pattern: it must not contain . or ..");
            return Err(Complaint::at(pattern.span(), message));
        }
        if let Err(error) = glob::Pattern::new(text) {
            return Err(Complaint::at(
                pattern.span(),
                format!("{text:?} is no cgroup pattern: {error}"),
            ));
        }
        cgroups.push(text.clone());
    }
    if let Some(unit) = &caller.unit {
        let name = unit.get_ref();
        if !name.contains('.') || name.contains('/') {
            let message = format!("{name:?} is no systemd unit; write web.service or web.slice");
            return Err(Complaint::at(unit.span(), message));
        }
        cgroups.push(format!("/**/{name}"));
    }
    if cgroups.is_empty() {
        let name = caller.name.get_ref();
        let message = format!("caller {name:?} has no cgroups; set cgroups or unit");
        return Err(Complaint::at(caller.name.span(), message));
    }
    Ok(Caller { name: caller.name.get_ref().clone(), cgroups })
}

fn service(service: &file::Service) -> Result<Service, Complaint> {
    let endpoints = endpoints(&service.endpoints)?;
    if endpoints.is_empty() {
        let message = format!("service {:?} has no endpoints", service.name.get_ref());
        return Err(Complaint::at(service.name.span(), message));
    }
    let fallback = self::endpoints(&service.fallback)?;
    if let Some(at) = fallback.iter().position(|spec| !matches!(spec, EndpointSpec::Address(_))) {
        let span = service.fallback[at].span();
        return Err(Complaint::at(span, "a fallback is one address and port"));
    }
    Ok(Service { name: service.name.get_ref().clone(), endpoints, fallback })
}

fn endpoints(list: &[Text]) -> Result<Vec<EndpointSpec>, Complaint> {
    list.iter()
        .map(|text| {
            EndpointSpec::from_str(text.get_ref())
                .map_err(|error| Complaint::at(text.span(), error))
        })
        .collect()
}

fn binding(
    policy: &file::Policy,
    callers: &[Caller],
    services: &[Service],
) -> Result<Binding, Complaint> {
    let caller =
        known("caller", &policy.caller, callers.iter().map(|caller| caller.name.as_str()))?;
    let service =
        known("service", &policy.service, services.iter().map(|service| service.name.as_str()))?;
    let mode = match policy.mode.as_ref().map(|mode| mode.get_ref().as_str()) {
        None | Some("observe") => Mode::Observe,
        Some("enforce") => Mode::Enforce,
        Some(other) => {
            let span = policy.mode.as_ref().map_or(0..0, Spanned::span);
            return Err(Complaint::at(
                span,
                format!("{other:?} is no mode; use observe or enforce"),
            ));
        }
    };
    Ok(Binding { caller, service, policy: Arc::new(rules(policy, mode)?) })
}

fn rules(policy: &file::Policy, mode: Mode) -> Result<Policy, Complaint> {
    let preset = policy.preset.as_ref().map_or(presets::DEFAULT, |name| name.get_ref());
    let preset = Preset::find(preset).ok_or_else(|| {
        let known: Vec<_> = presets::presets().iter().map(|preset| preset.name.as_str()).collect();
        let span = policy.preset.as_ref().map_or(0..0, Spanned::span);
        let message = format!("{preset:?} is no preset; there are {}", known.join(", "));
        Complaint::at(span, message)
    })?;
    let name = policy.name.as_ref().map_or_else(
        || format!("{}:{}", policy.caller.get_ref(), policy.service.get_ref()),
        |name| name.get_ref().clone(),
    );
    // A complaint about the rules as a whole is shown where the policy begins.
    policy
        .rules()
        .over(preset.rules.clone())
        .resolve(name, mode)
        .map_err(|complaint| complaint.or_at(policy.caller.span()))
}

fn known<'a>(
    kind: &str,
    name: &Text,
    names: impl Iterator<Item = &'a str>,
) -> Result<usize, Complaint> {
    let names: Vec<&str> = names.collect();
    names.iter().position(|known| *known == name.get_ref()).ok_or_else(|| {
        let wanted = name.get_ref();
        let message = if names.is_empty() {
            format!("no {kind} is called {wanted:?}: the file has no [[{kind}]]")
        } else {
            format!("no {kind} is called {wanted:?}; there are {}", names.join(", "))
        };
        Complaint::at(name.span(), message)
    })
}

fn unique<'a>(kind: &str, names: impl Iterator<Item = &'a Text>) -> Result<(), Complaint> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.get_ref().is_empty() {
            return Err(Complaint::at(name.span(), format!("a {kind} needs a name")));
        }
        if !seen.insert(name.get_ref()) {
            let message = format!("a second {kind} is called {:?}; rename one", name.get_ref());
            return Err(Complaint::at(name.span(), message));
        }
    }
    Ok(())
}

/// Refuses two policies that would decide about the same endpoint for the same caller. A network
/// around an address of another service is no overlap: the more precise entry decides.
fn overlaps(
    text: &str,
    policies: &[file::Policy],
    bindings: &[Binding],
    services: &[Service],
) -> Result<(), Complaint> {
    let mut decided: BTreeMap<(usize, &EndpointSpec), usize> = BTreeMap::new();
    for (index, binding) in bindings.iter().enumerate() {
        let service = &services[binding.service];
        for endpoint in service.endpoints.iter().chain(&service.fallback) {
            let Some(first) = decided.insert((binding.caller, endpoint), index) else { continue };
            let (line, _) = place(text, policies[first].caller.span().start);
            let message = format!(
                "this policy and the one at line {line} both decide about {endpoint} for caller {:?}; remove one",
                policies[index].caller.get_ref(),
            );
            return Err(Complaint::at(policies[index].service.span(), message));
        }
    }
    Ok(())
}
