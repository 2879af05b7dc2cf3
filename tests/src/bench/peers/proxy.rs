//! One TCP proxy between a caller and its endpoints, started as its users would and ended with its value.
//!
//! Invariant: a proxy runs as a user without rights in a namespace of processes of its own, so that none
//! of its processes outlives its value, nor this program.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::clock::{now, remaining};
use crate::interrupt;
use crate::netns::NetNs;
use crate::nobody;
use crate::program;

mod envoy;
mod haproxy;
mod listening;
mod nginx;

use listening::is_listening;

/// A proxy that can be put between a caller and its endpoints, with how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(super) enum Product {
    /// Outlier detection as it is when it is asked for and nothing else is said.
    EnvoyDefault,
    /// Outlier detection set to act as fast as a breaker should.
    EnvoyTuned,
    /// Health checks that watch the traffic, too.
    HaProxy,
    /// Passive health checks of an upstream group.
    Nginx,
}

/// A running proxy. It ends with this value.
#[derive(Debug)]
pub(super) struct Proxy {
    product: Product,
    /// It does nothing but wait for the proxy, which is its child.
    keeper: Child,
    directory: TempDir,
}

impl Product {
    /// Every one.
    pub(super) const ALL: [Self; 4] =
        [Self::EnvoyDefault, Self::EnvoyTuned, Self::HaProxy, Self::Nginx];

