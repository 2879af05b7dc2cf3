//! Everything the arms of a comparison share: the programs, the cgroups, the CPUs.
//!
//! Invariant: an arm is done the same way wherever it is measured.

use anyhow::Result;

use super::comparison::Arm;
use super::crew::Crew;
use super::crowd::Crowd;
use super::guard::Guard;
use crate::bench::ground::Ground;
use crate::bench::server::Server;
use crate::cgroup::Cgroup;
use crate::interrupt;

/// What is made once for all arms.
#[derive(Debug)]
pub(in crate::bench) struct Stage<'a> {
    guard: Guard,
    crowd: Crowd<'a>,
    /// Where the second client is, of the arms that have two.
    second_cpu: usize,
}

impl<'a> Stage<'a> {
    /// For a client in `cgroup`.
    pub(in crate::bench) fn set(ground: &Ground, cgroup: &'a Cgroup) -> Result<Self> {
        let crowd = Crowd::gather(cgroup)?;
        let guard = Guard::load(cgroup, &crowd)?;
        Ok(Self { guard, crowd, second_cpu: ground.server_cpu })
    }

    /// Attaches what an arm asks for, warms up for `operations`, and works as `work` says.
    pub(super) fn perform<T>(
        &mut self,
        arm: &Arm,
        operations: usize,
        work: impl FnOnce(&mut Crew<'_>) -> Result<T>,
    ) -> Result<T> {
        interrupt::check()?;
        let attachments = self.guard.attach(arm.attached)?;
        let mut crew = Crew::hire(&arm.operation, &self.crowd, self.second_cpu)?;
        crew.work(operations / 10, &mut Vec::new())?;
        let result = work(&mut crew)?;
        drop((crew, attachments));
        Server::settle()?;
        Ok(result)
    }
}
