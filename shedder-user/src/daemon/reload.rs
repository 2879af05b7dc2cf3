//! The policy file, taken up again while the daemon runs: when it changes, on SIGHUP, by order.
//!
//! Invariant: it is taken up as a whole or not at all. What can be refused is refused before anything
//! changes ([`plan`]), what can fail comes before what cannot be taken back, and cells that are the same
//! before and after keep breaker, evidence and slot.

mod fates;
mod plan;

use std::sync::Arc;

use shedder_common::time::Monotonic;
use tracing::info;

use super::cells::Target;
use super::destinations::Destinations;
use super::watch::Watch;
use super::{Daemon, established, journal};
use crate::api::Operator;
use crate::api::model::{By, Reload, Reloaded};
use crate::clock;
use crate::config::ConfigError;
use crate::engine::CellId;
use crate::kernel::SlotError;

use self::fates::Fates;
use self::plan::Plan;

/// What was found in the policy file.
pub(super) type Content = Result<Vec<u8>, ConfigError>;

/// Where the daemon stands with its policy file.
#[derive(Debug)]
pub(super) struct Standing {
    /// Of the configuration in force.
    pub(super) generation: u32,
    /// Since when it is in force.
    pub(super) since: Monotonic,
    /// Why what is in the file now is not in force.
    pub(super) error: Option<String>,
    /// What was last found, taken up or not.
    content: Content,
}

/// Why the file is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Occasion {
    /// It has changed.
    Change,
    /// SIGHUP.
    Signal,
    /// An order.
    Order(Operator),
}

impl Occasion {
    fn by(self) -> By {
        match self {
            Self::Change => By::file(),
            Self::Signal => By::signal(),
            Self::Order(operator) => journal::by(operator),
        }
    }
}

impl Standing {
    pub(super) const fn new(content: Vec<u8>, since: Monotonic) -> Self {
        Self { generation: 1, since, error: None, content: Ok(content) }
    }
}

impl Daemon {
    /// Takes up what the watch has found, unless somebody was faster.
    pub(super) fn take_change(&mut self, content: Content) {
        if content != self.standing.content {
            // Whoever is to know is told by journal and log.
            let _outcome = self.reload(content, Occasion::Change);
        }
    }

    /// Takes up what is in the file now.
    pub(super) fn reload_now(&mut self, occasion: Occasion) -> Result<Reloaded, String> {
        self.reload(self.source.read_again(), occasion)
    }

    /// Does, or only tells, what is ordered.
    pub(super) fn order_reload(
        &mut self,
        order: Reload,
        operator: Operator,
    ) -> Result<Reloaded, String> {
        if order.check {
            let plan = self.plan(&self.source.read_again(), clock::now())?;
            return Ok(self.reloaded(&plan, false));
        }
        self.reload_now(Occasion::Order(operator))
    }

    fn reload(&mut self, content: Content, occasion: Occasion) -> Result<Reloaded, String> {
        let by = occasion.by();
        info!(%by, "reading the policy file again");
        let now = clock::now();
        let plan = self.plan(&content, now);
        self.standing.content = content;
        let outcome = plan.and_then(|plan| self.take_up(plan, &by, now));
        self.standing.error = outcome.as_ref().err().cloned();
        match &outcome {
            Ok(reloaded) if !reloaded.applied => info!("nothing in it is different"),
            Ok(_) => {}
            Err(error) => self.journal.reload_failed(error, by),
        }
        outcome
    }

    /// Puts a configuration in the place of the running one.
    fn take_up(&mut self, plan: Plan, by: &By, now: Monotonic) -> Result<Reloaded, String> {
        let reloaded = self.reloaded(&plan, !plan.changes.is_empty());
        if !reloaded.applied {
            return Ok(reloaded);
        }
        let attached = self.guard.extend(&mut self.kernel, &plan.config, &plan.wanted);
        let attached = attached.map_err(|error| format!("{error:#}"))?;
        if let Err(error) = self.make_room(&plan, now) {
            self.guard.withdraw(&attached);
            return Err(error.to_string());
        }
        // From here on nothing fails but what concerns one cgroup or endpoint, which is told and passes.
        let Plan { config, wanted, destinations, fates, jiffies_per_second, .. } = plan;
        let watched = std::mem::replace(&mut self.config, Arc::new(config)).node.watch;
        self.standing.generation = reloaded.generation;
        self.standing.since = now;
        self.journal.reloaded(&reloaded, by.clone());
        self.apply_node(jiffies_per_second, watched);
        self.apply_policies(&fates, now);
        let followed = self.guard.follow(&mut self.kernel, &self.config, &wanted, now);
        for change in attached.iter().chain(&followed) {
            self.journal.guard(&self.config, change);
        }
        self.replace_cells(fates, destinations, now);
        self.metrics.follow(&self.config);
        established::prepare(self);
        self.settle(now);
        Ok(reloaded)
    }

