//! A systemd that runs the unit that is shipped, as it would on a node.
//!
//! Invariant: it is the first process of namespaces of its own, over a copy of this machine's files in
//! memory; it starts nothing unasked, and is gone with all it started when its value is dropped.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::clock::now;
use crate::daemon;

/// A running systemd.
#[derive(Debug)]
pub struct Systemd {
    unshare: Child,
    /// The process number of systemd, as seen from here.
    pid: u32,
    directory: TempDir,
}

impl Systemd {
    /// Boots one in a cgroup, which is the root of the hierarchy for everything in there, with this unit
    /// and policy file; nothing is started yet.
    pub fn boot(cgroup: &Cgroup, unit: &Path, policy: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        let mount_point = directory.path().join("systemd");
        fs::create_dir(&mount_point)?;
        let policy_file = directory.path().join("shedder.toml");
        fs::write(&policy_file, policy)?;
        let log = fs::File::create(directory.path().join("log"))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child"]);
        command.args(["bash", "-c", BOOT, "boot"]).arg(&mount_point).arg(unit);
        command.arg(daemon::program()?).arg(&policy_file);
        cgroup.start_inside(&mut command)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let unshare = command.spawn().context("cannot run unshare: install util-linux")?;
        let mut booted = Self { unshare, pid: 0, directory };
        booted.wait_until_it_answers()?;
        Ok(booted)
    }

    /// Runs a command in there; whatever came of it.
    pub fn run(&self, command: &[&str]) -> Result<Output> {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.pid.to_string(), "--mount", "--pid", "--cgroup", "--"]);
        nsenter.args(command).stdin(Stdio::null()).output().context("cannot run nsenter")
    }

    /// Runs a command in there that must succeed; its standard output.
    pub fn succeed(&self, command: &[&str]) -> Result<String> {
        let output = self.run(command)?;
        if !output.status.success() {
            bail!("{command:?} failed: {}{}", String::from_utf8_lossy(&output.stderr), self.log());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A property of the unit.
    pub fn property(&self, name: &str) -> Result<String> {
        let said =
            self.succeed(&["systemctl", "show", "--property", name, "--value", "shedder"])?;
        Ok(said.trim().to_owned())
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let unshare = self.unshare.id();
        let deadline = now() + PATIENCE;
        while now() < deadline {
            if let Some(status) = self.unshare.try_wait()? {
                bail!("systemd does not boot: {status}: {}", self.log());
            }
            let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
            if let Some(pid) = children.split_whitespace().next() {
                self.pid = pid.parse()?;
                let answer = self.run(&["systemctl", "is-system-running"])?;
                if matches!(answer.stdout.as_slice(), b"running\n" | b"degraded\n") {
                    return Ok(());
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("systemd does not answer: {}", self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // Its children go with it, and theirs with the namespace. Both fail only for one that has ended.
        drop(self.unshare.kill());
        drop(self.unshare.wait());
    }
}

const BOOT: &str = include_str!("systemd/boot.sh");
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
