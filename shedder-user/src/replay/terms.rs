//! The rules a recording is played under, and whom they concern.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Node, Preset};
use crate::engine::{Mode, NodeRules, Policy};
use crate::recording::Name;

/// Rules that enforce, whatever mode they say.
#[derive(Debug)]
pub struct Terms {
    /// As people know them.
    pub name: String,
    pub(super) rules: NodeRules,
    pub(super) tick: Duration,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Everything(Arc<Policy>),
    File(Box<Config>),
}

impl Terms {
    /// Those of a preset, for everything there is.
    pub fn preset(preset: &Preset) -> Self {
        let Node { rules, tick, .. } = Node::default();
        let of = Of::Everything(enforcing(&preset.policy()));
        Self { name: preset.name.clone(), rules, tick, of }
    }

    /// Those of a policy file, for the callers, services and endpoints it names.
    pub fn file(name: &str, mut config: Config) -> Self {
        for binding in &mut config.bindings {
            binding.policy = enforcing(&binding.policy);
        }
        let Node { rules, tick, .. } = config.node.clone();
        Self { name: name.to_owned(), rules, tick, of: Of::File(Box::new(config)) }
    }

    /// What concerns a recorded cell; or why nothing does.
    pub(super) fn policy(&self, cell: &Name) -> Result<Arc<Policy>, String> {
        let config = match &self.of {
            Of::Everything(policy) => return Ok(Arc::clone(policy)),
            Of::File(config) => config,
        };
        let Name { caller, service, endpoint, .. } = cell;
        if config.callers.iter().all(|known| known.name != *caller) {
            return Err(format!("it has no caller {caller}"));
        }
        let Some(known) = config.services.iter().find(|known| known.name == *service) else {
            return Err(format!("it has no service {service}"));
        };
        if !known.endpoints.iter().chain(&known.fallback).any(|spec| spec.may_cover(*endpoint)) {
            return Err(format!("its service {service} does not list {endpoint}"));
        }
        let binding = config.bindings.iter().find(|binding| {
            config.callers[binding.caller].name == *caller
                && config.services[binding.service].name == *service
        });
        match binding {
            Some(binding) => Ok(Arc::clone(&binding.policy)),
            None => Err(format!("it has no policy for {caller} calling {service}")),
        }
    }
}

fn enforcing(policy: &Policy) -> Arc<Policy> {
    Arc::new(Policy { mode: Mode::Enforce, ..policy.clone() })
}
