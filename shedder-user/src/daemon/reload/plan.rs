//! What a policy file would change, before anything is changed.
//!
//! Invariant: making a plan changes nothing, and whatever can be refused is refused here.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use shedder_common::time::Monotonic;

use super::Content;
use super::fates::{Fates, Kept, Known};
use crate::api::model::{self, Reloaded};
use crate::config::Config;
use crate::daemon::destinations::Destinations;
use crate::daemon::{Daemon, start};

/// A configuration that can take the place of the running one, and what that means.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) changes: Vec<String>,
    /// Cgroups to be guarded, and their callers.
    pub(super) wanted: BTreeMap<String, usize>,
    pub(super) destinations: Destinations,
    pub(super) fates: Fates,
    pub(super) jiffies_per_second: Option<u32>,
}

impl Daemon {
    /// Works out what taking up `content` would change; or why it cannot be.
    pub(super) fn plan(&mut self, content: &Content, now: Monotonic) -> Result<Plan, String> {
        self.try_plan(content, now).map_err(|error| format!("{error:#}"))
    }

    fn try_plan(&mut self, content: &Content, now: Monotonic) -> anyhow::Result<Plan> {
        let config = self.source.parse(content.as_ref().map_err(Clone::clone)?)?;
        self.require_changeable(&config)?;
        let config = config.taking_over(&self.config, self.standing.generation + 1);
        let about_file = || self.source.complain(None, "it cannot be taken up");
        let guarding = self.guard.plan_anew(&config, &self.config).with_context(about_file)?;
        let destinations = Destinations::of(&config, &self.names);
        let fates = Fates::of(self.cells.iter().map(Known::of), &config, &destinations);
        let (needed, free) = (fates.added.len() + fates.moved.len(), self.kernel.free_slots(now));
        if needed > free {
            bail!(
                "{needed} endpoints want a slot and {free} are free: raise max_endpoints in [node] and restart"
            );
        }
        let jiffies_per_second = match self.jiffies_per_second {
            None => start::jiffies(&config, &mut self.kernel)?,
            known => known,
        };
        let (changes, wanted) = (self.config.changes(&config), guarding.wanted);
        Ok(Plan { config, changes, wanted, destinations, fates, jiffies_per_second })
    }

    /// Refuses what was decided for good when the daemon started.
    fn require_changeable(&self, config: &Config) -> anyhow::Result<()> {
        if let Some(setting) = self.config.node.fixed_difference(&config.node) {
            let message = format!("{setting} in [node] is fixed while the daemon runs: restart it");
            bail!(self.source.complain(None, &message));
        }
        let needing = config.bindings.iter().find(|binding| binding.policy.needs_round_trips());
        if let Some(binding) = needing
            && !self.kernel.measures_round_trips()
        {
            let message = "rules about round-trip times are new here: restart the daemon, which does not measure them so far";
            bail!(self.source.complain(Some(binding.place), message));
        }
        Ok(())
    }

    /// What people are told of a plan.
    pub(super) fn reloaded(&self, plan: &Plan, applied: bool) -> Reloaded {
        let is_same = |kept: &&Kept| {
            let policy = &plan.config.bindings[kept.binding].policy;
            self.cells.by_id(kept.id).is_some_and(|cell| Arc::ptr_eq(&cell.policy, policy))
        };
        let fates = &plan.fates;
        let kept = fates.kept.iter().filter(is_same).count();
        let breakers = model::Fates {
            kept,
            changed: fates.kept.len() - kept,
            added: fates.added.len() + fates.moved.len(),
            removed: fates.removed.len(),
        };
        let generation = self.standing.generation + u32::from(applied);
        Reloaded { applied, generation, changes: plan.changes.clone(), breakers }
    }
}
