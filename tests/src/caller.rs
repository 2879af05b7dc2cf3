//! A real process inside a cgroup that connects and calls on request.
//!
//! Invariant: the process is a member of its cgroup before it can make a socket, does nothing
//! unasked, and is gone when its [`Caller`] is dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::cgroup::Cgroup;
use crate::netns::NetNs;
use crate::program;

mod burst;
mod crowd;
mod datagram;
mod kept;
mod kind;
mod lives;
mod passing;
mod protocol;
mod report;
mod reuse;
mod ring;
mod storm;
mod tcp;
mod tcp_option;
pub mod worker;

pub use burst::Tally;
pub use datagram::Exchange;
pub use kept::ConnectionId;
pub use kind::Kind;
pub use report::{Attempt, Call, Cause, Errno, Failure, Phase};
pub use tcp::{ConnectOptions, as_mapped_ipv6};

use protocol::{Order, Reply};

/// A handle on a calling process. Its methods wait for the process to finish what they ask.
#[derive(Debug)]
pub struct Caller {
    process: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Caller {
    /// Starts a process in a cgroup.
    pub fn spawn(cgroup: &Cgroup) -> Result<Self> {
        Self::launch(cgroup, Command::new(program::find(PROGRAM)?))
    }

    /// Starts a process in a cgroup and a network namespace.
    pub fn spawn_in(cgroup: &Cgroup, namespace: &NetNs) -> Result<Self> {
        let mut command = Command::new(program::find(PROGRAM)?);
        namespace.start_inside(&mut command)?;
        Self::launch(cgroup, command)
    }

    /// Starts a caller's program in a cgroup by a command that becomes it, such as one that changes first what
    /// it may do or what it is called.
    pub fn spawn_by(cgroup: &Cgroup, command: Command) -> Result<Self> {
        Self::launch(cgroup, command)
    }

    /// The program callers run.
    pub fn program() -> Result<PathBuf> {
        program::find(PROGRAM)
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Connects and closes.
    pub fn connect(&mut self, addr: SocketAddr, options: &ConnectOptions) -> Result<Attempt> {
        self.ask_for_attempt(&Order::Connect { addr, options: *options })
    }

    /// Connects, asks once, reads the answer, closes; all within `timeout`. A failure of the
    /// network is in the report, not an error.
    pub fn call(&mut self, addr: SocketAddr, timeout: Duration) -> Result<Call> {
        one(self.call_many(addr, 1, timeout)?)
    }

    /// Makes `calls` calls one after the other, each within `timeout`.
    pub fn call_many(
        &mut self,
        addr: SocketAddr,
        calls: u32,
        timeout: Duration,
    ) -> Result<Vec<Call>> {
        self.ask_for_calls(&Order::Call { addr, kind: Kind::Blocking, calls, timeout })
    }

    /// As [`Caller::call_many`], by another kind of socket.
    pub fn call_by(
        &mut self,
        kind: &Kind,
        addr: SocketAddr,
        calls: u32,
        timeout: Duration,
    ) -> Result<Vec<Call>> {
        self.ask_for_calls(&Order::Call { addr, kind: kind.clone(), calls, timeout })
    }

    /// Lets `processes` processes, each in the same cgroup as this one, make one call at the
    /// same moment, each within `timeout`. The reports are in the order in which they ended.
    pub fn storm(
        &mut self,
        addr: SocketAddr,
        processes: u32,
        timeout: Duration,
    ) -> Result<Vec<Call>> {
        self.ask_for_calls(&Order::Storm { addr, processes, timeout })
    }

    /// Lets `threads` threads of the process make one call at the same moment, each within
    /// `timeout`.
    pub fn crowd(
        &mut self,
        addr: SocketAddr,
        threads: u32,
        timeout: Duration,
    ) -> Result<Vec<Call>> {
        self.ask_for_calls(&Order::Crowd { addr, threads, timeout })
    }

    /// Lets `processes` processes connect to each of `addrs` in turn, `rounds` times over, as fast
    /// as they can. Each connect ends by itself; no time limit is set.
    pub fn burst(&mut self, addrs: &[SocketAddr], rounds: u32, processes: u32) -> Result<Tally> {
        let order = Order::Burst { addrs: addrs.to_vec(), rounds, processes };
        let Reply::Tally(tally) = self.ask(&order)? else {
            bail!(MIXED_UP);
        };
        Ok(tally)
    }

    /// Leads `lives` random lives of connections, each to one of `addrs`: begun, asked on, read, half
    /// closed, taken elsewhere, closed, reset, in any order. The last few are left open.
    pub fn live(&mut self, addrs: &[SocketAddr], lives: u32, seed: u64) -> Result<()> {
        let order = Order::Lives { addrs: addrs.to_vec(), lives, seed };
        let Reply::Done = self.ask(&order)? else {
            bail!(MIXED_UP);
        };
        Ok(())
    }

    fn launch(cgroup: &Cgroup, mut command: Command) -> Result<Self> {
        cgroup.start_inside(&mut command)?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?} in cgroup {}", cgroup.name()))?;
        let orders = process.stdin.take().context("the caller has no standard input")?;
        let replies = process.stdout.take().context("the caller has no standard output")?;
        Ok(Self { process, orders, replies: BufReader::new(replies) })
    }

    fn ask_for_calls(&mut self, order: &Order) -> Result<Vec<Call>> {
        let Reply::Calls(calls) = self.ask(order)? else {
            bail!(MIXED_UP);
        };
        Ok(calls)
    }

    fn ask_for_attempt(&mut self, order: &Order) -> Result<Attempt> {
        let Reply::Attempt(attempt) = self.ask(order)? else {
            bail!(MIXED_UP);
        };
        Ok(attempt)
    }

    fn ask(&mut self, order: &Order) -> Result<Reply> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.orders.write_all(line.as_bytes()).context("the caller's process has ended")?;
        line.clear();
        if self.replies.read_line(&mut line)? == 0 {
            bail!("the caller's process has ended without an answer to {order:?}");
        }
        let reply: Result<Reply, String> =
            serde_json::from_str(&line).context("the caller's answer cannot be read")?;
        reply.map_err(|reason| anyhow!("the caller cannot do {order:?}: {reason}"))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and been waited for.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn one(calls: Vec<Call>) -> Result<Call> {
    calls.into_iter().next().context("the caller reported no call")
}

const PROGRAM: &str = "lab-caller";
const MIXED_UP: &str = "the caller gave the answer to another question";
