//! The generator as a process of its own, in a cgroup and a network namespace.
//!
//! Invariant: it is a member of its cgroup before it makes a socket, and ends with its value.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use shedder_common::time::Monotonic;

use super::told::Story;
use crate::cgroup::Cgroup;
use crate::netns::NetNs;
use crate::program;

/// A process that calls, or is about to.
#[derive(Debug)]
pub(in super::super) struct Generator(Child);

/// What it is told to do.
#[derive(Clone, Debug)]
pub(in super::super) struct Work {
    /// Addresses it calls in turn.
    pub(in super::super) targets: Vec<SocketAddr>,
    /// How many calls.
    pub(in super::super) calls: Rate,
    /// For how long, in seconds.
    pub(in super::super) seconds: f64,
    /// When the first is due.
    pub(in super::super) start: Monotonic,
    /// Addresses tried for one call when connecting fails.
    pub(in super::super) attempts: u32,
    /// Connections that are kept; 0 makes one for each call.
    pub(in super::super) pool: usize,
    /// What is sent.
    pub(in super::super) request: &'static str,
}

/// How many calls there are.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Rate {
    /// So many a second, whatever becomes of them.
    PerSecond(f64),
    /// So many under way at any moment.
    AtOnce(usize),
}

impl Generator {
    /// Starts it.
    pub(in super::super) fn start(namespace: &NetNs, cgroup: &Cgroup, work: &Work) -> Result<Self> {
        let mut command = Command::new(program::find("lab-generator")?);
        for target in &work.targets {
            command.args(["--to", &target.to_string()]);
        }
        match work.calls {
            Rate::PerSecond(rate) => command.args(["--rate", &rate.to_string()]),
            Rate::AtOnce(count) => command.args(["--at-once", &count.to_string()]),
        };
        command.args(["--seconds", &work.seconds.to_string()]);
        command.args(["--start-ns", &work.start.as_nanos().to_string()]);
        command.args(["--attempts", &work.attempts.to_string()]);
        command.args(["--pool", &work.pool.to_string(), "--request", work.request]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        namespace.start_inside(&mut command)?;
        cgroup.start_inside(&mut command)?;
        Ok(Self(command.spawn().context("cannot start the generator")?))
    }

    /// Waits until all calls have ended.
    pub(in super::super) fn story(mut self) -> Result<Story> {
        let mut text = String::new();
        let output = self.0.stdout.as_mut().context("the generator has no output")?;
        output.read_to_string(&mut text).context("the generator cannot be heard")?;
        let status = self.0.wait().context("the generator does not end")?;
        ensure!(status.success(), "the generator ended with {status}");
        Story::read(&text)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // It has ended by itself, or it does now.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
