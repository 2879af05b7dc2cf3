//! The programs on one cgroup, attached by links.
//!
//! Links, because another tool's bulk detach cannot remove them, and because they vanish with the
//! process unless they were pinned.

use aya::maps::{CgroupStorageKey, MapError};
use aya::programs::cgroup_skb::CgroupSkbLink;
use aya::programs::cgroup_sock_addr::CgroupSockAddrLink;
use aya::programs::links::{CgroupAttachMode, FdLink, LinkError, PinnedLink};
use aya::programs::sock_ops::SockOpsLink;
use aya::programs::{CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, ProgramError, SockOps};

use super::cause::errno;
use super::cgroup2::GuardedCgroup;
use super::load::Programs;
use super::pins::{PinError, Pins};

/// Programs attached to a cgroup; dropping it detaches them, connect programs first, unless they
/// are pinned.
#[derive(Debug)]
pub struct Attachment {
    // Fields drop in this order.
    _connect4: Hold,
    _connect6: Hold,
    _egress: Hold,
    _ingress: Hold,
    _sockops: Hold,
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
    /// A link could not be taken over.
    #[error("the link of the {hook} program cannot be kept: {source}")]
    Link {
        /// Which program.
        hook: &'static str,
        /// What is wrong with it.
        source: LinkError,
    },
    /// A link could not be pinned.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The caller's id could not be stored.
    #[error("the caller id cannot be stored for cgroup {cgroup}: {source}")]
    Caller {
        /// Where.
        cgroup: String,
        /// What the kernel said.
        source: MapError,
    },
}

impl Attachment {
    /// Attaches every program, connect programs last, so that no socket is tagged before the
    /// programs that read tags are in place. On an error nothing stays attached.
    pub(super) fn new(
        programs: &mut Programs,
        cgroup: GuardedCgroup,
        caller: u32,
        pins: Option<&Pins>,
    ) -> Result<Self, AttachError> {
        let taken = |hook, link: Result<FdLink, LinkError>| {
            link.map_err(|source| AttachError::Link { hook, source })
        };
        let sockops = taken("sockops", attach_sockops(programs, &cgroup)?.try_into())?;
        let ingress = taken("ingress", attach_skb(programs, &cgroup, "ingress")?.try_into())?;
        let egress = taken("egress", attach_skb(programs, &cgroup, "egress")?.try_into())?;
        let connect6 =
            taken("connect6", attach_connect(programs, &cgroup, "connect6")?.try_into())?;
        let connect4 =
            taken("connect4", attach_connect(programs, &cgroup, "connect4")?.try_into())?;
        for attach_type in [INET4_CONNECT, INET6_CONNECT] {
            let key = CgroupStorageKey::new(cgroup.id, attach_type);
            programs
                .callers
                .insert(key, caller, 0)
                .map_err(|source| AttachError::Caller { cgroup: cgroup.name.clone(), source })?;
        }
        // Pinned last: until then an error lets go of every link by itself.
        let keep = |hook, link| Hold::new(link, cgroup.id, hook, pins);
        Ok(Self {
            _connect4: keep("connect4", connect4)?,
            _connect6: keep("connect6", connect6)?,
            _egress: keep("egress", egress)?,
            _ingress: keep("ingress", ingress)?,
            _sockops: keep("sockops", sockops)?,
            cgroup,
        })
    }

    /// The guarded cgroup.
    pub const fn cgroup(&self) -> &GuardedCgroup {
        &self.cgroup
    }
}

impl Hold {
    /// Pins the link if links are pinned; when that fails, none of the cgroup's stays pinned.
    fn new(link: FdLink, cgroup: u64, hook: &str, pins: Option<&Pins>) -> Result<Self, PinError> {
        let Some(pins) = pins else { return Ok(Self::Link { _link: link }) };
        let pinned = pins.pin(link, cgroup, hook).inspect_err(|_| pins.forget(cgroup));
        Ok(Self::Pin { _pin: pinned? })
    }
}

fn attach_connect(
    programs: &mut Programs,
    cgroup: &GuardedCgroup,
    hook: &'static str,
) -> Result<CgroupSockAddrLink, AttachError> {
    let program: &mut CgroupSockAddr = program(programs, hook);
    program
        .attach(&cgroup.directory, CgroupAttachMode::Single)
        .and_then(|id| program.take_link(id))
        .map_err(|source| refused(hook, cgroup, source))
}

fn attach_skb(
    programs: &mut Programs,
    cgroup: &GuardedCgroup,
    hook: &'static str,
) -> Result<CgroupSkbLink, AttachError> {
    let direction = match hook {
        "ingress" => CgroupSkbAttachType::Ingress,
        _ => CgroupSkbAttachType::Egress,
    };
    let program: &mut CgroupSkb = program(programs, hook);
    program
        .attach(&cgroup.directory, direction, CgroupAttachMode::Single)
        .and_then(|id| program.take_link(id))
        .map_err(|source| refused(hook, cgroup, source))
}

fn attach_sockops(
    programs: &mut Programs,
    cgroup: &GuardedCgroup,
) -> Result<SockOpsLink, AttachError> {
    let program: &mut SockOps = program(programs, "sockops");
    program
        .attach(&cgroup.directory, CgroupAttachMode::Single)
        .and_then(|id| program.take_link(id))
        .map_err(|source| refused("sockops", cgroup, source))
}

fn program<'a, P>(programs: &'a mut Programs, hook: &str) -> &'a mut P
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let name = format!("shedder_{hook}");
    let program = programs.ebpf.program_mut(&name).expect("every program was loaded");
    program.try_into().expect("a program has the type it was loaded as")
}

fn refused(hook: &'static str, cgroup: &GuardedCgroup, source: ProgramError) -> AttachError {
    let hint = match errno(&source) {
        Some(rustix::io::Errno::PERM) => {
            "; another tool holds this cgroup or a parent exclusively: guard a cgroup above or beside it"
        }
        Some(rustix::io::Errno::BADF) => "; it is no directory of the cgroup2 hierarchy",
        _ => "",
    };
    AttachError::Attach { hook, cgroup: cgroup.name.clone(), source: Box::new(source), hint }
}

/// `BPF_CGROUP_INET4_CONNECT`
const INET4_CONNECT: u32 = 10;
/// `BPF_CGROUP_INET6_CONNECT`
const INET6_CONNECT: u32 = 11;
