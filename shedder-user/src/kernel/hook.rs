//! The programs, and where in the kernel each of them runs.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::programs::links::{CgroupAttachMode, FdLink, LinkError};
use aya::programs::{CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, ProgramError, SockOps};

use super::attachment::AttachError;
use super::cause::errno;
use super::cgroup2::GuardedCgroup;
use super::foreign::{self, Obstacle};
use super::load::Programs;

/// A place in the kernel where a program of ours runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Sockops,
    Ingress,
    Egress,
    PeerName4,
    PeerName6,
    ReceivedFrom4,
    ReceivedFrom6,
    SendTo6,
    SendTo4,
    Connect6,
    Connect4,
}

/// What the policies of a caller need besides connects and the life of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// A look at packets: when requests leave and answers come, and holding a SYN.
    pub packets: bool,
    /// Showing a connection that was redirected the peer it asked for.
    pub peer_names: bool,
    /// A look at datagrams sent without a connect.
    pub datagrams: bool,
}

impl Hook {
    /// In the order of attaching: those that decide come last, so that no socket is tagged before the
    /// programs that read tags are in place.
    pub(super) const ALL: [Self; 11] = [
        Self::Sockops,
        Self::Ingress,
        Self::Egress,
        Self::PeerName4,
        Self::PeerName6,
        Self::ReceivedFrom4,
        Self::ReceivedFrom6,
        Self::SendTo6,
        Self::SendTo4,
        Self::Connect6,
        Self::Connect4,
    ];

    /// The name for people and pins.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sockops => "sockops",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::PeerName4 => "getpeername4",
            Self::PeerName6 => "getpeername6",
            Self::ReceivedFrom4 => "recvmsg4",
            Self::ReceivedFrom6 => "recvmsg6",
            Self::SendTo6 => "sendmsg6",
            Self::SendTo4 => "sendmsg4",
            Self::Connect6 => "connect6",
            Self::Connect4 => "connect4",
        }
    }

    pub(super) const fn is_needed(self, needs: Needs) -> bool {
        match self {
            Self::Sockops | Self::Connect6 | Self::Connect4 => true,
            Self::Ingress | Self::Egress => needs.packets,
            Self::PeerName4 | Self::PeerName6 => needs.peer_names,
            Self::ReceivedFrom4 | Self::ReceivedFrom6 => needs.datagrams && needs.peer_names,
            Self::SendTo4 | Self::SendTo6 => needs.datagrams,
        }
    }

    /// For a program that asks who the caller is: the kind of attachment its cgroup storage belongs to.
    pub(super) const fn storage(self) -> Option<u32> {
        match self {
            Self::Connect4 | Self::Connect6 | Self::SendTo4 | Self::SendTo6 => {
                Some(self.attach_type())
            }
            Self::Sockops
            | Self::Ingress
            | Self::Egress
            | Self::PeerName4
            | Self::PeerName6
            | Self::ReceivedFrom4
            | Self::ReceivedFrom6 => None,
        }
    }

    /// From `enum bpf_attach_type`, which aya keeps to itself.
    pub(super) const fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => 0,
            Self::Egress => 1,
            Self::Sockops => 3,
            Self::Connect4 => 10,
            Self::Connect6 => 11,
            Self::SendTo4 => 14,
            Self::SendTo6 => 15,
            Self::ReceivedFrom4 => 19,
            Self::ReceivedFrom6 => 20,
            Self::PeerName4 => 29,
            Self::PeerName6 => 30,
        }
    }

    /// Has the kernel verify the program.
    pub(super) fn load(self, programs: &mut aya::Ebpf) -> Result<(), ProgramError> {
        let program = programs
            .program_mut(&self.program())
            .expect("the object has the program of every hook");
        match self {
            Self::Sockops => <&mut SockOps>::try_from(program)?.load(),
            Self::Ingress | Self::Egress => <&mut CgroupSkb>::try_from(program)?.load(),
            Self::PeerName4
            | Self::PeerName6
            | Self::ReceivedFrom4
            | Self::ReceivedFrom6
            | Self::SendTo6
            | Self::SendTo4
            | Self::Connect6
            | Self::Connect4 => <&mut CgroupSockAddr>::try_from(program)?.load(),
        }
    }

    /// Attaches the program, by a link that ends with its value.
    pub(super) fn attach(
        self,
        programs: &mut Programs,
        cgroup: &GuardedCgroup,
    ) -> Result<FdLink, AttachError> {
        let directory = &cgroup.directory;
        let obstacle = foreign::obstacle(&cgroup.mount, &cgroup.name, self);
        if let Some(obstacle) = obstacle.filter(|it| it.manner == foreign::Manner::Yields) {
            return Err(in_the_way(self, cgroup, &obstacle));
        }
        let mode = CgroupAttachMode::Single;
        let program = programs
            .ebpf
            .program_mut(&self.program())
            .expect("the object has the program of every hook");
        let link: Result<Result<FdLink, LinkError>, ProgramError> = match self {
            Self::Sockops => <&mut SockOps>::try_from(program).and_then(|program| {
                let id = program.attach(directory, mode)?;
                Ok(program.take_link(id)?.try_into())
            }),
            Self::Ingress | Self::Egress => {
                <&mut CgroupSkb>::try_from(program).and_then(|program| {
                    let direction = if self == Self::Ingress {
                        CgroupSkbAttachType::Ingress
                    } else {
                        CgroupSkbAttachType::Egress
                    };
                    let id = program.attach(directory, direction, mode)?;
                    Ok(program.take_link(id)?.try_into())
                })
            }
            Self::PeerName4
            | Self::PeerName6
            | Self::ReceivedFrom4
            | Self::ReceivedFrom6
            | Self::SendTo6
            | Self::SendTo4
            | Self::Connect6
            | Self::Connect4 => <&mut CgroupSockAddr>::try_from(program).and_then(|program| {
                let id = program.attach(directory, mode)?;
                Ok(program.take_link(id)?.try_into())
            }),
        };
        let hook = self.name();
        link.map_err(|source| refused(self, cgroup, source))?
            .map_err(|source| AttachError::Link { hook, source })
    }

    /// The program, for the kernel.
    pub(super) fn program_fd(self, programs: &Programs) -> Result<BorrowedFd<'_>, ProgramError> {
        let program = programs.ebpf.program(&self.program());
        let program = program.expect("the object has the program of every hook");
        Ok(program.fd()?.as_fd())
    }

    fn program(self) -> String {
        format!("shedder_{}", self.name())
    }
}

fn refused(hook: Hook, cgroup: &GuardedCgroup, source: ProgramError) -> AttachError {
    let hint = match errno(&source) {
        Some(rustix::io::Errno::PERM) => match foreign::obstacle(&cgroup.mount, &cgroup.name, hook)
        {
            Some(obstacle) => return in_the_way(hook, cgroup, &obstacle),
            None => {
                "; another tool holds this cgroup or a parent exclusively: guard a cgroup above or beside it"
            }
        },
        Some(rustix::io::Errno::BADF) => "; it is no directory of the cgroup2 hierarchy",
        _ => "",
    };
    AttachError::Attach {
        hook: hook.name(),
        cgroup: cgroup.name.clone(),
        source: Box::new(source),
        hint,
    }
}

fn in_the_way(hook: Hook, cgroup: &GuardedCgroup, obstacle: &Obstacle) -> AttachError {
    let (hook, cgroup) = (hook.name(), cgroup.name.clone());
    AttachError::InTheWay { hook, cgroup, obstacle: obstacle.to_string() }
}