    /// Gives new endpoints their slots and the kernel the networks to watch for besides; all or none.
    fn make_room(&mut self, plan: &Plan, now: Monotonic) -> Result<(), SlotError> {
        let Self { cells, kernel, engine, .. } = self;
        let mut made: Vec<CellId> = Vec::new();
        let mut make = || {
            for (binding, endpoint) in &plan.fates.added {
                let target = Target::named(*endpoint);
                let cell = cells.add(kernel, engine, &plan.config, *binding, target)?;
                made.extend(cell.map(|cell| cell.id));
            }
            for ((key, bits), kind) in &plan.destinations.announced {
                kernel.add_destination(*key, *bits, *kind)?;
            }
            Ok(())
        };
        let outcome = make();
        if outcome.is_err() {
            for id in made {
                // It was made a moment ago and can only be unmade by the same map.
                let _removed = self.cells.remove(&mut self.kernel, &mut self.engine, id, now);
            }
            self.restore_destinations(&plan.destinations);
        }
        outcome
    }

    /// Lets the kernel watch for exactly the networks it watched for before `failed` was tried.
    fn restore_destinations(&mut self, failed: &Destinations) {
        let Self { kernel, destinations, journal, .. } = self;
        let running = &destinations.announced;
        let mut outcomes = Vec::new();
        for (key, bits) in failed.announced.keys().filter(|it| !running.contains_key(it)) {
            outcomes.push(kernel.remove_destination(*key, *bits));
        }
        for ((key, bits), kind) in running {
            outcomes.push(kernel.add_destination(*key, *bits, *kind));
        }
        for error in outcomes.into_iter().filter_map(Result::err) {
            journal.error(&format!("networks to watch for are not as before: {error}"));
        }
    }

    fn apply_node(&mut self, jiffies_per_second: Option<u32>, watched: bool) {
        let node = &self.config.node;
        self.engine.replace_rules(node.rules.clone());
        self.jiffies_per_second = jiffies_per_second;
        if let Some(per_second) = jiffies_per_second {
            self.kernel.allow_holds(node.max_held, per_second);
        }
        if node.watch != watched {
            let content = self.standing.content.as_deref().unwrap_or_default();
            self.watch = Watch::new(&self.source, content, node.watch);
        }
        self.journal.limit(node.journal);
        self.names.follow(&self.config);
    }

    fn apply_policies(&mut self, fates: &Fates, now: Monotonic) {
        let Self { cells, engine, config, .. } = self;
        for kept in &fates.kept {
            let Some(cell) = cells.by_id_mut(kept.id) else { continue };
            let policy = &config.bindings[kept.binding].policy;
            if !Arc::ptr_eq(&cell.policy, policy) {
                engine.replace_policy(kept.id, Arc::clone(policy), now);
                cell.policy = Arc::clone(policy);
            }
            if cell.is_named && !kept.is_named {
                cell.used = now;
            }
            cells.set_named(kept.id, kept.is_named);
        }
    }

    /// Lets go of what the policy no longer has, and adds what only then has room.
    fn replace_cells(&mut self, fates: Fates, destinations: Destinations, now: Monotonic) {
        for id in fates.removed {
            self.forget(id, "the policy no longer has it", now);
        }
        for (binding, endpoint) in fates.moved {
            self.add(binding, Target::named(endpoint));
        }
        let old = std::mem::replace(&mut self.destinations, destinations);
        let Self { kernel, destinations, journal, cells, config, engine, .. } = self;
        for (key, bits) in old.announced.keys() {
            if !destinations.announced.contains_key(&(*key, *bits))
                && let Err(error) = kernel.remove_destination(*key, *bits)
            {
                journal.error(&format!("a network is still watched for: {error}"));
            }
        }
        cells.rank_again(config, &destinations.named);
        let index = |index: usize| u32::try_from(index).ok();
        engine.forget_groups(|caller, service| {
            let mut bindings = config.bindings.iter();
            bindings
                .any(|it| (index(it.caller), index(it.service)) == (Some(caller), Some(service)))
        });
    }
}
