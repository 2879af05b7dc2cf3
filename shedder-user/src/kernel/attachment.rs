//! The programs on one cgroup, attached by links.
//!
//! Links, because another tool's bulk detach cannot remove them, and because they vanish with the
//! process unless they were pinned.

use std::io;
use std::path::PathBuf;

use aya::maps::{CgroupStorageKey, MapError};
use aya::programs::ProgramError;
use aya::programs::links::{FdLink, LinkError, PinnedLink};

use shedder_common::caller::CallerRow;

use super::cgroup2::GuardedCgroup;
use super::hook::{Hook, Needs};
use super::load::{CallerBytes, Programs};
use super::pins::{PinError, Pins};
use super::relink::relink;

/// Programs attached to a cgroup; dropping it detaches them, connect programs first, unless they
/// are pinned.
#[derive(Debug)]
pub struct Attachment {
    /// In the order in which they are let go.
    holds: Vec<(Hook, Hold)>,
    cgroup: GuardedCgroup,
}

/// What keeps a program attached.
#[derive(Debug)]
enum Hold {
    /// This process.
    Link { _link: FdLink },
    /// A file in bpffs, which outlives it.
    Pin { _pin: PinnedLink },
}

/// Why a cgroup is not guarded.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused a link.
    #[error("the {hook} program cannot be attached to cgroup {cgroup}: {source}{hint}")]
    Attach {
        /// Which program.
        hook: &'static str,
        /// Where.
        cgroup: String,
        /// What the kernel said.
        source: Box<ProgramError>,
        /// What it usually means.
        hint: &'static str,
    },
    /// A program of somebody else does not share its cgroup.
    #[error("the {hook} program cannot be attached to cgroup {cgroup}: {obstacle}")]
    InTheWay {
        /// Which program.
        hook: &'static str,
        /// Where.
        cgroup: String,
        /// Whose it is, and what to do.
        obstacle: String,
    },
    /// A link could not be taken over.
    #[error("the link of the {hook} program cannot be kept: {source}")]
    Link {
        /// Which program.
        hook: &'static str,
        /// What is wrong with it.
        source: LinkError,
    },
    /// A link of an earlier daemon could not be taken over.
    #[error("the {hook} program cannot take the place of an earlier shedder's at {path}: {source}")]
    TakeOver {
        /// Which program.
        hook: &'static str,
        /// Where the link is pinned.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A link could not be pinned.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The caller could not be made known.
    #[error("the caller cannot be made known for cgroup {cgroup}: {source}")]
    Caller {
        /// Where.
        cgroup: String,
        /// What the kernel said.
        source: MapError,
    },
}

impl Attachment {
    /// Attaches the programs that are needed, connect programs last. On an error nothing stays
    /// attached.
    pub(super) fn new(
        programs: &mut Programs,
        cgroup: GuardedCgroup,
        caller: CallerRow,
        needs: Needs,
        pins: Option<&Pins>,
    ) -> Result<Self, AttachError> {
        let mut attachment = Self { holds: Vec::new(), cgroup };
        let outcome = attachment.take_over(programs, needs, pins);
        let outcome = outcome.and_then(|()| attachment.adapt(programs, caller, needs, pins));
        // When that fails, nothing of the cgroup's stays pinned.
        let id = attachment.cgroup.id;
        outcome.inspect_err(|_| pins.into_iter().for_each(|pins| pins.forget(id)))?;
        Ok(attachment)
    }

    /// Lets the links an earlier daemon has left for this cgroup run the programs of this one.
    fn take_over(
        &mut self,
        programs: &Programs,
        needs: Needs,
        pins: Option<&Pins>,
    ) -> Result<(), AttachError> {
        let Some(pins) = pins else { return Ok(()) };
        for hook in Hook::ALL {
            let Some(path) = pins.left(self.cgroup.id, hook) else { continue };
            if !hook.is_needed(needs) {
                pins.unpin(self.cgroup.id, hook);
                continue;
            }
            let failed =
                |source| AttachError::TakeOver { hook: hook.name(), path: path.clone(), source };
            relink(
                &path,
                hook.program_fd(programs).map_err(|error| failed(io::Error::other(error)))?,
            )
            .map_err(failed)?;
            let pin = PinnedLink::from_pin(&path);
            let pin = pin.map_err(|source| AttachError::Link { hook: hook.name(), source })?;
            self.holds.push((hook, Hold::Pin { _pin: pin }));
        }
        Ok(())
    }

    /// Makes the cgroup known as `caller` and lets exactly the programs that are needed be attached,
    /// without a moment in which one that stays is not.
    pub(super) fn adapt(
        &mut self,
        programs: &mut Programs,
        caller: CallerRow,
        needs: Needs,
        pins: Option<&Pins>,
    ) -> Result<(), AttachError> {
        let needed = || Hook::ALL.into_iter().filter(|hook| hook.is_needed(needs));
        let mut links = Vec::new();
        for hook in needed().filter(|hook| self.holds.iter().all(|(held, _)| held != hook)) {
            links.push((hook, hook.attach(programs, &self.cgroup)?));
        }
        introduce(programs, &self.cgroup, caller, needed())?;
        for (hook, link) in links {
            let hold = Hold::new(link, self.cgroup.id, hook, pins)?;
            self.holds.push((hook, hold));
        }
        let place = |hook: &Hook| Hook::ALL.iter().rev().position(|other| other == hook);
        self.holds.sort_by_key(|(hook, _)| place(hook));
        self.holds.retain(|(hook, _)| {
            let is_needed = hook.is_needed(needs);
            if let (false, Some(pins)) = (is_needed, pins) {
                pins.unpin(self.cgroup.id, *hook);
            }
            is_needed
        });
        Ok(())
    }

    /// The guarded cgroup.
    pub const fn cgroup(&self) -> &GuardedCgroup {
        &self.cgroup
    }
}

impl Hold {
    /// Pins the link if links are pinned.
    fn new(link: FdLink, cgroup: u64, hook: Hook, pins: Option<&Pins>) -> Result<Self, PinError> {
        let Some(pins) = pins else { return Ok(Self::Link { _link: link }) };
        Ok(Self::Pin { _pin: pins.pin(link, cgroup, hook.name())? })
    }
}

/// Tells the programs that ask for it who the caller is.
fn introduce(
    programs: &mut Programs,
    cgroup: &GuardedCgroup,
    caller: CallerRow,
    hooks: impl Iterator<Item = Hook>,
) -> Result<(), AttachError> {
    for attach_type in hooks.filter_map(Hook::storage) {
        let key = CgroupStorageKey::new(cgroup.id, attach_type);
        programs
            .callers
            .insert(key, bytemuck::cast::<_, CallerBytes>(caller), 0)
            .map_err(|source| AttachError::Caller { cgroup: cgroup.name.clone(), source })?;
    }
    Ok(())
}
