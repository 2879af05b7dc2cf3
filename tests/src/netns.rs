//! Network namespaces without names.
//!
//! Invariant: a namespace is known only by its descriptor, so the kernel removes it, with its
//! interfaces, when its value is dropped and the last process in it has ended. The namespace of
//! the calling thread never changes.
#![expect(unsafe_code, reason = "unshare and setns have no wrapper in the standard library")]

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};

mod broken_wire;
mod twin_links;
mod unreachable_net;

pub use broken_wire::BrokenWire;
pub use twin_links::TwinLinks;
pub use unreachable_net::UnreachableNet;

/// A network namespace whose loopback interface is up.
#[derive(Debug)]
pub struct NetNs {
    namespace: File,
    label: String,
}

impl NetNs {
    /// Makes a namespace. The label names the threads working inside. Needs root and iproute2.
    pub fn new(label: &str) -> Result<Self> {
        let namespace = in_new_thread(label, || {
            // SAFETY: no pointer is passed; only this thread, which ends soon, is moved.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            File::open("/proc/thread-self/ns/net")
        })?
        .context("cannot make a network namespace: run as root")?;
        let made = Self { namespace, label: label.to_owned() };
        made.ip("link set lo up")?;
        Ok(made)
    }

    /// Runs a closure on a thread of its own inside the namespace. Sockets, threads and
    /// processes made there stay there. A panic inside is passed on.
    pub fn enter<T: Send>(&self, run: impl FnOnce() -> T + Send) -> Result<T> {
        in_new_thread(&self.label, || set_namespace(&self.namespace).map(|()| run()))?
            .with_context(|| format!("cannot enter network namespace {}", self.label))
    }

    /// Makes a command start inside the namespace.
    pub fn start_inside(&self, command: &mut Command) -> Result<()> {
        let namespace = self.namespace.try_clone().context("cannot share a network namespace")?;
        // SAFETY: the closure makes one system call, which is allowed between fork and exec.
        unsafe { command.pre_exec(move || set_namespace(&namespace)) };
        Ok(())
    }

    /// Runs `ip` of iproute2 inside the namespace, its arguments separated by blanks.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace());
        self.start_inside(&mut command)?;
        let output = command.output().context("cannot run ip: install iproute2")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "ip {arguments} failed in {}: {}",
            self.label,
            said.trim()
        );
        Ok(())
    }

    /// Has `nft` of nftables carry out these lines inside the namespace, all of them or none. Rules go with
    /// the namespace.
    pub fn nft(&self, lines: &str) -> Result<()> {
        let mut command = Command::new("nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        self.start_inside(&mut command)?;
        let mut nft = command.spawn().context("cannot run nft: install nftables")?;
        nft.stdin.take().context("standard input is piped")?.write_all(lines.as_bytes())?;
        let output = nft.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nft failed in {}: {}", self.label, said.trim());
        Ok(())
    }

    /// Sets one of the namespace's own settings, such as `ipv4/tcp_fastopen` of
    /// `/proc/sys/net`.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{name}");
        self.enter(|| std::fs::write(&path, value))?
            .with_context(|| format!("cannot set {path} to {value} in {}", self.label))
    }

    /// A counter of the namespace's network stack, by the name that `nstat` gives it without the
    /// group, such as `TCPFastOpenActive` of `TcpExt`.
    pub fn counter(&self, group: &str, name: &str) -> Result<u64> {
        let files = ["snmp", "netstat"].map(|name| format!("/proc/thread-self/net/{name}"));
        let texts = self.enter(|| files.map(std::fs::read_to_string))?;
        let text = texts.into_iter().collect::<io::Result<String>>()?;
        counter(&text, group, name).with_context(|| format!("there is no counter {group}{name}"))
    }

    /// Joins this namespace to another by a pair of interfaces, one in each; both are down.
    fn link(&self, interface: &str, other: &Self, others_interface: &str) -> Result<()> {
        let path = other.path();
        self.ip(&format!(
            "link add name {interface} type veth peer name {others_interface} netns {path}"
        ))
    }

    /// A path to the namespace that other processes of this user can open while it lives.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }
}

fn in_new_thread<T: Send>(label: &str, run: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name(format!("netns-{label}"))
            .spawn_scoped(scope, run)
            .context("cannot start a thread for a network namespace")?;
        thread.join().map_or_else(|panic| resume_unwind(panic), Ok)
    })
}

/// Each group has a line of names and then a line of values.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text
        .lines()
        .filter(|line| line.strip_prefix(group).is_some_and(|rest| rest.starts_with(':')));
    let (names, values) = (lines.next()?.split(' '), lines.next()?.split(' '));
    let (_, value) = names.zip(values).find(|(found, _)| *found == name)?;
    value.parse().ok()
}

/// Moves the calling thread.
fn set_namespace(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the whole call and no pointer is passed.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_group_and_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: B\nIpExt: 3\n";
        assert_eq!(counter(text, "TcpExt", "B"), Some(2));
        assert_eq!(counter(text, "IpExt", "B"), Some(3));
        assert_eq!(counter(text, "IpExt", "A"), None);
        assert_eq!(counter(text, "Ip", "B"), None);
    }
}
