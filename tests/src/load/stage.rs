//! Everything the load makes on the machine, and its end.
//!
//! Invariant: the daemon guards before the first call, at its default size, and the drop of a stage
//! ends and removes all of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;
use tempfile::TempDir;

use crate::backend::{Backend, Behaviour};
use crate::bpf_fs::BpfFs;
use crate::cgroup::Cgroup;
use crate::daemon::{Daemon, NO_BRAKES};
use crate::interrupt;
use crate::netns::NetNs;

/// The whole set. Dropped in the order of its fields.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) daemon: Daemon,
    pub(super) pins: BpfFs,
    /// Of the processes that connect throughout.
    pub(super) steady: Vec<Cgroup>,
    /// Where cgroups come and go.
    pub(super) parent: Cgroup,
    pub(super) namespace: NetNs,
    /// Listens at every loopback address of the namespace.
    well: Backend,
    ill: Vec<Backend>,
    _directory: TempDir,
}

impl Stage {
    /// Makes all of it; nobody calls yet. Calls are made in a network namespace of their own.
    pub(super) fn build() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shedder-lab-").tempdir()?;
        let pins = BpfFs::mount(directory.path())?;
        let namespace = NetNs::new("load")?;
        let (well, ill) = namespace.enter(|| -> Result<_> {
            let well = Backend::start(IpAddr::V4(Ipv4Addr::UNSPECIFIED), Behaviour::Healthy)?;
            let start = |_| Backend::start(IpAddr::V4(Ipv4Addr::LOCALHOST), Behaviour::Refuse);
            Ok((well, (0..ILL).map(start).collect::<Result<Vec<_>>>()?))
        })??;
        let parent = Cgroup::new("load")?;
        let steady = (0..STEADY).map(|number| parent.child(&format!("steady-{number}")));
        let steady = steady.collect::<Result<Vec<_>>>()?;
        interrupt::check()?;
        let policy = policy(&parent, &pins, &well, &ill);
        let daemon = Daemon::start_or_advise(&policy, &["--detach-on-exit=false"])?;
        interrupt::check()?;
        Ok(Self { daemon, pins, steady, parent, namespace, well, ill, _directory: directory })
    }

    /// An endpoint that is well: each number below sixteen millions is another.
    pub(super) fn well(&self, number: u32) -> SocketAddr {
        let address = Ipv4Addr::from(Ipv4Addr::new(127, 0, 0, 2).to_bits() + number);
        SocketAddr::new(address.into(), self.well.addr().port())
    }

    /// What the processes that connect throughout call in turn.
    pub(super) fn steadily_called(&self) -> Vec<SocketAddr> {
        let well = (0..WELL).map(|number| self.well(number));
        well.chain(self.ill.iter().map(Backend::addr)).collect()
    }
}

fn policy(parent: &Cgroup, pins: &BpfFs, well: &Backend, ill: &[Backend]) -> String {
    let parent = parent.name();
    let ill: Vec<String> = ill.iter().map(|backend| backend.addr().to_string()).collect();
    format!(
        r#"
[node]
pin_dir = "{pins}"
forget_after = "2s"
brakes = {NO_BRAKES}
[[caller]]
name = "steady"
cgroups = ["{parent}/steady-*"]
[[caller]]
name = "passing"
cgroups = ["{parent}/passing-*"]
[[service]]
name = "well"
endpoints = ["127.0.0.0/8:{well}"]
[[service]]
name = "ill"
endpoints = {ill:?}
[[policy]]
caller = "steady"
service = "well"
mode = "enforce"
[[policy]]
caller = "passing"
service = "well"
mode = "enforce"
[[policy]]
caller = "steady"
service = "ill"
mode = "enforce"
open = {{ errno = "EHOSTUNREACH" }}
safety = {{ max_open_percent = 100, lone = "open", false_refusals = 0 }}
"#,
        pins = pins.pins().display(),
        well = well.addr().port(),
    )
}

/// Processes that connect throughout: as many as there are processors on a small machine.
const STEADY: usize = 2;
/// Endpoints they call that are well, and that refuse.
pub(super) const WELL: u32 = 14;
const ILL: usize = 2;
/// The error number of a verdict; no backend causes it.
pub(super) const SHED_ERRNO: i32 = libc::EHOSTUNREACH;
