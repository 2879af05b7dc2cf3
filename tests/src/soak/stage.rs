//! Everything the soak makes on the machine, and its end.
//!
//! Invariant: the daemon guards before the first call, and the drop of a stage ends and removes all of
//! it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Result;

use super::callers::Callers;
use super::field::Field;
use crate::backend::{Backend, Behaviour};
use crate::cgroup::Cgroup;
use crate::daemon::{Daemon, Events};
use crate::interrupt;
use crate::netns::NetNs;

/// The whole set. Dropped in the order of its fields.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) callers: Callers,
    pub(super) events: Events,
    pub(super) daemon: Daemon,
    pub(super) backends: Vec<Backend>,
    pub(super) field: Arc<Field>,
}

impl Stage {
    /// Makes backends, cgroups, daemon and callers, who begin to call. Calls are made in a network
    /// namespace, which has ports enough for hours of them.
    pub(super) fn build(seed: u64) -> Result<Self> {
        let namespace = NetNs::new("soak")?;
        let start = |_| Backend::start(IpAddr::V4(Ipv4Addr::LOCALHOST), Behaviour::Healthy);
        let backends =
            namespace.enter(|| (0..ENDPOINTS).map(start).collect::<Result<Vec<_>>>())??;
        let field = Arc::new(Field::new(backends.iter().map(Backend::addr)));
        let cgroups = (0..CALLERS).map(|number| Cgroup::new(&format!("soak{number}")));
        let cgroups = cgroups.collect::<Result<Vec<_>>>()?;
        interrupt::check()?;
        let daemon = Daemon::start_or_advise(&policy(&cgroups, &field), &[])?;
        let events = daemon.events()?;
        interrupt::check()?;
        let callers = Callers::start(cgroups, &namespace, &field, seed)?;
        Ok(Self { callers, events, daemon, backends, field })
    }
}

/// One service of all endpoints, and a policy for each caller.
fn policy(cgroups: &[Cgroup], field: &Field) -> String {
    let endpoints: Vec<String> =
        (0..field.len()).map(|endpoint| field.address(endpoint).to_string()).collect();
    let mut text = format!("{NODE}\n[[service]]\nname = \"field\"\nendpoints = {endpoints:?}\n");
    for (number, cgroup) in cgroups.iter().enumerate() {
        let path = cgroup.name();
        write!(
            text,
            "[[caller]]\nname = \"caller{number}\"\ncgroups = [\"{path}\"]\n[[policy]]\ncaller = \"caller{number}\"\nservice = \"field\"\nmode = \"enforce\"\n{RULES}\n"
        )
        .expect("to a string");
    }
    text
}

/// Cgroups, each a caller of its own.
pub(super) const CALLERS: usize = 8;
pub(super) const ENDPOINTS: usize = 50;
/// The error number of a verdict, by [`RULES`]; no backend causes it.
pub(super) const SHED_ERRNO: i32 = libc::EHOSTUNREACH;

/// A soak has more trips in a minute than any node should.
const NODE: &str = "[node]\nbrakes = { trips_per_minute = 1000000 }\n";
/// As by default, but quicker to return: faults here last for seconds. For that reason much is refused
/// wrongly, namely after an endpoint is healed, for which a policy would be suspended.
const RULES: &str = r#"
caller_timeout = "1s"
trip.consecutive = 3
trip.latency = { quantile = 0.5, over = "500ms", min_samples = 4, window = "5s" }
open = { action = "deny", errno = "EHOSTUNREACH", base = "500ms", max = "4s" }
half_open = { deadline = "2s" }
recovery = { ramp = "2s" }
safety = { false_refusals = 0 }
"#;
