//! Cgroup programs of others: another breaker, a load balancer, a firewall, a tuner, each as small as it
//! can be.
//!
//! Invariant: nothing of shedder's is used, and a program is detached when its value is dropped.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};

use crate::attached::Hook;
use crate::cgroup::Cgroup;

mod instruction;
mod system_call;

use instruction::Instruction;
use system_call::{Manner, attach, detach, id, link, load};

/// What a program of somebody else does.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// Refuses IPv4 connects to a port, with an error number or, as most do, without one.
    Deny {
        /// Which port.
        port: u16,
        /// Which error.
        errno: Option<i32>,
    },
    /// As [`Program::Deny`], without an error number, for IPv6.
    Deny6 {
        /// Which port.
        port: u16,
    },
    /// Sends IPv4 connects to one address elsewhere, as a load balancer for sockets does.
    Balance {
        /// The address that is asked for.
        from: SocketAddrV4,
        /// Where it is.
        to: SocketAddrV4,
    },
    /// Drops what leaves for an address.
    DropTo(Ipv4Addr),
    /// Drops what comes from an address.
    DropFrom(Ipv4Addr),
    /// Sets the timer of the first SYN, in jiffies; without one it says nothing. Returns `returns`.
    SynTimer {
        /// The timer.
        jiffies: Option<i32>,
        /// Zero is what takes back the answers of all programs.
        returns: i32,
    },
    /// Once a connection is established, has no program be told of anything on it any more.
    Deafen,
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a link, which lets others be.
    Link,
    /// As programs were attached before there were links, letting others be.
    Multi,
    /// Until a cgroup below has a program of its own.
    Overridable,
    /// Alone.
    Exclusive,
}

/// An attached program.
#[derive(Debug)]
pub struct Foreign {
    program: OwnedFd,
    cgroup: File,
    hook: Hook,
    /// What keeps it attached, where that is a link.
    link: Option<OwnedFd>,
}

impl Foreign {
    /// Attaches a program to a cgroup, behind those there are. Needs root.
    pub fn attach(cgroup: &Cgroup, program: Program, mode: Mode) -> Result<Self> {
        let hook = program.hook();
        let directory = File::open(cgroup.path()).context("the cgroup is there")?;
        let loaded = load(program.kind(), hook, &program.instructions())
            .with_context(|| format!("the kernel refuses {program:?}"))?;
        let outcome = match mode {
            Mode::Link => link(&loaded, &directory, hook).map(Some),
            Mode::Multi => attach(&loaded, &directory, hook, Manner::Multi).map(|()| None),
            Mode::Overridable => {
                attach(&loaded, &directory, hook, Manner::Overridable).map(|()| None)
            }
            Mode::Exclusive => attach(&loaded, &directory, hook, Manner::Exclusive).map(|()| None),
        };
        let link = outcome
            .with_context(|| format!("{program:?} cannot be attached to {}", cgroup.name()))?;
        Ok(Self { program: loaded, cgroup: directory, hook, link })
    }

    /// The program's number.
    pub fn id(&self) -> io::Result<u32> {
        id(&self.program)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if self.link.is_none() {
            // Fails only where the cgroup has gone, and the program with it.
            drop(detach(&self.program, &self.cgroup, self.hook));
        }
    }
}

impl Program {
    const fn hook(self) -> Hook {
        match self {
            Self::Deny { .. } | Self::Balance { .. } => Hook::Connect4,
            Self::Deny6 { .. } => Hook::Connect6,
            Self::DropTo(_) => Hook::Egress,
            Self::DropFrom(_) => Hook::Ingress,
            Self::SynTimer { .. } | Self::Deafen => Hook::SockOps,
        }
    }

    /// From `enum bpf_prog_type`.
    const fn kind(self) -> u32 {
        match self {
            Self::Deny { .. } | Self::Deny6 { .. } | Self::Balance { .. } => 18,
            Self::DropTo(_) | Self::DropFrom(_) => 8,
            Self::SynTimer { .. } | Self::Deafen => 13,
        }
    }

    fn instructions(self) -> Vec<Instruction> {
        match self {
            Self::Deny { port, errno } => instruction::deny(port, errno),
            Self::Deny6 { port } => instruction::deny(port, None),
            Self::Balance { from, to } => instruction::balance(from, to),
            Self::DropTo(address) => instruction::drop_where(instruction::DESTINATION, address),
            Self::DropFrom(address) => instruction::drop_where(instruction::SOURCE, address),
            Self::SynTimer { jiffies, returns } => instruction::syn_timer(jiffies, returns),
            Self::Deafen => instruction::deafen(),
        }
    }
}
