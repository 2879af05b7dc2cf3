//! The guarded cgroups under another configuration.
//!
//! Invariant: a cgroup that is guarded before and after is guarded in between, with every program
//! that both need.

use std::collections::BTreeMap;

use shedder_common::time::Monotonic;

use super::place::is_inside;
use super::{Change, Guard, GuardPlan, Guarded, needs};
use crate::config::Config;
use crate::kernel::Kernel;

impl Guard {
    /// What another configuration asks for, whose places are those of the `running` one.
    pub(in crate::daemon) fn plan_anew(
        &self,
        config: &Config,
        running: &Config,
    ) -> anyhow::Result<GuardPlan> {
        Self::plan(&self.cgroup2, config, Some(running))
    }

    /// Attaches to what is to be guarded besides, as far as nothing guarded now is in the way; to all of
    /// it or none.
    pub(in crate::daemon) fn extend(
        &mut self,
        kernel: &mut Kernel,
        config: &Config,
        wanted: &BTreeMap<String, usize>,
    ) -> anyhow::Result<Vec<Change>> {
        let is_near = |path: &str, other: &str| is_inside(path, other) || is_inside(other, path);
        let is_free = |path: &str| self.attached.keys().all(|other| !is_near(path, other));
        let besides = wanted.iter().filter(|(path, _)| is_free(path));
        let besides: Vec<(String, usize)> =
            besides.map(|(path, caller)| (path.clone(), *caller)).collect();
        let mut changes = Vec::new();
        for (path, caller) in besides {
            if let Err(error) = self.attach(kernel, config, &path, caller) {
                self.withdraw(&changes);
                return Err(error);
            }
            changes.push(Change::Attached { path, caller });
        }
        Ok(changes)
    }

    /// Takes back what [`Guard::extend`] did.
    pub(in crate::daemon) fn withdraw(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Attached { path, .. } = change {
                self.detach(path);
            }
        }
    }

    /// Lets exactly what is wanted be guarded, as the callers it now belongs to.
    pub(in crate::daemon) fn follow(
        &mut self,
        kernel: &mut Kernel,
        config: &Config,
        wanted: &BTreeMap<String, usize>,
        now: Monotonic,
    ) -> Vec<Change> {
        self.refused.clear();
        let mut changes = self.drop_removed(now);
        let dropped: Vec<String> =
            self.attached.keys().filter(|path| !wanted.contains_key(*path)).cloned().collect();
        for path in dropped {
            let caller = self.detach(&path);
            changes.extend(caller.map(|caller| Change::Dropped { path, caller }));
        }
        for (path, caller) in wanted {
            if self.attached.contains_key(path) {
                self.adapt(kernel, config, path, *caller, &mut changes);
            } else {
                match self.attach(kernel, config, path, *caller) {
                    Ok(()) => {
                        changes.push(Change::Attached { path: path.clone(), caller: *caller });
                    }
                    Err(error) => changes.extend(self.refuse(path.clone(), format!("{error:#}"))),
                }
            }
        }
        changes
    }

    fn adapt(
        &mut self,
        kernel: &mut Kernel,
        config: &Config,
        path: &str,
        caller: usize,
        changes: &mut Vec<Change>,
    ) {
        let (row, needs) = (self.row(config, path, caller), needs(config, caller));
        let Some(guarded) = self.attached.get_mut(path) else { return };
        if (guarded.row, guarded.needs) == (row, needs) {
            return;
        }
        if let Err(error) = kernel.adapt(&mut guarded.attachment, row, needs, self.pins.as_ref()) {
            changes.extend(self.refuse(path.to_owned(), format!("{error:#}")));
            return;
        }
        if guarded.caller != caller {
            let path = || path.to_owned();
            changes.push(Change::Dropped { path: path(), caller: guarded.caller });
            changes.push(Change::Attached { path: path(), caller });
        }
        (guarded.caller, guarded.row, guarded.needs) = (caller, row, needs);
    }

    /// Lets go of a cgroup; the caller it belonged to.
    fn detach(&mut self, path: &str) -> Option<usize> {
        let Guarded { attachment, caller, .. } = self.attached.remove(path)?;
        if let Some(pins) = &self.pins {
            pins.forget(attachment.cgroup().id);
        }
        Some(caller)
    }
}
