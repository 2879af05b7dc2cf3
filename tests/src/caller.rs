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

mod lives;
mod protocol;
mod report;
mod reuse;
mod storm;
mod syn_count;
mod tcp;
pub mod worker;

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

/// A connection kept open by a [`Caller`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(u64);

impl Caller {
    /// Starts a process in a cgroup.
    pub fn spawn(cgroup: &Cgroup) -> Result<Self> {
        Self::launch(cgroup, Command::new(program()?))
    }

    /// Starts a process in a cgroup and a network namespace.
    pub fn spawn_in(cgroup: &Cgroup, namespace: &NetNs) -> Result<Self> {
        let mut command = Command::new(program()?);
        namespace.start_inside(&mut command)?;
        Self::launch(cgroup, command)
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Connects and closes.
    pub fn connect(&mut self, addr: SocketAddr, options: &ConnectOptions) -> Result<Attempt> {
        let order = Order::Connect { addr, options: *options };
        let Reply::Attempt(attempt) = self.ask(&order)? else {
            bail!(MIXED_UP);
        };
        Ok(attempt)
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
        self.ask_for_calls(&Order::Call { addr, calls, timeout })
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

    /// Connects and keeps the connection. Fails when the connection does.
    pub fn open(&mut self, addr: SocketAddr, timeout: Duration) -> Result<ConnectionId> {
        let Reply::Opened(id) = self.ask(&Order::Open { addr, timeout })? else {
            bail!(MIXED_UP);
        };
        Ok(ConnectionId(id))
    }

    /// Asks once on an open connection; the connection stays open, whatever the result. The
    /// report's `connect_us` is zero.
    pub fn request(&mut self, connection: ConnectionId, timeout: Duration) -> Result<Call> {
        one(self.ask_for_calls(&Order::Request { connection: connection.0, timeout })?)
    }

    /// As [`Caller::request`], but ends its side (FIN) between the request and the answer.
    pub fn last_request(&mut self, connection: ConnectionId, timeout: Duration) -> Result<Call> {
        one(self.ask_for_calls(&Order::LastRequest { connection: connection.0, timeout })?)
    }

    /// Waits until the peer or the kernel ends an open connection on which nothing is to be read;
    /// what ended it. The socket stays until it is closed.
    pub fn await_end(&mut self, connection: ConnectionId, timeout: Duration) -> Result<Cause> {
        let order = Order::AwaitEnd { connection: connection.0, timeout };
        let Reply::Ended(cause) = self.ask(&order)? else {
            bail!(MIXED_UP);
        };
        Ok(cause)
    }

    /// Begins to connect without waiting and keeps the socket whatever comes of it. Besides it:
    /// what `connect(2)` returned, none for success.
    pub fn start(&mut self, addr: SocketAddr) -> Result<(ConnectionId, Option<Errno>)> {
        let Reply::Started(id, returned) = self.ask(&Order::Start { addr })? else {
            bail!(MIXED_UP);
        };
        Ok((ConnectionId(id), returned))
    }

    /// Connects the socket of a connection elsewhere: first to no address, which ends what there
    /// was, then to `addr`. Later requests on the connection go there.
    pub fn reconnect(
        &mut self,
        connection: ConnectionId,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<Attempt> {
        let order = Order::Reconnect { connection: connection.0, addr, timeout };
        let Reply::Attempt(attempt) = self.ask(&order)? else {
            bail!(MIXED_UP);
        };
        Ok(attempt)
    }

    /// How often the kernel sends a SYN of this socket again, as the application reads it
    /// (`TCP_SYNCNT`).
    pub fn syn_count(&mut self, connection: ConnectionId) -> Result<u32> {
        let Reply::SynCount(count) = self.ask(&Order::SynCount { connection: connection.0 })?
        else {
            bail!(MIXED_UP);
        };
        Ok(count)
    }

    /// Sets [`Caller::syn_count`], 1 to 127; the kernel refuses others.
    pub fn set_syn_count(&mut self, connection: ConnectionId, count: u32) -> Result<()> {
        let order = Order::SetSynCount { connection: connection.0, count };
        let Reply::Set = self.ask(&order)? else {
            bail!(MIXED_UP);
        };
        Ok(())
    }

    /// Closes an open connection.
    pub fn close(&mut self, connection: ConnectionId) -> Result<()> {
        let Reply::Closed = self.ask(&Order::Close { connection: connection.0 })? else {
            bail!(MIXED_UP);
        };
        Ok(())
    }

    /// Leads `lives` random lives of connections, each to one of `addrs`: begun, asked on, read, half
    /// closed, taken elsewhere, closed, reset, in any order. The last few are left open.
    pub fn live(&mut self, addrs: &[SocketAddr], lives: u32, seed: u64) -> Result<()> {
        let order = Order::Lives { addrs: addrs.to_vec(), lives, seed };
        let Reply::Lived = self.ask(&order)? else {
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

/// The helper is built with this package, beside the executable or, for a test, one level up.
fn program() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("cannot find the current executable")?;
    executable
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(PROGRAM))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "no {PROGRAM} beside {} or one level up: cargo build -p shedder-tests",
                executable.display()
            )
        })
}

const PROGRAM: &str = "lab-caller";
const MIXED_UP: &str = "the caller gave the answer to another question";