    /// As tables and pictures call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EnvoyDefault => "Envoy",
            Self::EnvoyTuned => "Envoy, tuned",
            Self::HaProxy => "HAProxy",
            Self::Nginx => "nginx",
        }
    }

    /// What the program says of itself, such as `1.40.0`. Fails where it is missing or does not run here.
    pub(super) fn version(self) -> Result<String> {
        let (program, argument) = match self {
            Self::EnvoyDefault | Self::EnvoyTuned => (envoy::program()?, "--version"),
            Self::HaProxy => (haproxy::program()?, "-v"),
            Self::Nginx => (nginx::program()?, "-v"),
        };
        let mut command = Command::new(&program);
        command.arg(argument).env("LD_LIBRARY_PATH", program::libraries(&UNPACKED)?);
        let output = command.output().with_context(|| format!("cannot start {program}"))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let version = match self {
            Self::EnvoyDefault | Self::EnvoyTuned => envoy::version(&said),
            Self::HaProxy => haproxy::version(&said),
            Self::Nginx => nginx::version(&said),
        };
        version.map(str::to_owned).with_context(|| format!("{program} tells no version: {said}"))
    }

    /// The whole of its configuration file, for one address to listen at and the endpoints behind it.
    pub(super) fn config(self, listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
        match self {
            Self::EnvoyDefault => envoy::config(envoy::Tuning::Default, listen, upstreams),
            Self::EnvoyTuned => envoy::config(envoy::Tuning::Breaker, listen, upstreams),
            Self::HaProxy => haproxy::config(listen, upstreams),
            Self::Nginx => nginx::config(listen, upstreams),
        }
    }

    /// The program and its arguments; what it says goes to standard error.
    fn command(self, config: &str, directory: &str) -> Result<Vec<String>> {
        match self {
            Self::EnvoyDefault | Self::EnvoyTuned => envoy::command(config),
            Self::HaProxy => haproxy::command(config),
            Self::Nginx => nginx::command(config, directory),
        }
    }

    /// What ends it at once.
    const fn end_signal(self) -> Signal {
        match self {
            Self::EnvoyDefault | Self::EnvoyTuned | Self::Nginx => Signal::TERM,
            // It leaves the other to the kernel, which spares the first process of a namespace.
            Self::HaProxy => Signal::KILL,
        }
    }

    /// How many processes it is once it works.
    const fn processes(self) -> usize {
        match self {
            Self::EnvoyDefault | Self::EnvoyTuned | Self::HaProxy => 1,
            // A master and its workers.
            Self::Nginx => 3,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Proxy {
    /// Starts it in a network namespace, in the cgroup this process is in, and waits until it listens;
    /// not one connection is made to find out. It ends with the calling thread, if that is earlier.
    /// Fails with what it said.
    pub(super) fn start(
        product: Product,
        namespace: &NetNs,
        listen: SocketAddr,
        upstreams: &[SocketAddr],
    ) -> Result<Self> {
        let directory = nobody::directory()?;
        let config = directory.path().join(CONFIG);
        fs::write(&config, product.config(listen, upstreams))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let [file, place] = [&config, directory.path()].map(|path| path.display().to_string());
        let log = fs::File::create(directory.path().join(LOG))?;
        let mut command = Command::new("setpriv");
        // Who keeps it ends with us, and all of the namespace with its first process, the proxy.
        command.arg("--pdeathsig=KILL").args(["prlimit", &format!("--nofile={DESCRIPTORS}:")]);
        command.args(["unshare", "--pid", "--fork"]).args(nobody::BECOME);
        command.args(product.command(&file, &place)?).current_dir(directory.path());
        command.env("LD_LIBRARY_PATH", program::libraries(&UNPACKED)?);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C is for us, who end it in our own time.
        command.process_group(0);
        namespace.start_inside(&mut command)?;
        let keeper = command.spawn().with_context(|| format!("cannot start {product}"))?;
        let mut proxy = Self { product, keeper, directory };
        proxy.wait_until_it_works(namespace, listen)?;
        Ok(proxy)
    }

    /// All its processes, as this machine numbers them; nginx has a master and its workers.
    pub(super) fn pids(&self) -> Result<Vec<u32>> {
        let first = children(self.keeper.id())?;
        let below = first.iter().map(|&pid| children(pid)).collect::<Result<Vec<_>>>()?;
        Ok(first.into_iter().chain(below.concat()).collect())
    }

    /// What it said so far: errors only.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join(LOG)).unwrap_or_default()
    }

    fn wait_until_it_works(&mut self, namespace: &NetNs, listen: SocketAddr) -> Result<()> {
        let (product, deadline) = (self.product, now() + PATIENCE);
        loop {
            interrupt::check()?;
            if let Some(status) = self.keeper.try_wait()? {
                bail!("{product} ended with {status}: {}", self.log());
            }
            if is_listening(namespace, listen)? && self.pids()?.len() == product.processes() {
                return Ok(());
            }
            ensure!(now() < deadline, "{product} does not listen: {}", self.log());
            thread::sleep(PAUSE);
        }
    }

    /// Sends its first process a signal, and waits a moment until all have ended.
    fn end(&mut self, signal: Signal) -> Result<()> {
        for pid in children(self.keeper.id())? {
            let pid = Pid::from_raw(i32::try_from(pid)?).context("a process has a number")?;
            kill_process(pid, signal)?;
        }
        let deadline = now() + GRACE;
        while self.keeper.try_wait()?.is_none() {
            ensure!(remaining(deadline).is_some(), "it does not end");
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let signal = self.product.end_signal();
        if self.end(signal).is_err() && self.end(Signal::KILL).is_err() {
            // All of it ends with who keeps it.
            drop(self.keeper.kill());
            drop(self.keeper.wait());
        }
    }
}

/// The processes that a process has started and that have not ended.
fn children(pid: u32) -> Result<Vec<u32>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let mut found = Vec::new();
    for task in tasks.with_context(|| format!("process {pid} has ended"))? {
        // A thread may end while it is looked at.
        let text = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    Ok(found)
}

/// What the packages of proxies are called that setup unpacks.
const UNPACKED: [&str; 2] = ["haproxy", "libnginx-mod-stream"];
const CONFIG: &str = "config.yaml";
const LOG: &str = "said";
/// Two for each connection and some more; a machine that allows fewer is too small for this.
const DESCRIPTORS: u32 = 20000;
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_in_every_configuration() {
        let addresses = ["10.0.0.1:9000", "10.0.0.2:81"].map(|it| it.parse().expect("an address"));
        let listen = "127.0.0.1:7000".parse().expect("an address");
        for product in Product::ALL {
            let config = product.config(listen, &addresses);
            for part in ["127.0.0.1", "7000", "10.0.0.1", "9000", "10.0.0.2", "81"] {
                assert!(config.contains(part), "{product} without {part}:\n{config}");
            }
        }
    }
}
