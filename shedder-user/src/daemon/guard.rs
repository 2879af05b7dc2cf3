//! Which cgroups are guarded, followed as they come and go.

mod cohort;
mod following;
mod leaving;
mod place;
mod quiet;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::bail;

use shedder_common::caller::{ASKS_NETWORKS, ASKS_QUIET, ASKS_UDP, CallerRow, is_reached};
use shedder_common::time::Monotonic;

use self::leaving::Leaving;
use self::place::{Place, place};
use super::cells::caller_id;
use crate::config::Config;
use crate::engine::ShedAction;
use crate::kernel::{Attachment, Cgroup2, Kernel, Needs, PinError, Pins, is_pattern};

/// The guarded cgroups.
#[derive(Debug)]
pub(super) struct Guard {
    cgroup2: Cgroup2,
    pins: Option<Pins>,
    /// Tells this node's cgroups from those of others.
    node: String,
    /// By path.
    attached: BTreeMap<String, Guarded>,
    leaving: Leaving,
    /// Paths that could not be attached, so that each is complained about once.
    refused: BTreeMap<String, String>,
    /// Callers that have no room for further endpoints, so that the kernel does not tell of them.
    quiet: BTreeSet<usize>,
}

#[derive(Debug)]
struct Guarded {
    attachment: Attachment,
    caller: usize,
    row: CallerRow,
    needs: Needs,
}

/// What a configuration asks for, on this node, now.
#[derive(Debug)]
pub(super) struct GuardPlan {
    /// Paths and their callers. No path lies inside another.
    pub(super) wanted: BTreeMap<String, usize>,
    /// Patterns that match nothing.
    pub(super) unmatched: Vec<String>,
}

/// A cgroup came or went, or could not be guarded.
#[derive(Debug)]
pub(super) enum Change {
    Attached {
        path: String,
        caller: usize,
    },
    Detached {
        path: String,
        caller: usize,
    },
    /// The policy no longer names it, or not for this caller.
    Dropped {
        path: String,
        caller: usize,
    },
    Refused {
        path: String,
        why: String,
    },
}

impl Guard {
    pub(super) fn new(cgroup2: Cgroup2, pins: Option<Pins>) -> Self {
        let node = cohort::node();
        let (attached, refused, quiet) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { cgroup2, pins, node, attached, leaving: Leaving::default(), refused, quiet }
    }

    /// Where cgroups are.
    pub(super) fn mount(&self) -> &Path {
        self.cgroup2.mount()
    }

    /// Whether links are pinned.
    pub(super) const fn is_pinning(&self) -> bool {
        self.pins.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.attached.len()
    }

