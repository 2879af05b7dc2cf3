//! All ways of being refused side by side, and the two cgroups from which they are tried.
//!
//! Invariant: this process is guarded while it visits shedder, and at no other time; its children never are.

use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::arm::Arm;
use super::place::Place;
use crate::bench::machine;
use crate::bench::membership::Membership;
use crate::cgroup::Cgroup;
use crate::clock::{now, remaining};
use crate::interrupt;

/// Everything that is there. Dropped in the order of its fields.
#[derive(Debug)]
pub(super) struct Site {
    places: Vec<Place>,
    /// Where this process is while it is not guarded.
    outside: Membership,
    /// The one that shedder guards.
    inside: Cgroup,
    /// The client's.
    cpu: usize,
}

/// This process is guarded while it lives.
#[derive(Debug)]
struct Visit<'a>(&'a Cgroup);

impl Site {
    /// Builds all places, and then joins the cgroup, so that what was started is not in it.
    pub(super) fn build() -> Result<Self> {
        let inside = Cgroup::new("refused")?;
        let mut places = Vec::new();
        for arm in Arm::ALL {
            interrupt::check()?;
            places.push(Place::build(arm, inside.name())?);
        }
        let outside = Membership::join("refusing")?;
        let cpu = machine::available_cpus()?.last().copied().unwrap_or_default();
        Ok(Self { places, outside, inside, cpu })
    }

    /// Calls until proxies have ejected whatever they ever eject, and the verdict is in force.
    pub(super) fn settle(&self) -> Result<()> {
        let settled = now() + SETTLING;
        while remaining(settled).is_some() {
            interrupt::check()?;
            for place in &self.places {
                if let Arm::Proxy(_) = place.arm {
                    place.enter(|| place.call_for(PAUSE / 10, |_| ()))??;
                }
            }
            thread::sleep(PAUSE);
        }
        let deadline = now() + PATIENCE;
        while !self.visit(Arm::Shedder, |place, _| place.is_refusing())? {
            interrupt::check()?;
            ensure!(remaining(deadline).is_some(), "shedder does not refuse");
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Runs on a thread of its own where calls are refused in this way; it is told the client's CPU.
    pub(super) fn visit<T: Send>(
        &self,
        arm: Arm,
        run: impl FnOnce(&Place, usize) -> T + Send,
    ) -> Result<T> {
        let place = self.places.iter().find(|place| place.arm == arm);
        let place = place.with_context(|| format!("there is no place for {arm}"))?;
        let _visit = match arm {
            Arm::Shedder => {
                self.inside.admit(process::id())?;
                Some(Visit(self.outside.cgroup()))
            }
            Arm::ClosedPort | Arm::Nftables | Arm::Proxy(_) => None,
        };
        place.enter(|| run(place, self.cpu))
    }
}

impl Drop for Visit<'_> {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what went wrong")]
    fn drop(&mut self) {
        if let Err(error) = self.0.admit(process::id()) {
            eprintln!("cannot leave a guarded cgroup: {error:#}");
        }
    }
}

/// Longer than it takes a proxy to be sure: three checks of a second apart.
const SETTLING: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);
