//! Real callers: programs in Python and Node, on a JVM, and curl, each a process in a guarded cgroup.
//!
//! Invariant: what they tell goes into a ledger; their process ends with its value.
#![expect(unsafe_code, reason = "signals")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::kit::Kit;
use super::ledger::Ledger;
use crate::cgroup::Cgroup;
use crate::netns::NetNs;

/// What a caller is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Python,
    Node,
    Java,
    Curl,
}

/// How a caller calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// `http`, `redis` or `postgres`, as far as the tool speaks it.
    pub(super) speech: &'static str,
    /// `turn`, `once`, `retry`, `pool` or `flood`, as far as the tool has it.
    pub(super) mode: &'static str,
    /// For each endpoint.
    pub(super) workers: u32,
    /// From call to call.
    pub(super) period: Duration,
    /// How long a caller waits for an answer.
    pub(super) patience: Duration,
}

/// A running caller.
#[derive(Debug)]
pub(super) struct Client {
    process: Child,
    reader: Option<JoinHandle<Result<()>>>,
}

impl Load {
    /// So many workers that call one endpoint each, one call after the other.
    pub(super) const fn of(speech: &'static str, workers: u32, period_ms: u64) -> Self {
        let period = Duration::from_millis(period_ms);
        Self { speech, mode: "turn", workers, period, patience: Duration::from_secs(3) }
    }

    /// In another way.
    pub(super) const fn in_mode(self, mode: &'static str) -> Self {
        Self { mode, ..self }
    }

    /// With another patience.
    pub(super) const fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl Client {
    /// Starts one that calls `targets` until its end.
    pub(super) fn start(
        kit: &Kit,
        tool: Tool,
        load: Load,
        (cgroup, namespace): (&Cgroup, &NetNs),
        targets: &[SocketAddr],
        ledger: &Ledger,
    ) -> Result<Self> {
        let mut command = kit.client(tool)?;
        command
            .args([load.speech, load.mode, &load.workers.to_string()])
            .args([load.period, load.patience].map(|it| it.as_millis().to_string()))
            .args(targets.iter().map(SocketAddr::to_string));
        namespace.start_inside(&mut command)?;
        cgroup.start_inside(&mut command)?;
        let mut process = spawn(&mut command)?;
        let output = process.stdout.take().context("standard output is piped")?;
        let ledger = ledger.clone();
        let reader = thread::Builder::new()
            .name(format!("{tool:?}"))
            .spawn(move || {
                let mut lines = BufReader::new(output).lines();
                lines.try_for_each(|line| ledger.enter(tool, &line?))
            })
            .context("cannot start a thread for a caller")?;
        Ok(Self { process, reader: Some(reader) })
    }

    /// Sends it a signal, such as `SIGSTOP`.
    pub(super) fn signal(&self, signal: i32) {
        let pid = self.process.id().cast_signed();
        // SAFETY: a signal to a process this value started and has not reaped.
        unsafe {
            libc::kill(pid, signal);
        }
    }

    /// Fails once it could not go on.
    pub(super) fn check(&mut self) -> Result<()> {
        if self.reader.as_ref().is_none_or(|reader| !reader.is_finished()) {
            return Ok(());
        }
        let reader = self.reader.take().context("it was there")?;
        reader.join().map_err(|_panic| anyhow::anyhow!("the thread of a caller panicked"))??;
        anyhow::bail!("a caller has ended before its time")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        // Its last line may be half a line, and what it started may hold the pipe a little longer.
        drop(self.reader.take());
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))
}