    /// Guarded paths, the callers they belong to, and their cohorts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, usize, u16)> {
        let guarded = self.attached.iter();
        guarded.map(|(path, guarded)| (path.as_str(), guarded.caller, guarded.row.cohort))
    }

    /// Of a caller's cgroups: for how many a policy acts that acts for some percent, and how many
    /// there are.
    pub(super) fn reached(&self, caller: usize, enforce_percent: u8) -> (usize, usize) {
        let own = || self.iter().filter(|(_, owner, _)| *owner == caller);
        let reached = own().filter(|(.., cohort)| is_reached(*cohort, enforce_percent));
        (reached.count(), own().count())
    }

    /// A cgroup that should be guarded and is not, and why.
    pub(super) fn first_refused(&self) -> Option<(&str, &str)> {
        self.refused.first_key_value().map(|(path, why)| (path.as_str(), why.as_str()))
    }

    /// The directories of a caller's guarded cgroups that a policy acts for.
    pub(super) fn directories(&self, caller: usize, enforce_percent: u8) -> Vec<PathBuf> {
        let reached = self
            .iter()
            .filter(|(_, owner, cohort)| *owner == caller && is_reached(*cohort, enforce_percent));
        let directory = |path: &str| self.cgroup2.mount().join(path.trim_start_matches('/'));
        reached.map(|(path, ..)| directory(path)).collect()
    }

    /// Works out what to guard. A path named without a wildcard must exist, unless `running` names it
    /// too: what has gone since may come again.
    pub(super) fn plan(
        cgroup2: &Cgroup2,
        config: &Config,
        running: Option<&Config>,
    ) -> anyhow::Result<GuardPlan> {
        let mut plan = GuardPlan { wanted: BTreeMap::new(), unmatched: Vec::new() };
        let mut found = Vec::new();
        for (caller, configured) in config.callers.iter().enumerate() {
            let known = running.and_then(|running| running.callers.get(caller));
            let is_known = |pattern| known.is_some_and(|known| known.cgroups.contains(pattern));
            for pattern in &configured.cgroups {
                let paths = cgroup2.matching(pattern)?;
                if paths.is_empty() {
                    if !is_pattern(pattern) && !is_known(pattern) {
                        bail!(
                            "caller {}: there is no cgroup {pattern} under {}; create it first, or write a pattern such as {pattern}* to guard it once it appears",
                            configured.name,
                            cgroup2.mount().display(),
                        );
                    }
                    plan.unmatched.push(pattern.clone());
                }
                let is_pattern = is_pattern(pattern);
                found.extend(paths.into_iter().map(|path| (path, caller, is_pattern)));
            }
        }
        // Parents before children.
        found.sort();
        for (path, caller, is_pattern) in found {
            match place(&plan.wanted, |owner| *owner, &path, caller) {
                Place::Free => {
                    plan.wanted.insert(path, caller);
                }
                // Who may make cgroups inside another caller's does not keep the daemon from starting; the
                // next look at what there is tells of it.
                Place::Contested(_) if is_pattern => {}
                Place::Covered => {}
                Place::Contested(other) => {
                    let name = |caller: usize| &config.callers[caller].name;
                    bail!(
                        "cgroup {path} of caller {} lies inside {other} of caller {}; make their patterns disjoint",
                        name(caller),
                        name(plan.wanted[&other]),
                    );
                }
            }
        }
        Ok(plan)
    }

    /// Attaches to every path or to none.
    pub(super) fn attach_all(
        &mut self,
        kernel: &mut Kernel,
        config: &Config,
        wanted: BTreeMap<String, usize>,
    ) -> anyhow::Result<Vec<Change>> {
        let mut changes = Vec::new();
        for (path, caller) in wanted {
            // On an error the attachments made so far are dropped with the daemon.
            self.attach(kernel, config, &path, caller)?;
            changes.push(Change::Attached { path, caller });
        }
        Ok(changes)
    }

    /// Lets go of cgroups that only an earlier daemon guarded; of how many.
    pub(super) fn drop_left(&self) -> Result<usize, PinError> {
        let Some(pins) = &self.pins else { return Ok(0) };
        pins.retain(&self.attached.values().map(|guarded| guarded.attachment.cgroup().id).collect())
    }

    /// Looks the patterns up again.
    pub(super) fn rescan(
        &mut self,
        kernel: &mut Kernel,
        config: &Config,
        now: Monotonic,
    ) -> Vec<Change> {
        let mut changes = self.drop_removed(now);
        'callers: for (caller, configured) in config.callers.iter().enumerate() {
            let mut attached = 0;
            for pattern in &configured.cgroups {
                match self.cgroup2.matching(pattern) {
                    Ok(paths) => {
                        for path in paths {
                            let change = self.consider(kernel, config, path, caller);
                            attached += u32::from(matches!(change, Some(Change::Attached { .. })));
                            changes.extend(change);
                            if attached == ATTACHED_AT_ONCE {
                                continue 'callers;
                            }
                        }
                    }
                    Err(error) => changes.extend(self.refuse(pattern.clone(), error.to_string())),
                }
            }
        }
        changes
    }

    /// Lets go of cgroups that no longer exist, and of their programs a little later.
    fn drop_removed(&mut self, now: Monotonic) -> Vec<Change> {
        let Self { cgroup2, pins, attached, leaving, refused, .. } = self;
        let gone = attached
            .extract_if(.., |path, guarded| !cgroup2.exists(path, guarded.attachment.cgroup().id));
        let changes = gone.map(|(path, Guarded { attachment, caller, .. })| {
            leaving.add(attachment, now);
            Change::Detached { path, caller }
        });
        let changes = changes.collect();
        while let Some(attachment) = leaving.take_due(now) {
            if let Some(pins) = pins {
                pins.forget(attachment.cgroup().id);
            }
        }
        refused.retain(|path, _| cgroup2.mount().join(path.trim_start_matches('/')).is_dir());
        changes
    }

    fn consider(
        &mut self,
        kernel: &mut Kernel,
        config: &Config,
        path: String,
        caller: usize,
    ) -> Option<Change> {
        match place(&self.attached, |guarded| guarded.caller, &path, caller) {
            Place::Covered => None,
            Place::Contested(other) => {
                let owner = self.attached.get(&other).map(|guarded| guarded.caller);
                let why = if owner == Some(caller) {
                    format!("{other} inside it is guarded already; restart to guard all of it")
                } else {
                    let name = &config.callers[caller].name;
                    format!("it lies inside or around {other}, which is not of caller {name}")
                };
                self.refuse(path, why)
            }
            Place::Free => match self.attach(kernel, config, &path, caller) {
                Ok(()) => Some(Change::Attached { path, caller }),
                Err(error) => self.refuse(path, format!("{error:#}")),
            },
        }
    }

    fn attach(
        &mut self,
        kernel: &mut Kernel,
        config: &Config,
        path: &str,
        caller: usize,
    ) -> anyhow::Result<()> {
        let cgroup = self.cgroup2.guard(path)?;
        let (row, needs) = (self.row(config, path, caller), needs(config, caller));
        let attachment = kernel.attach(cgroup, row, needs, self.pins.as_ref())?;
        let guarded = Guarded { attachment, caller, row, needs };
        self.attached.insert(path.to_owned(), guarded);
        self.refused.remove(path);
        Ok(())
    }

    fn row(&self, config: &Config, path: &str, caller: usize) -> CallerRow {
        let cohort = cohort::cohort(&self.node, path);
        let quiet = if self.quiet.contains(&caller) { ASKS_QUIET } else { 0 };
        CallerRow { id: caller_id(caller), asks: asks(config, caller) | quiet, cohort }
    }

    fn refuse(&mut self, path: String, why: String) -> Option<Change> {
        let before = self.refused.insert(path.clone(), why.clone());
        (before.as_ref() != Some(&why)).then_some(Change::Refused { path, why })
    }
}

/// What only some callers ask of the connect programs.
fn asks(config: &Config, caller: usize) -> u16 {
    let bindings = config.bindings.iter().filter(|binding| binding.caller == caller);
    bindings.fold(0, |asks, binding| {
        let service = &config.services[binding.service];
        let networks = if service.separate_networks { ASKS_NETWORKS } else { 0 };
        let udp = if service.udp { ASKS_UDP } else { 0 };
        asks | networks | udp
    })
}

/// What the policies of a caller need of the kernel: only what they need is attached.
fn needs(config: &Config, caller: usize) -> Needs {
    let bindings = || config.bindings.iter().filter(|binding| binding.caller == caller);
    let policies = || bindings().map(|binding| &binding.policy);
    Needs {
        packets: policies()
            .any(|policy| policy.answers || matches!(policy.shed, ShedAction::Delay(_))),
        peer_names: policies().any(|policy| matches!(policy.shed, ShedAction::Redirect(_))),
        datagrams: bindings().any(|binding| config.services[binding.service].udp),
    }
}

/// For each caller so few that verdicts are renewed in between, however many cgroups somebody makes.
const ATTACHED_AT_ONCE: u32 = 64;
