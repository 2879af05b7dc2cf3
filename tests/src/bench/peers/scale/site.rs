//! A daemon of one size: its cgroups, its endpoints, a server behind all of them.
//!
//! Invariant: the clock of the start runs over the daemon alone; cgroups and server are there before.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use shedder_user::config::{Config, Node};

use super::{Shape, Size};
use crate::backend::{Backend, Behaviour};
use crate::cgroup::Cgroup;
use crate::clock::now;
use crate::daemon::Daemon;
use crate::interrupt;
use crate::netns::NetNs;

/// The whole of it. Dropped in the order of its fields.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) daemon: Daemon,
    /// From the start of its process until it guards everything and answers, of each start; the last is
    /// that of the daemon.
    pub(super) starts: Vec<Duration>,
    /// How often it looks at the evidence.
    pub(super) tick: Duration,
    /// How often it looks for new cgroups.
    pub(super) rescan: Duration,
    /// Bytes its journal may have.
    pub(super) journal_limit: u64,
    pub(super) cgroups: Vec<Cgroup>,
    pub(super) endpoints: Vec<SocketAddr>,
    pub(super) namespace: NetNs,
    _parent: Cgroup,
    /// Listens at every address of its namespace.
    _backend: Backend,
}

impl Site {
    /// Builds it, and starts the daemon so often, at least once; nobody calls yet.
    pub(super) fn build(size: Size, starts: u32) -> Result<Self> {
        let namespace = NetNs::new("scale")?;
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let backend = namespace.enter(|| Backend::start(any, Behaviour::Healthy))??;
        let parent = Cgroup::new("scale")?;
        let cgroups = (0..size.cgroups).map(|number| parent.child(&format!("app-{number}")));
        let cgroups = cgroups.collect::<Result<Vec<_>>>()?;
        let endpoints = endpoints(size.endpoints, backend.addr().port());
        let policy = policy(size, &parent, &cgroups, &endpoints)?;
        let Node { tick, rescan, journal, .. } = Config::parse("policy", &policy)?.node;
        let journal_limit = u64::from(journal.max_kib) * 1024 * u64::from(journal.files);
        let (mut daemon, first) = start(&policy)?;
        let mut took = vec![first];
        for _ in 1..starts {
            // The one before lets go of the cgroups.
            drop(daemon);
            let (another, time) = start(&policy)?;
            daemon = another;
            took.push(time);
        }
        Ok(Self {
            daemon,
            starts: took,
            tick,
            rescan,
            journal_limit,
            cgroups,
            endpoints,
            namespace,
            _parent: parent,
            _backend: backend,
        })
    }
}

fn start(policy: &str) -> Result<(Daemon, Duration)> {
    interrupt::check()?;
    let begun = now();
    let daemon = Daemon::start_or_advise(policy, &[])?;
    Ok((daemon, begun.elapsed()))
}

fn endpoints(count: u32, port: u16) -> Vec<SocketAddr> {
    let first = Ipv4Addr::new(127, 1, 0, 0).to_bits();
    (first..first + count)
        .map(|address| SocketAddr::new(Ipv4Addr::from_bits(address).into(), port))
        .collect()
}

/// All that is not about the size is left as it is by default.
fn policy(
    size: Size,
    parent: &Cgroup,
    cgroups: &[Cgroup],
    endpoints: &[SocketAddr],
) -> Result<String> {
    let mut text =
        format!("[node]\nmax_endpoints = {}\nlisten = \"127.0.0.1:0\"\n", size.endpoints);
    match size.shape {
        Shape::OneCaller => {
            add(&mut text, 0, &format!("{}/app-*", parent.name()), endpoints)?;
        }
        Shape::CallerEach => {
            let share = endpoints.len().div_ceil(cgroups.len());
            for (number, (cgroup, endpoints)) in
                cgroups.iter().zip(endpoints.chunks(share)).enumerate()
            {
                add(&mut text, number, cgroup.name(), endpoints)?;
            }
        }
    }
    Ok(text)
}

fn add(text: &mut String, number: usize, cgroups: &str, endpoints: &[SocketAddr]) -> Result<()> {
    let listed: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    writeln!(
        text,
        r#"[[caller]]
name = "app-{number}"
cgroups = ["{cgroups}"]
[[service]]
name = "db-{number}"
endpoints = {listed:?}
[[policy]]
caller = "app-{number}"
service = "db-{number}"
mode = "enforce""#
    )?;
    Ok(())
}
